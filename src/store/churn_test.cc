// Processes come and go for days: what the store remembers in memory is what it keeps, no more.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <string>
#include <vector>

#include "store/series/selector_cache.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

constexpr std::int64_t kPodMinute = 60'000;

// Every few minutes a release, with pods of its own that report twice.
struct ChurnTest : ::testing::Test, Fixture {
  struct Pod {
    std::shared_ptr<const Resource> resource;
    std::int64_t born_ms = 0;
  };
  std::vector<Pod> pods;
  std::vector<std::weak_ptr<const MetricSeries>> ever; // decoded
  int releases = 0;
  int born = 0;

  ChurnTest() {
    options.accept_late_ms = 10 * kPodMinute;
    options.ended_after_intervals = 3;
  }

  // Decoded anew, as by a receiver that has forgotten them.
  std::vector<std::shared_ptr<const MetricSeries>> series_of(const Pod& pod) {
    std::vector<std::shared_ptr<const MetricSeries>> out = {
        series(pod.resource, "http.server.request.duration", "http_server_request_duration_seconds",
               MetricKind::histogram, {{"http.response.status_code", std::int64_t{200}}}, "s"),
        series(pod.resource, "http_requests_total", "http_requests_total", MetricKind::counter),
        series(pod.resource, "http_request_errors_total", "http_request_errors_total",
               MetricKind::counter)};
    for (const auto& one : out) ever.emplace_back(one);
    return out;
  }
  void minute() {
    static const auto kBounds = bounds({0.1, 1});
    clock.advance_ms(kPodMinute);
    const auto now = clock.wall_ms();
    if ((now - kNow) / kPodMinute % 5 == 0) ++releases;
    std::erase_if(pods, [&](const Pod& pod) { return now - pod.born_ms > kPodMinute; });
    for (int i = 0; i < 4; ++i) {
      pods.push_back(
          {resource("shop", "canary", fmt::format("2.{}", releases), fmt::format("pod-{}", ++born)),
           now});
    }
    std::vector<MetricPoint> points;
    for (const auto& pod : pods) {
      const auto age = static_cast<std::uint64_t>((now - pod.born_ms) / kPodMinute);
      const auto of = series_of(pod);
      points.push_back(point(of[0], pod.born_ms - 1, now, classic(kBounds, {age, 1, 0})));
      points.push_back(point(of[1], pod.born_ms - 1, now, static_cast<double>(age)));
      points.push_back(point(of[2], pod.born_ms - 1, now, 0));
    }
    append(batch(std::move(points), now));
    ASSERT_TRUE(store->maintain());
  }
  std::array<std::size_t, 4> sizes() {
    std::erase_if(ever, [](const auto& one) { return one.expired(); });
    return {store->stats().series, store->presence().size(),
            dynamic_cast<const StoreImpl&>(*store).facts(), ever.size()};
  }
};

TEST_F(ChurnTest, HundredsOfPodsLeaveWhatRetentionKeeps) {
  options.retention_ms = 60 * kPodMinute;
  open();
  std::array<std::size_t, 4> most{};
  for (int m = 0; m < 240; ++m) {
    minute();
    if (HasFatalFailure()) return;
    const auto now = sizes();
    for (std::size_t i = 0; i < now.size(); ++i) {
      if (m < 120) {
        most[i] = std::max(most[i], now[i]);
      } else {
        ASSERT_LE(now[i], most[i] + most[i] / 20) << "size " << i << " after " << m << " minutes";
      }
    }
  }
  EXPECT_EQ(born, 960);
  EXPECT_EQ(store->arrivals("shop", "2.1"), 0u) << "nothing of it is left";
  EXPECT_GT(store->arrivals("shop", ""), 0u);
}

// However long the retention: what can be decoded or read again is held for an hour.
TEST_F(ChurnTest, WhatIsDecodedIsHeldForAnHour) {
  open();
  std::size_t most = 0;
  for (int m = 0; m < 180; ++m) {
    minute();
    if (HasFatalFailure()) return;
    const auto in_the_index = static_cast<std::size_t>(born) * 3; // their labels are shared with it
    most = std::max(most, sizes()[3] - in_the_index);
  }
  EXPECT_LE(most, 62u * 4 * 3);
  EXPECT_GT(most, 30u * 4 * 3);
}

TEST(Arrivals, WhoComesBackHasANumberItNeverHad) {
  PresenceBook book;
  std::uint64_t before = 0;
  for (int i = 0; i < 1'000; ++i) {
    const auto from = resource("shop", "canary", fmt::format("2.{}", i));
    PresenceBook::Draft draft(book, i);
    draft.see_point(*from, i);
    const auto rows = draft.finish();
    book.set(rows.begin()->first, rows.begin()->second);
    book.count_arrival("shop", "");
    book.count_arrival("shop", fmt::format("2.{}", i));
    if (i == 0) before = book.arrivals("shop", "2.0");
    book.erase(std::vector{rows.begin()->first});
    EXPECT_EQ(book.arrivals("shop", fmt::format("2.{}", i)), 0u);
  }
  book.count_arrival("shop", "2.0");
  EXPECT_GT(book.arrivals("shop", "2.0"), before);
}

TEST(SelectorCache, ForgetsWhatNobodyAsksForAnyMore) {
  SeriesIndex index(100);
  SelectorCache cache;
  const auto ask = [&](const std::string& version) {
    const auto found = cache.find(index, {{"service_version", Matcher::Op::equal, version}});
    EXPECT_TRUE(found);
    return found ? *found : nullptr;
  };
  const auto panel = ask("a panel that is open");
  for (int i = 0; i < 5'000; ++i) {
    ask(fmt::format("2.{}", i)); // a rollout
    EXPECT_EQ(ask("a panel that is open"), panel);
    cache.forget_unused();
    ASSERT_LE(cache.size(), SelectorCache::kMostUnused + 3);
  }
}

} // namespace
} // namespace coalmine::store::testing
