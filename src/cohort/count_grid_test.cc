// SPDX-License-Identifier: Apache-2.0
#include "cohort/count_grid.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <random>

#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

TEST(CountGrid, UnsynchronisedExportsMeetAtCommonEdges) {
  CountGrid grid(options());
  grid.add(steady(Track::canary, "c", -23, 15, 400, 2));
  grid.add(steady(Track::stable, "s1", -41, 60, 400, 10));
  grid.add(steady(Track::stable, "s2", -7, 30, 400, 5));
  const auto cells = grid.close(kFar);
  ASSERT_GE(cells.size(), 5u);
  EXPECT_EQ(grid.cell_ms(), 60'000) << "as long as the longest interval of either track";
  std::int64_t edge = kOrigin;
  for (const auto& cell : cells) {
    EXPECT_EQ(cell.from_ms, edge);
    EXPECT_EQ(cell.to_ms, edge + 60'000);
    EXPECT_NEAR(cell.total.canary.requests, 120, 1e-6);
    EXPECT_NEAR(cell.total.stable.requests, 900, 1e-6);
    edge = cell.to_ms;
  }
  EXPECT_EQ(edge, at(300));
  // s2 decides: its last export whose window of 60 s is over.
  EXPECT_EQ(grid.watermark_ms(Track::stable), at(323));
}

// An instance that exports four times as often is spread as widely as the rest, wherever its
// windows begin. A shared incident must not lie in one cell on one track and in two on the other.
// No request is lost.
TEST(CountGrid, OftenExportedIsSpreadLikeTheRest) {
  double least = 1;
  double most = 0;
  for (int name = 0; name < 40; ++name) {
    CountGrid grid(options());
    grid.add(steady(Track::stable, "s", -30, 60, 600, 10));
    const auto instance = "c" + std::to_string(name);
    grid.add(steady(Track::canary, instance, -15, 15, 600, 2));
    // Ten errors between the exports at 285 and 300.
    std::vector<At> errors;
    for (double t = -15; t <= 600; t += 15) errors.push_back({t, t >= 300 ? 10.0 : 0.0});
    grid.add(series(Track::canary, Measure::bad, instance, "/pay", errors));
    const auto cells = grid.close(kFar);
    ASSERT_GE(cells.size(), 7u);
    EXPECT_NEAR(total(cells, [](const auto& cell) { return cell.total.canary.errors; }), 10, 1e-9);
    for (const auto& cell : cells) EXPECT_NEAR(cell.total.canary.requests, 120, 1e-6);
    const double in_its_cell = cells[4].total.canary.errors / 10; // (240, 300]
    EXPECT_NEAR(in_its_cell + (cells[3].total.canary.errors + cells[5].total.canary.errors) / 10, 1,
                1e-9);
    least = std::min(least, in_its_cell);
    most = std::max(most, in_its_cell);
  }
  EXPECT_LT(least, 0.4);
  EXPECT_GT(most, 0.9);
}

TEST(CountGrid, CellsCloseOnlyBehindBothWatermarks) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s", -15, 15, 120, 10));
  EXPECT_TRUE(grid.close(kFar).empty()) << "no canary telemetry yet";
  EXPECT_FALSE(grid.watermark_ms(Track::canary));
  grid.add(steady(Track::canary, "c", -15, 15, 44, 1));
  EXPECT_EQ(grid.close(kFar).size(), 2u);
  grid.add(steady(Track::canary, "c", -15, 15, 45, 1));
  EXPECT_TRUE(grid.close(at(44.9)).empty()) << "not beyond what was asked for";
  EXPECT_EQ(grid.close(at(45)).size(), 1u);
  EXPECT_TRUE(grid.close(kFar).empty()) << "each once";
  EXPECT_EQ(grid.closed_until_ms(), at(45));
}

TEST(CountGrid, SamplesGivenTwiceCountOnce) {
  CountGrid grid(options());
  double requests = 0;
  for (int look = 0; look < 40; ++look) {
    grid.add(steady(Track::canary, "c", -15, 15, look * 5.0, 3));
    grid.add(steady(Track::stable, "s", -10, 15, look * 5.0, 3));
    requests += total(grid.close(kFar), [](const CountCell& c) { return c.total.canary.requests; });
  }
  EXPECT_NEAR(requests, 3.0 * static_cast<double>(grid.closed_until_ms() - kOrigin) / 1000, 1e-6);
  EXPECT_GE(grid.closed_until_ms(), at(180));
}

// The sum of one canary series. A steady stable track makes the cells close.
TEST(CountGrid, WhatSamplesMean) {
  struct Case {
    const char* name;
    std::vector<At> points;
    double expected;
    bool remote = false;
  };
  constexpr double kUnknown = 0;
  const Case cases[] = {
      {"from a baseline before the origin", {{-15, 100}, {0, 100}, {60, 160}}, 60},
      {"half of an interval across the origin", {{-30, 100}, {30, 160}, {60, 160}}, 30},
      {"the first point of a new process counts from its start", {{30, 40, 5}, {60, 60, 5}}, 60},
      {"a process that began before the origin, first seen after it", {{60, 120, -60}}, 60},
      {"one that began long before is a baseline", {{30, 4000, -3600}, {60, 4020, -3600}}, 20},
      {"unknown start: a baseline", {{30, 40, kUnknown}, {60, 60, kUnknown}}, 20},
      {"unknown start of an instance first seen later, where that is the rule",
       {{30, 40, kUnknown}, {60, 60, kUnknown}},
       60,
       true},
      {"seen before the origin: its sample is a baseline under that rule too",
       {{-15, 40, kUnknown}, {0, 40, kUnknown}, {60, 60, kUnknown}},
       20,
       true},
      {"start at the point itself says nothing", {{30, 40, 30}, {60, 60, 30}}, 20},
      {"the value fell: a reset", {{0, 100}, {15, 120}, {30, 30}, {60, 50}}, 70},
      {"start moved: a restart, even where the value is higher",
       {{0, 100}, {15, 150, 2}, {60, 160, 2}},
       160},
      {"two restarts", {{0, 100}, {15, 10, 3}, {30, 5, 20}, {60, 7, 20}}, 17},
      {"stale markers are no values",
       {{0, 100}, {15, std::numeric_limits<double>::quiet_NaN()}, {60, 130}},
       30},
      {"nothing happened", {{0, 100}, {60, 100}}, 0},
      {"infinite and negative values are none",
       {{0, 100}, {15, INFINITY}, {30, -5}, {60, 110}},
       10},
  };
  for (const auto& c : cases) {
    auto o = options();
    o.unseen_instances_begin_at_zero = c.remote;
    CountGrid grid(o);
    grid.add(steady(Track::stable, "s", -60, 15, 60, 10));
    grid.add(series(Track::canary, Measure::requests, "c", "/pay", c.points));
    // A second canary instance without requests, so that the watermark moves.
    grid.add(steady(Track::canary, "idle", -60, 15, 60, 0));
    const auto cells = grid.close(kFar);
    const auto ledger = grid.ledger();
    const double closed =
        total(cells, [](const CountCell& cell) { return cell.total.canary.requests; });
    EXPECT_NEAR(closed + grid.waiting_requests(Track::canary), c.expected, 1e-6) << c.name;
    EXPECT_EQ(ledger.late, 0) << c.name;
  }
}

TEST(CountGrid, TheFirstErrorOfARouteCountsSinceTheExportBefore) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s", -15, 15, 90, 10));
  grid.add(steady(Track::canary, "c", -15, 15, 90, 10));
  grid.add(series(Track::canary, Measure::bad, "c", "/pay",
                  {{45, 9, -3600}, {60, 9, -3600}, {75, 9, -3600}}));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 6u);
  for (const auto& cell : cells)
    EXPECT_NEAR(cell.total.canary.errors, cell.to_ms == at(45) ? 9 : 0, 1e-9);
}

TEST(CountGrid, ASparseSeriesGrewSinceTheLastExportOfItsInstance) {
  // Derived from spans: a route's series has samples only when something happened.
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s", -15, 15, 120, 10));
  grid.add(steady(Track::canary, "c", -15, 15, 120, 10));
  grid.add(series(Track::canary, Measure::requests, "c", "/rare", {{-15, 500}, {105, 507}}));
  const auto cells = grid.close(kFar);
  for (const auto& cell : cells)
    EXPECT_NEAR(cell.total.canary.requests, cell.to_ms == at(105) ? 157 : 150, 1e-6);
}

TEST(CountGrid, AChangeOfWeightMarksTheCell) {
  CountGrid grid(options());
  grid.weight_changed(at(-30), at(-20), 0.05);
  grid.weight_changed(at(31), at(33), 0.25);
  grid.weight_changed(at(60), at(60), 0.5);
  grid.add(steady(Track::stable, "s", -15, 15, 120, 10));
  grid.add(steady(Track::canary, "c", -15, 15, 120, 1));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 8u);
  const std::vector<std::pair<bool, double>> expected = {{false, 0.05}, {false, 0.05}, {true, 0.05},
                                                         {false, 0.25}, {false, 0.5},  {false, 0.5},
                                                         {false, 0.5},  {false, 0.5}};
  for (std::size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].mixed, expected[i].first) << i;
    EXPECT_EQ(cells[i].weight, expected[i].second) << i;
  }
}

// Traffic that follows the weights is seen as it is in every cell but the one of the change,
// wherever in an export interval or in a cell that lies.
TEST(CountGrid, NoCellShowsTrafficOfAnotherWeight) {
  std::mt19937_64 random(11);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int round = 0; round < 60; ++round) {
    const double change = uniform(120, 240);
    const double every = round % 3 == 0 ? 2 : round % 3 == 1 ? 15 : 60;
    CountGrid grid(options());
    grid.weight_changed(at(0.5), at(0.6), 0.1);
    grid.weight_changed(at(change), at(change + 0.02), 0.5);
    for (const auto track : kBothTracks) {
      const auto share = [&](double t) {
        const double canary = t < 0.6 ? 0 : t < change + 0.02 ? 0.1 : 0.5;
        return track == Track::canary ? canary : 1 - canary;
      };
      double sum = 0;
      double until = -60;
      std::vector<At> points;
      for (double t = -uniform(0, every); t <= 480; t += every) {
        for (double s : {0.6, change + 0.02, t}) {
          if (s <= until || s > t) continue;
          sum += 100 * (s - until) * share((s + until) / 2);
          until = s;
        }
        points.push_back({t, sum, -3600});
      }
      grid.add(series(track, Measure::requests, track == Track::canary ? "c" : "s", "/", points));
      EXPECT_NEAR(grid.waiting_requests(track, at(change + 0.02)),
                  50 * (points.back().second - change - 0.02), 1);
    }
    int compared = 0;
    for (const auto& cell : grid.close(kFar)) {
      if (cell.mixed || cell.weight < 0) continue;
      const auto& [canary, stable] =
          std::pair(cell.total.canary.requests, cell.total.stable.requests);
      ++compared;
      EXPECT_NEAR(canary / (canary + stable), cell.weight, 0.02)
          << "every " << every << " s, changed at " << change << ", cell at "
          << static_cast<double>(cell.from_ms - kOrigin) / 1000;
    }
    EXPECT_GE(compared, 4);
  }
}

// The first export of a canary comes when cells behind the change are closed already, as after a
// restart: what it had before the weight was nothing.
TEST(CountGrid, AFirstExportBehindTheChangeWasServedSinceTheChange) {
  CountGrid grid(options());
  grid.weight_changed(at(0.5), at(0.6), 0.25);
  for (const auto track : kBothTracks)
    grid.add(steady(track, track == Track::canary ? "c" : "s", 0, 5, 30, 10));
  const auto closed = grid.close(at(20));
  ASSERT_FALSE(closed.empty());
  const double behind = static_cast<double>(grid.closed_until_ms() - kOrigin) / 1000;
  const double before = grid.waiting_requests(Track::canary);
  grid.add(series(Track::canary, Measure::requests, "new", "/", {{48, 474, -80}}));
  EXPECT_GE(grid.waiting_requests(Track::canary) - before, 10 * (48 - behind) - 1e-6);
  EXPECT_LE(grid.waiting_requests(Track::canary) - before, 474);
}

// A process that exported every minute and is gone leaves the others their own pace.
TEST(CountGrid, AnInstanceThatHasEndedSetsNoLength) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "old", -60, 60, 115, 10));
  grid.add(steady(Track::stable, "s", -5, 5, 600, 10));
  grid.add(steady(Track::canary, "c", -5, 5, 600, 1));
  const auto cells = grid.close(kFar);
  ASSERT_GT(cells.size(), 50u);
  EXPECT_EQ(cells.front().to_ms, at(60)) << "its last interval";
  for (std::size_t i = 1; i < cells.size(); ++i)
    EXPECT_EQ(cells[i].to_ms - cells[i].from_ms, 5'000) << i;
}

// A request counts as answered where HTTP statuses of its instance are known: by labels of its
// counters or by a count of client errors, also one of 0.
TEST(CountGrid, ClientErrorsAreCountedWhereStatusesAreKnown) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "derived", -15, 15, 600, 2));
  grid.add(steady(Track::stable, "derived", -15, 15, 600, 0, Measure::client_errors));
  grid.add(steady(Track::stable, "unknown", -15, 15, 600, 4));
  for (const auto answer : {Answer::other, Answer::client_error}) {
    const bool bad = answer == Answer::client_error;
    auto labelled = steady(Track::canary, "labelled", -15, 15, 600, bad ? 1 : 3);
    labelled.answer = answer;
    labelled.id += bad ? 1 : 0;
    grid.add(labelled);
  }
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 40u);
  for (const auto& cell : cells) {
    for (const auto& row : {cell.total, cell.routes.at(0)}) {
      EXPECT_NEAR(row.stable.requests, 90, 1e-6);
      EXPECT_NEAR(row.stable.answered, 30, 1e-6);
      EXPECT_EQ(row.stable.client_errors, 0);
      EXPECT_NEAR(row.canary.answered, 60, 1e-6);
      EXPECT_NEAR(row.canary.client_errors, 15, 1e-6);
      EXPECT_EQ(row.canary.errors, 0);
    }
  }
}

TEST(CountGrid, WarmingInstancesCountErrorsAndNotDurations) {
  CountGrid grid(options());
  const auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{10, 100});
  const auto timed = [&](Track track, const std::string& name, double start, double from) {
    auto out = series(track, Measure::duration, name, "/pay", {});
    for (double t = from; t <= 600; t += 15) {
      const auto n = static_cast<std::uint64_t>(t - start);
      out.classic.push_back(
          {at(t), at(start), false, {bounds, {n, n, 0}, 2 * n, static_cast<double>(n)}});
    }
    return out;
  };
  const auto counted = [&](Track track, const std::string& name, double start, double from,
                           Measure measure, double rate) {
    std::vector<At> points;
    for (double t = from; t <= 600; t += 15) points.push_back({t, rate * (t - start), start});
    return series(track, measure, name, "/pay", points);
  };
  grid.add(counted(Track::stable, "old", -3600, -15, Measure::requests, 2));
  grid.add(timed(Track::stable, "old", -3600, -15));
  grid.add(counted(Track::canary, "new", 0.5, 15, Measure::requests, 2));
  grid.add(counted(Track::canary, "new", 0.5, 15, Measure::bad, 1));
  grid.add(timed(Track::canary, "new", 0.5, 15));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 40u);
  for (const auto& cell : cells) {
    const bool warming = cell.from_ms < at(180.5);
    const auto& c = cell.total.canary;
    EXPECT_GT(c.errors, 14);
    EXPECT_NEAR(c.warming_requests, warming ? c.requests : 0, 1e-9);
    EXPECT_NEAR(c.warming_errors, warming ? c.errors : 0, 1e-9);
    EXPECT_NEAR(c.timed, warming ? 0 : 30, 1e-6);
    EXPECT_EQ(cell.total.stable.warming_requests, 0);
    EXPECT_NEAR(cell.total.stable.timed, 30, 1e-6);
    ASSERT_EQ(cell.total.stable.bucket_counts.size(), 3u);
    EXPECT_NEAR(cell.total.stable.bucket_counts[1], 15, 1e-6);
    for (const auto& instance : cell.instances)
      EXPECT_EQ(instance.warming, warming && instance.track == Track::canary);
  }
}

TEST(CountGrid, SmallRoutesArePooledByThePast) {
  auto o = options();
  o.min_route_requests = 100;
  o.ignore_routes = {"/healthz"};
  CountGrid grid(o);
  for (const auto track : {Track::stable, Track::canary}) {
    grid.add(steady(track, "i", -15, 15, 120, 10, Measure::requests, "/big"));
    grid.add(steady(track, "i", -15, 15, 120, 0.1, Measure::requests, "/small"));
    grid.add(steady(track, "i", -15, 15, 120, 0.2, Measure::requests, "/tiny"));
    grid.add(steady(track, "i", -15, 15, 120, 50, Measure::requests, "/healthz"));
    grid.add(steady(track, "i", -15, 15, 120, 1, Measure::requests, ""));
  }
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 8u);
  ASSERT_EQ(cells[0].routes.size(), 1u) << "nothing is known of any route";
  EXPECT_EQ(cells[0].routes[0].route, kPooledRoute);
  ASSERT_EQ(cells[1].routes.size(), 2u);
  EXPECT_EQ(cells[1].routes[0].route, "/big");
  EXPECT_EQ(cells[1].routes[1].route, kPooledRoute);
  EXPECT_NEAR(cells[1].routes[1].canary.requests, 4.5, 1e-9);
  EXPECT_NEAR(cells[1].total.canary.requests, 15 * 11.3, 1e-6)
      << "with the requests without a route, without the ignored";
}

TEST(CountGrid, ARouteThatIsNamedIsNeverPooled) {
  auto o = options();
  o.min_route_requests = 1e9;
  o.max_routes = 0;
  o.own_routes = {"/pay"};
  CountGrid grid(o);
  for (const auto track : {Track::stable, Track::canary}) {
    grid.add(steady(track, "i", -15, 15, 120, 10, Measure::requests, "/big"));
    grid.add(steady(track, "i", -15, 15, 120, 0.1, Measure::requests, "/pay"));
  }
  const auto cells = grid.close(kFar);
  ASSERT_FALSE(cells.empty());
  for (const auto& cell : cells) {
    ASSERT_EQ(cell.routes.size(), 2u);
    EXPECT_EQ(cell.routes[0].route, "/pay");
    EXPECT_NEAR(cell.routes[0].canary.requests, 1.5, 1e-9);
    EXPECT_EQ(cell.routes[1].route, kPooledRoute);
  }
}

TEST(CountGrid, AMissingInstanceDoesNotHoldUpTheRest) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s1", -15, 15, 300, 10));
  grid.add(steady(Track::stable, "s2", -15, 15, 60, 10)); // ended
  grid.add(steady(Track::canary, "c", -15, 15, 300, 1));
  const auto cells = grid.close(kFar);
  EXPECT_EQ(cells.back().to_ms, at(300));
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.stable.requests; }),
              10 * 300 + 10 * 60, 1e-6);
}

TEST(CountGrid, ALateExportIsKeptALittleAndLostLong) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s1", -15, 15, 600, 10));
  grid.add(steady(Track::stable, "s2", -15, 15, 60, 10));
  grid.add(steady(Track::canary, "c", -15, 15, 600, 1));
  auto cells = grid.close(at(90));
  grid.add(series(Track::stable, Measure::requests, "s2", "/pay", {{85, 10.0 * (85 + 3600)}}));
  auto more = grid.close(at(120));
  cells.insert(cells.end(), more.begin(), more.end());
  EXPECT_EQ(grid.ledger().late, 0) << "60 to 85 s, closed at 90: within two cells";
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.stable.requests; }),
              10 * 120 + 10 * 85, 1e-6);
  more = grid.close(at(600));
  grid.add(series(Track::stable, Measure::requests, "s2", "/pay",
                  {{600, 10.0 * (600 + 3600)}, {615, 10.0 * (615 + 3600)}}));
  const auto ledger = grid.ledger();
  EXPECT_NEAR(ledger.late, 10 * (570 - 85), 1e-6) << "two cells are kept";
  EXPECT_NEAR(ledger.pending, 10 * 30 + 10 * 15, 1e-6);
}

TEST(CountGrid, LateCountsDoNotCrossAChangeOfWeight) {
  CountGrid grid(options());
  grid.weight_changed(at(80), at(80), 0.25);
  grid.add(steady(Track::stable, "s1", -15, 15, 600, 10));
  grid.add(steady(Track::stable, "s2", -15, 15, 60, 10));
  grid.add(steady(Track::canary, "c", -15, 15, 600, 1));
  (void)grid.close(at(90));
  grid.add(series(Track::stable, Measure::requests, "s2", "/pay", {{100, 10.0 * (100 + 3600)}}));
  // 400 in 40 s, of which stable was sent 100 % for 20 s and 75 % for 20 s.
  const double before = 400 * 20.0 / (20 + 0.75 * 20);
  EXPECT_NEAR(grid.ledger().late, before, 1e-6);
  EXPECT_NEAR(grid.ledger().pending, 400 - before + (10 + 1) * 510, 1e-6)
      << "with what the others have waiting";
}

TEST(CountGrid, ClocksThatAreOff) {
  struct Case {
    double off; // seconds: the instance's clock minus ours
    double expected_offset;
  };
  for (const auto& c :
       {Case{0, 0}, Case{1, 0}, Case{41, -41}, Case{300, -300}, Case{-20, 0}, Case{-200, 200}}) {
    CountGrid grid(options());
    double canary = 0;
    for (double now = 0; now <= 900; now += 5) {
      for (const auto& [track, name, rate, off] : {std::tuple{Track::stable, "s", 10.0, 0.0},
                                                   std::tuple{Track::canary, "c", 2.0, c.off}}) {
        std::vector<At> points;
        for (double t = now - 30; t <= now; t += 5) {
          if (t >= -15 && std::fmod(t + 900, 15) == 0)
            points.push_back({t + off, rate * (t + 3600), -3600 + off});
        }
        grid.add(series(track, Measure::requests, name, "/pay", points), at(now));
      }
      canary += total(grid.close(at(now)),
                      [](const CountCell& cell) { return cell.total.canary.requests; });
    }
    EXPECT_NEAR(static_cast<double>(grid.clock_offset_ms(Track::canary, "c")) / 1000,
                c.expected_offset, 5)
        << c.off;
    EXPECT_GE(grid.closed_until_ms(), at(860)) << c.off;
    const double seconds = static_cast<double>(grid.closed_until_ms() - kOrigin) / 1000;
    EXPECT_NEAR(canary, 2 * seconds, 2 * std::abs(c.off) + 12) << c.off;
  }
}

// Every request since the origin is in exactly one place, whatever the exporters do.
TEST(CountGrid, TotalsAreConserved) {
  std::mt19937_64 random(7);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int run = 0; run < 40; ++run) {
    CountGrid grid(options());
    if (run % 3 == 1) grid.weight_changed(at(200), at(205), 0.25);
    struct Exporter {
      CountSeries requests;
      CountSeries bad;
      double next, every, value, bad_value, start, until;
    };
    std::vector<Exporter> exporters;
    for (int i = 0; i < 6; ++i) {
      const auto track = i < 3 ? Track::canary : Track::stable;
      const bool is_new = i % 3 == 2;
      const double start = is_new ? uniform(20, 300) : -3600;
      exporters.push_back({series(track, Measure::requests, "i" + std::to_string(i), "/pay", {}),
                           series(track, Measure::bad, "i" + std::to_string(i), "/pay", {}),
                           is_new ? start + uniform(1, 30) : 0, uniform(5, 60), 0, 0, start,
                           i % 3 != 0 && uniform(0, 1) < 0.3 ? uniform(100, 400) : 1e9});
    }
    double truth = 0;
    double counted = 0;
    double counted_bad = 0;
    double truth_bad = 0;
    const auto take = [&](const std::vector<CountCell>& cells) {
      for (const auto& cell : cells) {
        const double sum = cell.total.canary.requests + cell.total.stable.requests;
        counted += sum;
        counted_bad += cell.total.canary.errors + cell.total.stable.errors;
        EXPECT_GE(cell.total.canary.requests, 0);
        EXPECT_LE(cell.total.canary.errors, cell.total.canary.requests + 1e-6);
        double instances = 0;
        for (const auto& instance : cell.instances) instances += instance.requests;
        EXPECT_NEAR(instances, sum, 1e-6);
      }
    };
    for (double now = 0; now <= 900; now += 5) {
      for (auto& e : exporters) {
        while (e.next <= now && e.next < e.until) {
          const bool restart = uniform(0, 1) < 0.03;
          if (restart) {
            e.value = e.bad_value = 0;
            e.start = e.next - 0.5;
          }
          const double more = std::floor(uniform(0, 100));
          const double worse = std::floor(more * uniform(0, 0.5));
          e.value += more;
          e.bad_value += worse;
          if (e.next > 0) truth += more;
          if (e.next > 0) truth_bad += worse;
          e.requests.floats.push_back({at(e.next), at(e.start), e.value});
          e.bad.floats.push_back({at(e.next), at(e.start), e.bad_value});
          e.next += e.every * uniform(0.95, 1.05);
        }
        grid.add(e.requests);
        grid.add(e.bad);
      }
      take(grid.close(at(now)));
    }
    const auto ledger = grid.ledger();
    EXPECT_NEAR(ledger.counted, counted, 1e-5);
    EXPECT_NEAR(ledger.counted + ledger.pending + ledger.late, truth, 1e-4) << run;
    EXPECT_LE(counted_bad, truth_bad + 1e-6);
    EXPECT_GE(grid.closed_until_ms(), at(720)) << run;
  }
}

TEST(CountGrid, NothingBreaksIt) {
  std::mt19937_64 random(3);
  for (int run = 0; run < 50; ++run) {
    CountGrid grid(options());
    for (int i = 0; i < 200; ++i) {
      auto s = series(random() % 2 ? Track::canary : Track::stable,
                      random() % 2 ? Measure::requests : Measure::bad, std::to_string(random() % 4),
                      std::to_string(random() % 3), {});
      const double values[] = {0, 1, 1e9, 1e18, -1, INFINITY, NAN, 1e308, 0.5};
      for (int k = 0; k < 3; ++k) {
        const auto time = kOrigin + static_cast<std::int64_t>(random() % 2'000'000) - 600'000;
        s.floats.push_back(
            {time, static_cast<std::int64_t>(random() % 3) * time / 2, values[random() % 9]});
      }
      std::ranges::sort(s.floats, {}, &FloatSample::time_ms);
      grid.add(s, random() % 2 ? kOrigin + static_cast<std::int64_t>(random() % 1'000'000) : 0);
      if (random() % 20 == 0)
        grid.weight_changed(kOrigin + 1000 * i, kOrigin + 1000 * i + 500, 0.1);
      for (const auto& cell : grid.close(kOrigin + i * 10'000)) {
        EXPECT_GE(cell.total.canary.requests, 0);
        EXPECT_LT(cell.from_ms, cell.to_ms);
      }
    }
  }
}

} // namespace
} // namespace coalmine::cohort
