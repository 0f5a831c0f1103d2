// Durations in the cells of the grid.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <numeric>

#include "cohort/count_grid.h"
#include "cohort/durations.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

TEST(CountGrid, OnlyBoundariesThatAllHaveAreCounted) {
  CountGrid grid(options());
  const auto timed = [&](Track track, const std::string& name, std::vector<double> bounds,
                         std::vector<std::uint64_t> per_export) {
    auto out = series(track, Measure::duration, name, "/pay", {});
    const auto shared = std::make_shared<const std::vector<double>>(std::move(bounds));
    for (int i = 0; i <= 4; ++i) {
      std::vector<std::uint64_t> counts;
      for (const auto n : per_export) counts.push_back(n * static_cast<std::uint64_t>(i));
      const auto n = std::accumulate(counts.begin(), counts.end(), std::uint64_t{0});
      out.classic.push_back({at(15.0 * i), at(-3600), false, {shared, counts, n, 0}});
    }
    return out;
  };
  for (const auto track : {Track::stable, Track::canary})
    grid.add(steady(track, "i", 0, 15, 60, 1));
  grid.add(timed(Track::stable, "i", {10, 50, 100, 250}, {1, 2, 3, 4, 5}));
  grid.add(timed(Track::canary, "i", {5, 10, 100, 1000}, {1, 1, 5, 7, 9}));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 4u);
  EXPECT_EQ(*cells[0].total.shared_bounds(), (std::vector<double>{10, 100}));
  const auto near = [](const std::vector<double>& got, const std::vector<double>& want) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-9);
  };
  near(cells[1].total.stable.bucket_counts, {1, 5, 9});
  near(cells[1].total.canary.bucket_counts, {2, 5, 16});

  CountGrid apart(options());
  for (const auto track : {Track::stable, Track::canary})
    apart.add(steady(track, "i", 0, 15, 60, 1));
  apart.add(timed(Track::stable, "i", {10, 50}, {1, 2, 3}));
  apart.add(timed(Track::canary, "i", {7, 70}, {1, 2, 3}));
  const auto none = apart.close(kFar);
  ASSERT_EQ(none.size(), 4u);
  EXPECT_EQ(none[0].total.shared_bounds(), nullptr);
  EXPECT_TRUE(none[0].total.stable.bucket_counts.empty());
  EXPECT_NE(none[1].total.bounds_note().find("the canary with the bounds 7, 70 ms"),
            std::string::npos)
      << none[1].total.bounds_note();
}

// An instance whose durations are also there in exponential buckets is counted by these alone, cell
// by cell: where they end, the classic ones go on.
TEST(CountGrid, DurationsMeasuredFinelyAreCountedOnce) {
  const auto coarse_bounds = std::make_shared<const std::vector<double>>(std::vector<double>{500});
  const auto coarse = [&](Track track) {
    auto out = series(track, Measure::duration, "i", "/pay", {});
    for (int i = 0; i <= 8; ++i) {
      const auto n = static_cast<std::uint64_t>(10 * i);
      out.classic.push_back({at(15.0 * i), at(-3600), false, {coarse_bounds, {n, 0}, n, 0}});
    }
    return out;
  };
  const auto fine = [&](Track track, int scale) {
    auto out = series(track, Measure::duration, "i", "/pay", {});
    out.id += 1;
    for (int i = 0; i <= 4; ++i) {
      ExponentialHistogram h;
      h.scale = scale - (i > 2 ? 1 : 0); // the application's histogram became coarser
      h.count = static_cast<std::uint64_t>(10 * i);
      h.positive = {-(1 << h.scale) * 3, {h.count}};
      h.sum = 0.13 * static_cast<double>(h.count);
      out.exponential.push_back({at(15.0 * i), at(-3600), false, h});
    }
    return out;
  };
  CountGrid grid(options());
  for (const auto track : {Track::stable, Track::canary}) {
    grid.add(steady(track, "i", 0, 15, 120, 1));
    grid.add(coarse(track));
  }
  grid.add(fine(Track::stable, 5));
  grid.add(fine(Track::canary, 4));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 8u);
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto& row = cells[i].total;
    const int scale = i < 2 ? 4 : 3; // the coarser track's
    const auto& expected = i < 4 ? judged_bounds_ms(scale) : coarse_bounds;
    EXPECT_EQ(row.shared_bounds(), expected.get()) << i;
    EXPECT_NEAR(row.stable.timed, 10, 1e-9);
    EXPECT_NEAR(row.canary.timed, 10, 1e-9);
    EXPECT_NEAR(row.canary.sum_ms, i < 4 ? 1300 : 0, 1e-9);
    EXPECT_EQ(row.bounds_note(), "");
    ASSERT_EQ(cells[i].routes.size(), 1u);
    EXPECT_EQ(cells[i].routes[0].stable.bounds_ms, expected);
  }
}

} // namespace
} // namespace coalmine::cohort
