// SPDX-License-Identifier: Apache-2.0
#include "notify/webhook.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>

#include "base/digest.h"
#include "base/json_text.h"

namespace coalmine::notify {

std::string Webhook::body(const Message& message) const {
  boost::json::object body;
  body["event"] = message.event;
  body["event_id"] = message.event_id;
  body["time_ms"] = message.time_ms;
  body["text"] = message.text;
  auto rollout = parse_json(message.rollout, "rollout");
  body["rollout"] = rollout ? std::move(*rollout) : boost::json::value(nullptr);
  return json_text(body);
}

Channel::Headers Webhook::headers(const OutboxEntry& entry, std::int64_t wall_ms) const {
  const auto timestamp = fmt::format("{}", wall_ms / 1000);
  Headers out{{"X-Coalmine-Event-Id", entry.event_id}, {"X-Coalmine-Timestamp", timestamp}};
  // With the time in it, a message that somebody kept cannot be sent again as a new one.
  if (!secret_.empty()) {
    out.emplace_back("X-Coalmine-Signature",
                     "sha256=" + hmac_sha256_hex(secret_, timestamp + "." + entry.body));
  }
  return out;
}

} // namespace coalmine::notify
