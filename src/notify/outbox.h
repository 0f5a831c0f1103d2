// Messages that wait to be delivered, who they are for, and what keeps them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "base/ids.h"
#include "base/result.h"

namespace coalmine::notify {

// Who is notified, and how.
struct Target {
  enum class Kind { webhook, slack } kind = Kind::webhook;
  std::string url;
  std::string secret;              // webhook: HMAC-SHA256 key of X-Coalmine-Signature
  std::vector<std::string> events; // promoted, rolled_back, aborted, paused; empty: all
};

// A message for one target, kept until it is delivered or given up. event_id is the same in every
// attempt, so that receivers can drop what they have had.
struct OutboxEntry {
  std::string event_id; // "42-17-0": rollout, sequence, target
  RolloutId id;
  std::size_t target = 0; // index into the rollout's targets
  bool is_signed = false; // a secret was configured; without it the message is not sent
  std::string body;
  std::int64_t created_ms = 0; // Unix milliseconds
  int attempts = 0;
};

enum class Ending { delivered, given_up };

// Keeps entries over a restart. An entry comes into it together with what it reports, in one
// transaction. Thread-safe; every call may block on the disk.
class Outbox {
 public:
  virtual ~Outbox() = default;
  virtual Result<std::vector<OutboxEntry>> undelivered() = 0;
  // OK too when the entry is not (yet) there.
  virtual Status settle(const std::string& event_id, int attempts, Ending ending) = 0;
};

} // namespace coalmine::notify
