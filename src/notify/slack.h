// Slack, and what takes its webhooks too (Mattermost, Rocket.Chat): POST {"text": "…"}.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "notify/channel.h"

namespace coalmine::notify {

class Slack final : public Channel {
 public:
  std::string body(const Message& message) const override;
  Headers headers(const OutboxEntry&, std::int64_t) const override { return {}; }
};

} // namespace coalmine::notify
