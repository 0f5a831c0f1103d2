// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/digest.h"
#include "net/http.h"
#include "notify/slack.h"
#include "notify/target_address.h"
#include "notify/webhook.h"

namespace coalmine::notify {
namespace {

TEST(Slack, TextOfOthersIsNoMarkup) {
  const auto body = boost::json::parse(
      Slack().body({.event = "aborted",
                    .text = "shop <!channel> 1 & 2: <https://evil.example|click>, p99 > 5 ms",
                    .event_id = "1-1-0",
                    .time_ms = 0,
                    .rollout = ""}));
  EXPECT_EQ(body.at("text").as_string(),
            ":octagonal_sign: shop &lt;!channel&gt; 1 &amp; 2: "
            "&lt;https://evil.example|click&gt;, p99 &gt; 5 ms");
}

// What a receiver does, in its own words: docs/config.md, notify.
TEST(Webhook, TheSignatureCoversTheTime) {
  OutboxEntry entry;
  entry.event_id = "4-2-0";
  entry.body = R"({"event":"promoted"})";
  const Webhook webhook("key");
  const auto headers = webhook.headers(entry, 1'700'000'000'999);
  const std::string timestamp(net::header(headers, "X-Coalmine-Timestamp"));
  const std::string signature(net::header(headers, "X-Coalmine-Signature"));
  EXPECT_EQ(timestamp, "1700000000");
  EXPECT_EQ(signature, "sha256=" + hmac_sha256_hex("key", "1700000000." + entry.body));
  EXPECT_NE(signature,
            net::header(webhook.headers(entry, 1'700'000'001'000), "X-Coalmine-Signature"))
      << "a later attempt is another message";
  EXPECT_EQ(net::header(Webhook("").headers(entry, 0), "X-Coalmine-Signature"), "");
}

TEST(TargetAddress, IsWhatIsNoSecret) {
  Target target;
  target.url = "https://me:pw@chat.example:8/hooks/abc?token=x";
  EXPECT_EQ(shown_address(target), "https://chat.example:8");
  target.url.clear();
  EXPECT_EQ(shown_address(target), "a webhook");
  target.kind = Target::Kind::slack;
  EXPECT_EQ(shown_address(target), "Slack");
}

} // namespace
} // namespace coalmine::notify
