// SPDX-License-Identifier: Apache-2.0
#include "lab/replay.h"

#include <gtest/gtest.h>

#include <memory>
#include <vector>

namespace coalmine::lab {
namespace {

CountCell cell(int index, double stable_requests, double stable_errors, double canary_requests = 0,
               double canary_errors = 0) {
  CountCell out;
  out.from_ms = index * 15'000;
  out.to_ms = out.from_ms + 15'000;
  const auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{100, 500});
  const auto track = [&](double requests, double errors) {
    return TrackCounts{.requests = requests,
                       .errors = errors,
                       .bounds_ms = bounds,
                       .bucket_counts = {requests * 0.9, requests * 0.09, requests * 0.01}};
  };
  out.total = {"", track(canary_requests, canary_errors), track(stable_requests, stable_errors)};
  out.routes = {out.total};
  out.routes[0].route = "/pay";
  return out;
}

TEST(Replay, JudgesAsLooksWould) {
  struct Case {
    const char* judge;
    double canary_errors; // share
    int cells;
    ReplayEnd end;
  };
  const Case cases[] = {
      {"threshold", 0.01, 400, ReplayEnd::promoted},
      {"threshold", 0.3, 400, ReplayEnd::rolled_back},
      {"threshold", 0.01, 60, ReplayEnd::inconclusive},
      {"sequential", 0.01, 400, ReplayEnd::promoted},
      {"sequential", 0.05, 400, ReplayEnd::rolled_back},
      {"threshold", 0.01, 0, ReplayEnd::no_data},
  };
  for (const auto& c : cases) {
    auto spec = rollout::default_spec("checkout");
    spec.judge = c.judge;
    if (spec.judge == "sequential") spec.signals.clear();
    std::vector<CountCell> cells;
    for (int i = 0; i < 120; ++i) {
      cells.push_back(cell(i, 3'000, 30));
      cells.back().baseline = true;
    }
    for (int i = 0; i < c.cells; ++i)
      cells.push_back(cell(120 + i, 2'700, 27, 300, 300 * c.canary_errors));
    const auto got = replay_cells(spec, cells);
    EXPECT_EQ(got.end, c.end) << c.judge << ' ' << c.canary_errors << ": " << to_string(got.end)
                              << ", " << got.reason;
    if (got.end == ReplayEnd::rolled_back) {
      EXPECT_LT(got.minutes, 5) << c.judge;
    }
  }
}

TEST(Replay, FindsReleases) {
  promql::Series a{
      .labels = Labels::of({{"service_version", "2.4"}}), .floats = {}, .histograms = {}};
  for (int i = 0; i < 10; ++i) a.floats.push_back({i * 60'000, 1, 0});
  for (int i = 60; i < 65; ++i) a.floats.push_back({i * 60'000, 1, 0});
  promql::Series b{.labels = {}, .floats = {{20 * 60'000, 1, 0}}, .histograms = {}};
  const auto got = find_releases({a, b}, 15 * 60'000);
  ASSERT_EQ(got.size(), 3u);
  EXPECT_EQ(got[0].version, "2.4");
  EXPECT_EQ(got[0].to_ms, 9 * 60'000);
  EXPECT_EQ(got[1].version, "");
  EXPECT_EQ(got[2].from_ms, 60 * 60'000);
}

} // namespace
} // namespace coalmine::lab
