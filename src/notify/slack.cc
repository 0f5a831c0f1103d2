// SPDX-License-Identifier: Apache-2.0
#include "notify/slack.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string_view>

#include "base/json_text.h"
#include "base/text.h"

namespace coalmine::notify {
namespace {

std::string_view symbol(std::string_view event) {
  if (event == "promoted") return ":white_check_mark:";
  if (event == "rolled_back") return ":rewind:";
  if (event == "aborted") return ":octagonal_sign:";
  return ":warning:";
}

// Slack's own rule for text that is no markup: a "<" would begin a link or a mention
// (<!channel>), whoever wrote it.
std::string plain_text(std::string_view text) {
  return escaped(text, {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}});
}

} // namespace

std::string Slack::body(const Message& message) const {
  boost::json::object body;
  body["text"] = fmt::format("{} {}", symbol(message.event), plain_text(message.text));
  return json_text(body);
}

} // namespace coalmine::notify
