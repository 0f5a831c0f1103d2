// SPDX-License-Identifier: Apache-2.0
#include "notify/target_address.h"

#include "net/secrets.h"

namespace coalmine::notify {

std::string shown_address(const Target& target) {
  if (!target.url.empty()) return net::shown_origin(target.url);
  return target.kind == Target::Kind::slack ? "Slack" : "a webhook";
}

} // namespace coalmine::notify
