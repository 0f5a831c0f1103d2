// SPDX-License-Identifier: Apache-2.0
#include "notify/channel.h"

#include "notify/slack.h"
#include "notify/webhook.h"

namespace coalmine::notify {

std::unique_ptr<Channel> make_channel(const Target& target) {
  switch (target.kind) {
    case Target::Kind::slack: return std::make_unique<Slack>();
    case Target::Kind::webhook: break;
  }
  return std::make_unique<Webhook>(target.secret);
}

} // namespace coalmine::notify
