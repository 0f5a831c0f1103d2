// SPDX-License-Identifier: Apache-2.0
#include "notify/webhook.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <boost/json.hpp>

#include "base/hex.h"
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
  Headers out{{"X-Coalmine-Event-Id", entry.event_id},
              {"X-Coalmine-Timestamp", fmt::format("{}", wall_ms / 1000)}};
  if (!secret_.empty())
    out.emplace_back("X-Coalmine-Signature", "sha256=" + hmac_sha256_hex(secret_, entry.body));
  return out;
}

std::string hmac_sha256_hex(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
       &size);
  return to_hex(std::span(digest).first(size));
}

} // namespace coalmine::notify
