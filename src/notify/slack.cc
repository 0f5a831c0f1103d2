// SPDX-License-Identifier: Apache-2.0
#include "notify/slack.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string_view>

#include "base/json_text.h"

namespace coalmine::notify {
namespace {

std::string_view symbol(std::string_view event) {
  if (event == "promoted") return ":white_check_mark:";
  if (event == "rolled_back") return ":rewind:";
  if (event == "aborted") return ":octagonal_sign:";
  return ":warning:";
}

} // namespace

std::string Slack::body(const Message& message) const {
  boost::json::object body;
  body["text"] = fmt::format("{} {}", symbol(message.event), message.text);
  return json_text(body);
}

} // namespace coalmine::notify
