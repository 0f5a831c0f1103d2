// Which of the sources that report the same requests is counted by.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "cohort/count_grid.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

TEST(CountGrid, OneSourceForBothTracks) {
  CountGrid grid(options());
  const auto with = [](CountSeries s, Source source) {
    s.source = source;
    s.id += static_cast<std::uint64_t>(source);
    return s;
  };
  // Stable has counters and spans, the canary has only spans. So spans count on both, although
  // counters are better.
  grid.add(steady(Track::stable, "s", -15, 15, 300, 10));
  grid.add(with(steady(Track::stable, "s", -15, 5, 300, 9), Source::spans));
  grid.add(with(steady(Track::canary, "c", -15, 5, 120, 1), Source::spans));
  auto cells = grid.close(at(100));
  ASSERT_FALSE(cells.empty());
  for (const auto& cell : cells) {
    EXPECT_EQ(cell.source, Source::spans);
    EXPECT_NEAR(cell.total.stable.requests,
                9.0 * static_cast<double>(cell.to_ms - cell.from_ms) / 1000, 1e-6);
  }
  // When the canary's counters arrive, they count from the next cell on, and nothing counts twice.
  const auto switched = grid.closed_until_ms();
  grid.add(with(steady(Track::canary, "c", -15, 5, 300, 1), Source::spans));
  grid.add(steady(Track::canary, "c", 0, 15, 300, 1));
  cells = grid.close(kFar);
  ASSERT_FALSE(cells.empty());
  for (const auto& cell : cells) EXPECT_EQ(cell.source, Source::sent);
  const double seconds = static_cast<double>(grid.closed_until_ms() - switched) / 1000;
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.stable.requests; }),
              10 * seconds, 1e-6);
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.canary.requests; }), seconds,
              1e-6);
}

// A counter that names no errors counts until spans of the same process arrive. Only the canary has
// failed so far, so that its counter goes on to count: stable is not 0 for that.
TEST(CountGrid, ACounterThatBecameAWitnessIsNotChosen) {
  CountGrid grid(options());
  const auto spans = [](Track track, const std::string& instance, double rate) {
    auto out = steady(track, instance, 0, 15, 300, rate);
    out.id += 1;
    out.source = Source::spans;
    return out;
  };
  grid.add(series(Track::stable, Measure::requests, "s", "/pay", {{1, 10, 0.5}}));
  EXPECT_EQ(grid.waiting_requests(Track::stable, kOrigin), 10);
  grid.add(steady(Track::stable, "s", 1, 15, 300, 10, Measure::witness));
  grid.add(spans(Track::stable, "s", 10));
  grid.add(steady(Track::canary, "c", 0, 15, 300, 1));
  grid.add(spans(Track::canary, "c", 1));
  EXPECT_NEAR(grid.waiting_requests(Track::stable, kOrigin), 3000, 1e-6);
  const auto cells = grid.close(kFar);
  ASSERT_GE(cells.size(), 10u);
  for (const auto& cell : cells) {
    EXPECT_EQ(cell.source, Source::spans);
    EXPECT_NEAR(cell.total.stable.requests / cell.total.canary.requests, 10, 1e-6);
  }
  // The first error on stable: its counter counts again.
  grid.add(steady(Track::stable, "s", 315, 15, 600, 10));
  grid.add(steady(Track::canary, "c", 315, 15, 600, 1));
  const auto later = grid.close(kFar);
  ASSERT_FALSE(later.empty());
  EXPECT_EQ(later.back().source, Source::sent);
}

} // namespace
} // namespace coalmine::cohort
