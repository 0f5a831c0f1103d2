// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "base/bytes.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/guarded.h"
#include "base/result.h"
#include "base/self_metrics.h"

namespace coalmine {
namespace {

Result<int> half(int n) {
  if (n % 2 != 0) return fail(ErrorCode::invalid_argument, "odd");
  return n / 2;
}

Result<int> quarter(int n) {
  TRY_ASSIGN(const int h, half(n));
  return half(h);
}

TEST(Result, TryPassesTheErrorOn) {
  EXPECT_EQ(*quarter(8), 2);
  const auto bad = quarter(6);
  ASSERT_FALSE(bad);
  EXPECT_EQ(bad.error().code, ErrorCode::invalid_argument);
}

TEST(Bytes, RoundTrip) {
  std::string out;
  ByteWriter w(out);
  w.varint(0);
  w.varint(~0ULL);
  w.zigzag(-1);
  w.zigzag(INT64_MIN);
  w.f64(-0.5);
  w.text("abc");
  w.u64_ordered(258);
  ByteReader r(out);
  EXPECT_EQ(r.varint(), 0u);
  EXPECT_EQ(r.varint(), ~0ULL);
  EXPECT_EQ(r.zigzag(), -1);
  EXPECT_EQ(r.zigzag(), INT64_MIN);
  EXPECT_EQ(r.f64(), -0.5);
  EXPECT_EQ(r.text(), "abc");
  EXPECT_EQ(r.u64_ordered(), 258u);
  EXPECT_TRUE(r.ok());
  EXPECT_TRUE(r.done());
}

TEST(Bytes, TruncatedInputFailsAndStaysFailed) {
  ByteReader r(
      "\x05"
      "ab");
  EXPECT_EQ(r.text(), "");
  EXPECT_FALSE(r.ok());
  EXPECT_EQ(r.u64(), 0u);
  ByteReader endless(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11));
  endless.varint();
  EXPECT_FALSE(endless.ok());
}

TEST(Executor, RunsEveryAcceptedTaskAndRefusesWhenFull) {
  std::atomic<int> ran = 0;
  std::promise<void> gate;
  auto opened = gate.get_future().share();
  int accepted = 0;
  {
    Executor pool({.name = "test", .threads = 1, .queue_limit = 2});
    std::promise<void> started;
    ASSERT_TRUE(pool.try_submit([&, opened] {
      started.set_value();
      opened.wait();
      ++ran;
    }));
    started.get_future().wait();
    for (int i = 0; i < 5; ++i) accepted += pool.try_submit([&] { ++ran; }) ? 1 : 0;
    gate.set_value();
  }
  EXPECT_EQ(accepted, 2);
  EXPECT_EQ(ran, 3);
}

TEST(SelfMetrics, RendersEscapedTextFormat) {
  SelfMetrics metrics;
  metrics.counter("a_total", "Help \\ here.", {{"why", "a\"b\nc"}}).add(2);
  EXPECT_EQ(&metrics.counter("a_total", "", {{"why", "x"}}),
            &metrics.counter("a_total", "", {{"why", "x"}}));
  metrics.gauge("g", "G.", {}, [] { return 1.5; });
  EXPECT_EQ(metrics.render(),
            "# HELP a_total Help \\\\ here.\n# TYPE a_total counter\na_total{why=\"a\\\"b\\nc\"} "
            "2\na_total{why=\"x\"} 0\n"
            "# HELP g G.\n# TYPE g gauge\ng 1.5\n");
}

TEST(Clock, ManualClockMovesOnlyWhenTold) {
  ManualClock clock(1000);
  EXPECT_EQ(clock.wall_ms(), 1000);
  clock.advance_ms(5);
  EXPECT_EQ(clock.wall_ms(), 1005);
  EXPECT_EQ(clock.steady_ms(), 1005);
}

TEST(Guarded, ReachedOnlyThroughALambda) {
  Guarded<int> n(1);
  EXPECT_EQ(n.with([](int& v) { return ++v; }), 2);
}

} // namespace
} // namespace coalmine
