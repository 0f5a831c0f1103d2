// Which requests failed: by default, and by a service's own rule.
// SPDX-License-Identifier: Apache-2.0
#include "telemetry/outcome.h"

#include <gtest/gtest.h>

#include <random>

namespace coalmine {
namespace {

TEST(FailureRule, RangesAsTheyAreWritten) {
  EXPECT_EQ(parse_status_range("429"), (StatusRange{429, 429}));
  EXPECT_EQ(parse_status_range("420-429"), (StatusRange{420, 429}));
  EXPECT_EQ(parse_status_range("4xx"), (StatusRange{400, 499}));
  for (const auto* text : {"429", "420-429", "4xx", "400-599"})
    EXPECT_EQ(to_text(*parse_status_range(text)), text);
  for (const auto* text : {"", "42", "4290", "099", "600", "6xx", "xx", "429-420", "429-", "-429",
                           "4x9", "+42", " 429", "429,499"})
    EXPECT_FALSE(parse_status_range(text)) << text;
}

TEST(FailureRule, SaysNothingOfWhatItDoesNotName) {
  const FailureRule rule{.also = {{429, 429}, {400, 400}}, .except = {{501, 501}}};
  EXPECT_EQ(rule.says(429), true);
  EXPECT_EQ(rule.says(501), false);
  EXPECT_EQ(rule.says(500), std::nullopt);
  EXPECT_EQ(rule.says(0), std::nullopt) << "no status is known";
  EXPECT_EQ(rule.says(http_status_of_text("400")), true);
  EXPECT_EQ(rule.says(http_status_of_text("4xx")), std::nullopt) << "most of them are not named";
  EXPECT_EQ((FailureRule{.also = {{400, 499}}, .except = {}}).says(http_status_of_text("4xx")),
            true);
}

TEST(Outcome, ARuleGoesBeforeEverythingElse) {
  const FailureRule rule{.also = {{429, 429}}, .except = {{501, 501}}};
  EXPECT_TRUE(is_failed(429, "", rule));
  EXPECT_TRUE(is_failed(0, "429", rule)) << "the type is the status";
  EXPECT_FALSE(is_failed(404, "", rule));
  EXPECT_FALSE(is_failed(501, "NotImplemented", rule));
  EXPECT_TRUE(is_failed(500, "", rule));
  EXPECT_TRUE(is_failed(SpanKind::server, StatusCode::ok, 429, rule));
  EXPECT_FALSE(is_failed(SpanKind::server, StatusCode::error, 501, rule));
  EXPECT_FALSE(is_failed(SpanKind::client, StatusCode::unset, 429, rule)) << "the callee's";
  EXPECT_TRUE(is_failed(SpanKind::client, StatusCode::error, 501, rule));
  EXPECT_EQ(answer_of(429, is_failed(429, "", rule)), Answer::other) << "not counted twice";
  EXPECT_EQ(answer_of(404, is_failed(404, "", rule)), Answer::client_error);
}

// A row of a table and the same span on its own are judged alike, by the rule of its own service.
TEST(Outcome, RowsAndSpansAgree) {
  const FailureRules rules(FailureRules::ByService{
      {"shop", {.also = {{429, 429}, {200, 200}}, .except = {{503, 503}}}}});
  std::mt19937_64 random{11};
  const std::vector<std::shared_ptr<const Resource>> from = {
      make_resource({{"service.name", std::string("shop")}}, "h"),
      make_resource({{"service.name", std::string("cart")}}, "h")};
  std::vector<Span> spans(2000);
  std::size_t failed = 0;
  for (auto& span : spans) {
    span.resource = from[random() % from.size()];
    span.kind = random() % 3 == 0 ? SpanKind::client : SpanKind::server;
    span.status = static_cast<StatusCode>(random() % 3);
    const std::int64_t status[] = {200, 404, 429, 500, 503};
    if (random() % 2 == 0) span.attributes.emplace_back("x", std::string("500"));
    if (random() % 4 != 0)
      span.attributes.emplace_back(
          random() % 2 == 0 ? "http.response.status_code" : "http.status_code",
          status[random() % std::size(status)]);
  }
  const auto table = table_of(spans);
  const FailedRows rows(table, rules);
  for (std::size_t i = 0; i < spans.size(); ++i) {
    EXPECT_EQ(rows.has(table.rows[i]), is_failed(spans[i], rules)) << i;
    failed += is_failed(spans[i], rules) ? 1 : 0;
  }
  EXPECT_GT(failed, 200u);
  EXPECT_LT(failed, 1800u);
}

} // namespace
} // namespace coalmine
