// SPDX-License-Identifier: Apache-2.0
#include "cohort/signal_expression.h"

#include <gtest/gtest.h>

#include <cmath>

namespace coalmine::cohort {
namespace {

const SignalScope kScope{
    .service = "check\"out", .track = "canary", .version = "2.4", .window_ms = 600'000};

TEST(SignalExpression, Expands) {
  struct Case {
    const char* text;
    const char* expected; // null: refused
  };
  const Case cases[] = {
      {R"(sum(rate(x{s="$service",t="$track"}[$window])))",
       R"(sum(rate(x{s="check\"out",t="canary"}[600000ms])))"},
      {R"(x{v="${version}",r=~"^a$$"})", R"(x{v="2.4",r=~"^a$"})"},
      {"1", "1"},
      {"", ""},
      {"$", nullptr},
      {"$services", nullptr},
      {"${window", nullptr},
      {"${}", nullptr},
  };
  for (const auto& c : cases) {
    const auto got = expand_expression(c.text, kScope);
    ASSERT_EQ(got.has_value(), c.expected != nullptr) << c.text;
    if (got) {
      EXPECT_EQ(*got, c.expected);
    } else {
      EXPECT_FALSE(got.error().message.empty());
    }
  }
}

class Answers final : public promql::ExpressionSource {
 public:
  Result<std::vector<promql::ExpressionValue>> values;
  mutable std::string asked;
  Result<std::vector<promql::ExpressionValue>> evaluate(const std::string& promql,
                                                        std::int64_t) const override {
    asked = promql;
    return values;
  }
  Result<std::vector<promql::Series>> evaluate_range(const std::string&, std::int64_t, std::int64_t,
                                                     std::int64_t) const override {
    return std::vector<promql::Series>();
  }
};

TEST(SignalExpression, IsOneNumberOrNone) {
  Answers source;
  source.values = std::vector<promql::ExpressionValue>{{{}, 0.25}};
  EXPECT_EQ(read_expression(source, "x{t=\"$track\"}", kScope, 1).value(), 0.25);
  EXPECT_EQ(source.asked, "x{t=\"canary\"}");
  source.values = std::vector<promql::ExpressionValue>{};
  EXPECT_EQ(read_expression(source, "x", kScope, 1).value(), std::nullopt);
  source.values = std::vector<promql::ExpressionValue>{{{}, NAN}};
  EXPECT_EQ(read_expression(source, "x", kScope, 1).value(), std::nullopt);
  source.values = std::vector<promql::ExpressionValue>{{{}, 1}, {{}, 2}};
  EXPECT_EQ(read_expression(source, "x", kScope, 1).error().code, ErrorCode::invalid_argument);
  source.values = std::unexpected(Error{ErrorCode::unavailable, "gone"});
  EXPECT_EQ(read_expression(source, "x", kScope, 1).error().code, ErrorCode::unavailable)
      << "an outage is not \"none\"";
}

} // namespace
} // namespace coalmine::cohort
