// What the age of an export tells of the clock of its process, and what it does not.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <functional>
#include <string>
#include <vector>

#include "cohort/count_grid.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

// One process with series of two routes, 10 requests a second on each. Seconds after the origin.
struct MinuteExporter {
  Track track = Track::stable;
  std::string name;
  double first = 0;
  double every = 60;
  double until = 1e9;
  // From an export until it can be read.
  std::function<double(double)> late = [](double) { return 0.0; };

  void give(CountGrid& grid, double now) const {
    for (const auto* route : {"/cart", "/pay"}) {
      std::vector<At> requests;
      std::vector<At> errors;
      for (double t = first; t <= std::min(now, until); t += every) {
        if (t + late(t) > now) break;
        requests.push_back({t, 10 * (t + 3600)});
        errors.push_back({t, 0});
      }
      if (requests.empty()) continue;
      grid.add(series(track, Measure::requests, name, route, requests), at(now));
      grid.add(series(track, Measure::bad, name, route, errors), at(now));
    }
  }
};

// Reads every 5 s from the origin on and returns the cells.
std::vector<CountCell> watch(CountGrid& grid, const std::vector<MinuteExporter>& exporters,
                             double until, const std::function<void(double)>& see) {
  std::vector<CountCell> out;
  for (double now = 0; now <= until; now += 5) {
    for (const auto& one : exporters) one.give(grid, now);
    for (auto& cell : grid.close(at(now))) out.push_back(std::move(cell));
    see(now);
  }
  return out;
}

TEST(CountGridClocks, TheAgeOfWhatWasThereAtTheFirstReadTellsNothing) {
  CountGrid grid(options());
  // As after a restart: one exported just now, the other nearly a minute ago; and one is over.
  const std::vector<MinuteExporter> exporters = {
      {.track = Track::stable, .name = "s", .first = -603},
      {.track = Track::stable, .name = "over", .first = -900, .until = -400},
      {.track = Track::canary, .name = "c", .first = -655}};
  const auto cells = watch(grid, exporters, 600, [&](double now) {
    for (const auto* name : {"s", "over"})
      EXPECT_EQ(grid.clock_offset_ms(Track::stable, name), 0) << name << ' ' << now;
    EXPECT_EQ(grid.clock_offset_ms(Track::canary, "c"), 0) << now;
  });
  ASSERT_GE(cells.size(), 8u);
  for (const auto& cell : cells) {
    EXPECT_NEAR(cell.total.canary.requests, 1200, 1e-6) << cell.from_ms - kOrigin;
    EXPECT_NEAR(cell.total.stable.requests, 1200, 1e-6) << cell.from_ms - kOrigin;
  }
}

TEST(CountGridClocks, OneLateExportTellsNothing) {
  CountGrid grid(options());
  const std::vector<MinuteExporter> exporters = {
      {.track = Track::stable, .name = "s", .first = -603},
      {.track = Track::canary, .name = "c", .first = 10, .late = [](double t) {
         return t == 70 ? 40 : 0;
       }}};
  (void)watch(grid, exporters, 600,
              [&](double now) { EXPECT_EQ(grid.clock_offset_ms(Track::canary, "c"), 0) << now; });
}

TEST(CountGridClocks, WhoComesInTimeWasNeverBehind) {
  CountGrid grid(options());
  const std::vector<MinuteExporter> exporters = {
      {.track = Track::stable, .name = "s", .first = -603},
      {.track = Track::canary, .name = "c", .first = -600, .late = [](double t) {
         return t < 400 ? 50 : 0;
       }}};
  (void)watch(grid, exporters, 900, [&](double now) {
    const auto offset = grid.clock_offset_ms(Track::canary, "c");
    if (now >= 240 && now < 400) {
      EXPECT_NEAR(static_cast<double>(offset), 50'000, 5'000) << now;
    } else if (now > 480) {
      EXPECT_EQ(offset, 0) << now;
    }
  });
  const auto ledger = grid.ledger();
  EXPECT_NEAR(ledger.counted + ledger.pending + ledger.late, 20 * (897 + 900), 20 * 60)
      << "nothing twice";
}

} // namespace
} // namespace coalmine::cohort
