// How a message looks on its way to one kind of target. One pair of files for each channel.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "notify/outbox.h"

namespace coalmine::notify {

// What there is to say.
struct Message {
  std::string event;    // promoted rolled_back aborted paused attention
  std::string text;     // one sentence
  std::string event_id; // of its OutboxEntry
  std::int64_t time_ms = 0;
  std::string rollout; // the rollout as JSON
};

// Immutable; any thread.
class Channel {
 public:
  using Headers = std::vector<std::pair<std::string, std::string>>;
  virtual ~Channel() = default;
  // JSON.
  virtual std::string body(const Message& message) const = 0;
  // The headers of one attempt at wall_ms, beside Content-Type.
  virtual Headers headers(const OutboxEntry& entry, std::int64_t wall_ms) const = 0;
};

std::unique_ptr<Channel> make_channel(const Target& target);

} // namespace coalmine::notify
