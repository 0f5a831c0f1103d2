// Parsing, printing, error messages, times and durations.
// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/parser.h"

#include <gtest/gtest.h>

#include "promql/engine.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/printer.h"

namespace coalmine::promql {
namespace {

std::string printed(std::string_view text) {
  auto expr = parse_expression(text, ParseOptions::all());
  return expr ? print(**expr) : "error: " + expr.error().text();
}

struct Pair {
  const char* input;
  const char* output;
};

TEST(Printer, CanonicalForm) {
  const Pair cases[] = {
      {"sum by(job,instance)(rate(x{b='1',a=\"2\"}[5m]))",
       "sum by (job, instance) (rate(x{a=\"2\",b=\"1\"}[5m]))"},
      {"sum(x)by(le)", "sum by (le) (x)"},
      {"sum without() (x)", "sum without () (x)"},
      {"-1^2", "-1 ^ 2"},
      {"a+b*c^d^e", "a + b * c ^ d ^ e"},
      {"1h30m", "1h30m"},
      {"a offset 90m @ 1.5", "a @ 1.500 offset 1h30m"},
      {"a[5m] @ start() offset -1d", "a[5m] @ start() offset -1d"},
      {"rate(a[5m])[1h:30s] offset 5m", "rate(a[5m])[1h:30s] offset 5m"},
      {"a / on(x) group_left(y,\"z.z\") b", "a / on (x) group_left (y, \"z.z\") b"},
      {"a == bool ignoring(x) b", "a == bool ignoring (x) b"},
      {"a AND b Or c unless d", "a and b or c unless d"},
      {"{\"my.metric\", \"some label\"!~'x|y'}",
       "{\"some label\"!~\"x|y\",__name__=\"my.metric\"}"},
      {"topk(2, a) by (x)", "topk by (x) (2, a)"},
      {"'a\\nb'", "\"a\\nb\""},
      {"a[(1m+30s)*2]", "a[(1m + 30s) * 2]"},
      {"a[step()+1]", "a[step() + 1]"},
      {"a offset (1m-step())", "a offset (1m - step())"},
      {"a + fill(0) b", "a + fill (0) b"},
      {"rate(a[5m] smoothed)", "rate(a[5m] smoothed)"},
      {"sum + offset + by", "sum + offset + by"},
      {"0x1F + 010 + 1_000", "31 + 8 + 1000"},
      {"# nothing\na # more", "a"},
      {"a >/ 3", "a >/ 3"},
  };
  for (const Pair& one : cases) {
    const std::string out = printed(one.input);
    EXPECT_EQ(out, one.output);
    EXPECT_EQ(printed(out), out) << "not a fixed point";
  }
}

TEST(Parser, Errors) {
  const Pair cases[] = {
      {"", "unknown position: parse error: no expression found in input"},
      {"sum(", "1:5: parse error: unclosed left parenthesis"},
      {"rate(a)",
       "1:6: parse error: expected type range vector in call to function \"rate\", got instant "
       "vector"},
      {"rate(a[5m], 1)", "1:1: parse error: expected 1 argument(s) in call to \"rate\", got 2"},
      {"round()", "1:1: parse error: expected at least 1 argument(s) in call to \"round\", got 0"},
      {"frob(a)", "1:1: parse error: unknown function with name \"frob\""},
      {"{}", "1:1: parse error: vector selector must contain at least one non-empty matcher"},
      {"{a=~\".*\"}",
       "1:1: parse error: vector selector must contain at least one non-empty matcher"},
      {"a{__name__=\"b\"}", "1:1: parse error: metric name must not be set twice: \"a\" or \"b\""},
      {"1 > 2", "1:3: parse error: comparisons between scalars must use BOOL modifier"},
      {"a + bool b", "1:3: parse error: bool modifier can only be used on comparison operators"},
      {"1 and a", "1:1: parse error: set operator \"and\" not allowed in binary scalar expression"},
      {"a and on(x) group_left(y) b",
       "1:1: parse error: no grouping allowed for \"and\" operation"},
      {"a + on(x) group_left(x) b",
       "1:3: parse error: label \"x\" must not occur in ON and GROUP clause at once"},
      {"a[5m] + 1",
       "1:1: parse error: binary expression must contain only scalar and instant vector types"},
      {"a[0s]", "1:3: parse error: duration must be greater than 0"},
      {"a[5m/0]", "1:5: parse error: division by zero"},
      {"a[5m] offset 1m offset 2m", "1:1: parse error: offset may not be set multiple times"},
      {"a @ 1 @ 2", "1:1: parse error: @ <timestamp> may not be set multiple times"},
      {"sum(a) offset 5m",
       "1:1: parse error: offset modifier must be preceded by an instant vector selector or range "
       "vector selector or a subquery"},
      {"sum(a)[5m]", "1:7: parse error: ranges only allowed for vector selectors"},
      {"a{x=\"1}", "1:5: parse error: unterminated quoted string"},
      {"a{x=~\"(\"}", "1:3: parse error: error parsing regexp: missing closing ): `(`"},
      {"a b", "1:3: parse error: unexpected identifier \"b\""},
      {"topk(a)",
       "1:1: parse error: wrong number of arguments for aggregate expression provided, expected 2, "
       "got 1"},
      {"a\n  + rate(b)",
       "2:10: parse error: expected type range vector in call to function \"rate\", got instant "
       "vector"},
      {"sum(a,)", "1:6: parse error: trailing commas not allowed in function call args"},
      {"sum by (1) (a)",
       "1:9: parse error: unexpected number \"1\" in grouping opts, expected label"},
  };
  for (const Pair& one : cases) {
    const auto expr = parse_expression(one.input, ParseOptions::all());
    ASSERT_FALSE(expr) << one.input;
    EXPECT_EQ(expr.error().text(), one.output) << one.input;
  }
}

TEST(Parser, ExperimentalPartsAreRefusedUnlessAskedFor) {
  EXPECT_FALSE(parse_expression("limitk(1, a)", ParseOptions{}));
  EXPECT_FALSE(parse_expression("mad_over_time(a[5m])", ParseOptions{}));
  EXPECT_FALSE(parse_expression("rate(a[5m] anchored)", ParseOptions{}));
  EXPECT_FALSE(parse_expression("a + fill(1) b", ParseOptions{}));
  EXPECT_TRUE(parse_expression("a[5m * 2]", ParseOptions{}));
}

// Nesting has a limit; deep input is refused and does not exhaust the stack.
TEST(Parser, DeepNesting) {
  for (const std::string_view open : {"(", "-", "sum(", "a + (", "1 ^ "}) {
    std::string text;
    for (int i = 0; i < 100'000; ++i) text += open;
    EXPECT_FALSE(parse_expression(text + "1", ParseOptions::all()));
  }
  std::string brackets = "a[";
  for (int i = 0; i < 100'000; ++i) brackets += "(";
  EXPECT_FALSE(parse_expression(brackets + "1", ParseOptions::all()));
  std::string chain = "1";
  for (int i = 0; i < 400; ++i) chain += "+1";
  EXPECT_TRUE(parse_expression(chain, ParseOptions::all()));
  for (int i = 0; i < 20'000; ++i) chain += "+1";
  EXPECT_FALSE(parse_expression(chain, ParseOptions::all()));
  EXPECT_FALSE(parse_expression("a[" + chain + "]", ParseOptions::all()));
}

TEST(Parser, Selectors) {
  const auto matchers = parse_selector("up{job=~\"a|b\",x!=\"\"}");
  ASSERT_TRUE(matchers);
  ASSERT_EQ(matchers->size(), 3U);
  EXPECT_EQ((*matchers)[0], (Matcher{"job", Matcher::Op::regexp, "a|b"}));
  EXPECT_EQ((*matchers)[2], (Matcher{"__name__", Matcher::Op::equal, "up"}));
  EXPECT_FALSE(parse_selector("up[5m]"));
  EXPECT_FALSE(parse_selector("rate(up[5m])"));
  EXPECT_FALSE(parse_selector(""));
}

TEST(TimeText, Times) {
  EXPECT_EQ(parse_time_ms("1.5"), 1500);
  EXPECT_EQ(parse_time_ms("1700000000.123"), 1'700'000'000'123);
  EXPECT_EQ(parse_time_ms("1970-01-01T00:00:01Z"), 1000);
  EXPECT_EQ(parse_time_ms("2026-11-22T10:00:00.25+01:00"), 1'795'338'000'250);
  for (const std::string_view bad :
       {"", "x", "2026-13-01T00:00:00Z", "2026-01-01", "1e300", "2026-01-01T00:00:00"})
    EXPECT_FALSE(parse_time_ms(bad)) << bad;
}

TEST(TimeText, Durations) {
  EXPECT_EQ(parse_duration_ms("15"), 15'000);
  EXPECT_EQ(parse_duration_ms("0.5"), 500);
  EXPECT_EQ(parse_duration_ms("1h30m"), 5'400'000);
  for (const std::string_view bad : {"", "5x", "30m1h", "1e300", "5mm"})
    EXPECT_FALSE(parse_duration_ms(bad)) << bad;
  for (const std::int64_t ms :
       {0LL, 1LL, 999LL, 60'000LL, 90'061'001LL, 604'800'000LL, 31'536'000'000LL}) {
    EXPECT_EQ(*parse_prometheus_duration(format_prometheus_duration(ms)), ms);
  }
}

TEST(GoText, NumbersAsPrometheusWritesThem) {
  EXPECT_EQ(format_decimal(0.005), "0.005");
  EXPECT_EQ(format_decimal(10000), "10000");
  EXPECT_EQ(format_decimal(1e21), "1000000000000000000000");
  EXPECT_EQ(format_decimal(2.5), "2.5");
  EXPECT_EQ(format_general(1e6), "1e+06");
  EXPECT_EQ(format_general(100000), "100000");
  EXPECT_EQ(format_general(1e-5), "1e-05");
  EXPECT_EQ(*unquote("\"\\u00e4\\x41\\101\\n\""), "\u00e4AA\n");
  EXPECT_EQ(*unquote("`\\n`"), "\\n");
}

} // namespace
} // namespace coalmine::promql
