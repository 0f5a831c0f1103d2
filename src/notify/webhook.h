// A signed webhook: POST with body {"event", "event_id", "time_ms", "text", "rollout": Rollout} and
// the headers
//   X-Coalmine-Event-Id: 42-17-0          the same in every attempt
//   X-Coalmine-Timestamp: 1700000000      Unix seconds of this attempt
//   X-Coalmine-Signature: sha256=HEX      when the target has a secret: HMAC-SHA256 of
//                                         TIMESTAMP.BODY, with the timestamp as it is in its header
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "notify/channel.h"

namespace coalmine::notify {

class Webhook final : public Channel {
 public:
  // secret "": unsigned.
  explicit Webhook(std::string secret) : secret_(std::move(secret)) {}
  std::string body(const Message& message) const override;
  Headers headers(const OutboxEntry& entry, std::int64_t wall_ms) const override;

 private:
  const std::string secret_;
};

} // namespace coalmine::notify
