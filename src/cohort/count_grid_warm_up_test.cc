// One warm-up a track and step of the traffic.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "cohort/count_grid.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

// A process that exports every 15 s, serves 2 requests a second and restarts after `life` seconds,
// again and again. named: each life has a name of its own.
std::vector<CountSeries> restarting(const std::string& name, double from, double life, double until,
                                    bool named, bool start_is_known) {
  std::vector<CountSeries> out;
  std::vector<At> points;
  for (double born = from; born < until; born += life) {
    const double end = std::min(until, born + life);
    for (double t = born + 5; t < end; t += 15)
      points.push_back({t, 2 * (t - born), start_is_known ? born : 0});
    if (!named) continue;
    out.push_back(series(Track::canary, Measure::requests, fmt::format("{}-{}", name, born), "/pay",
                         std::exchange(points, {})));
  }
  if (!named) out.push_back(series(Track::canary, Measure::requests, name, "/pay", points));
  return out;
}

CountSeries up_to(CountSeries from, double second) {
  std::erase_if(from.floats, [&](const FloatSample& one) { return one.time_ms > at(second); });
  return from;
}

// The cells that are warming up, as seconds from the first one's begin to the last one's end, and
// nothing else between.
std::pair<double, double> warm_up_of(const std::vector<CountCell>& cells) {
  std::pair<double, double> out{-1, -1};
  bool is_over = false;
  for (const auto& cell : cells) {
    if (!cell.warming) {
      is_over = out.first >= 0;
      continue;
    }
    EXPECT_FALSE(is_over) << "again at " << (cell.from_ms - kOrigin) / 1000;
    if (out.first < 0) out.first = static_cast<double>(cell.from_ms - kOrigin) / 1000;
    out.second = static_cast<double>(cell.to_ms - kOrigin) / 1000;
  }
  return out;
}

// Of a step that begins at 600 s, with a process that restarts every minute from then on.
std::vector<CountCell> cells_with_restarts(double until, bool named, bool start_is_known) {
  auto o = options();
  o.unseen_instances_begin_at_zero = true;
  CountGrid grid(o);
  grid.weight_changed(at(600), at(601), 0.25);
  grid.add(steady(Track::stable, "s", -15, 15, 1800, 10));
  grid.add(steady(Track::canary, "old", -15, 15, 1800, 1));
  for (const auto& one : restarting("c", 610, 60, until, named, start_is_known)) grid.add(one);
  return grid.close(kFar);
}

TEST(WarmUp, OfAProcessThatRestartsAgainAndAgainEnds) {
  for (const bool named : {false, true}) {
    for (const bool start_is_known : {true, false}) {
      const auto cells = cells_with_restarts(1800, named, start_is_known);
      const auto [from, until] = warm_up_of(cells);
      EXPECT_GE(from, 595) << named << start_is_known;
      EXPECT_LE(from, 615) << named << start_is_known;
      EXPECT_GE(until, 790) << named << start_is_known;
      EXPECT_LE(until, 810) << named << start_is_known;
      for (const auto& one : cells.back().instances) EXPECT_FALSE(one.warming);
    }
  }
}

// Each once, in the cell whose telemetry shows it, under a name that the process keeps.
TEST(Restarts, AreCountedUnderANameThatIsKept) {
  for (const bool named : {false, true}) {
    for (const bool start_is_known : {true, false}) {
      std::uint32_t restarts = 0;
      for (const auto& cell : cells_with_restarts(1210, named, start_is_known)) {
        for (const auto& one : cell.instances) {
          EXPECT_LE(one.restarts, 1u);
          if (one.restarts > 0) {
            EXPECT_EQ(one.instance, "c");
          }
          restarts += one.restarts;
        }
      }
      EXPECT_EQ(restarts, named ? 0u : 9u) << start_is_known; // ten lives
    }
  }
}

// A series that has a start of its own, its first measurement, comes back minutes after the others.
TEST(Restarts, ASeriesThatComesLaterIsNone) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "s", -15, 15, 900, 10));
  std::vector<At> requests, others, errors;
  for (double t = -15; t <= 900; t += 15) {
    const double born = t < 300 ? -3600 : 290;
    requests.push_back({t, 2 * (t - born), born});
    others.push_back({t, 3 * (t - born), t < 300 ? born : born + 0.04});
    if (t < 300) errors.push_back({t, 5, -3000});
    if (t >= 600) errors.push_back({t, 1, 590});
  }
  grid.add(series(Track::canary, Measure::requests, "c", "/pay", requests));
  grid.add(series(Track::canary, Measure::requests, "c", "/cart", others));
  std::vector<At> spans;
  for (double t = -15; t <= 900; t += 5) spans.push_back({t, 5 * (t + 3600)});
  grid.add(series(Track::canary, Measure::requests, "c", "/pay", spans, Source::spans));
  grid.add(series(Track::canary, Measure::bad, "c", "/pay", errors));
  std::vector<std::int64_t> when;
  for (const auto& cell : grid.close(kFar)) {
    for (const auto& one : cell.instances)
      if (one.restarts > 0) when.push_back((cell.to_ms - kOrigin) / 1000);
  }
  EXPECT_EQ(when, (std::vector<std::int64_t>{300}));
}

TEST(WarmUp, AScaleUpHasOneOfItsOwn) {
  CountGrid grid(options());
  grid.weight_changed(at(0), at(1), 0.05);
  grid.weight_changed(at(600), at(610), 0.25);
  grid.add(steady(Track::stable, "s", -15, 15, 1800, 10));
  const auto born = [&](const std::string& name, double start) {
    std::vector<At> points;
    for (double t = start + 7; t <= 1800; t += 15) points.push_back({t, 2 * (t - start), start});
    grid.add(series(Track::canary, Measure::requests, name, "/pay", points));
  };
  born("first", 5);
  born("beside", 100);       // as long as the first
  born("late", 400);         // the step's warm-up is over
  born("for-the-next", 603); // started once its weight was ordered
  born("in-the-next", 700);
  born("later-in-it", 900);
  for (const auto& cell : grid.close(kFar)) {
    const double from = static_cast<double>(cell.from_ms - kOrigin) / 1000;
    for (const auto& one : cell.instances) {
      const bool of_first = one.instance == "first" || one.instance == "beside";
      const bool of_next = one.instance == "for-the-next" || one.instance == "in-the-next";
      EXPECT_EQ(one.warming, (of_first && from < 185) || (of_next && from < 783))
          << one.instance << " at " << from;
    }
  }
}

// Stable's births say nothing about the canary.
TEST(WarmUp, IsATracksOwn) {
  CountGrid grid(options());
  grid.weight_changed(at(0), at(1), 0.5);
  for (const auto& [track, name, start] :
       {std::tuple{Track::stable, "s", 10.0}, std::tuple{Track::canary, "c", 300.0}}) {
    grid.add(steady(track, "old", -15, 15, 900, 1));
    std::vector<At> points;
    for (double t = start + 5; t <= 900; t += 15) points.push_back({t, 2 * (t - start), start});
    grid.add(series(track, Measure::requests, name, "/pay", points));
  }
  for (const auto& cell : grid.close(kFar)) {
    const double from = static_cast<double>(cell.from_ms - kOrigin) / 1000;
    for (const auto& one : cell.instances) {
      const double end = one.instance == "s" ? 190 : one.instance == "c" ? 480 : 0;
      EXPECT_EQ(one.warming, from < end) << one.instance << " at " << from;
    }
  }
}

// The cells of somebody who reads as time goes by, of somebody who reads all at once, and of
// somebody who goes on behind kept cells with the last ten minutes of samples.
class Read : public ::testing::TestWithParam<std::tuple<bool, bool>> {
 protected:
  static constexpr double kUntil = 2400;
  Read() {
    const auto [named, start_is_known] = GetParam();
    all_ = restarting("c", 300, 70, kUntil, named, start_is_known);
    all_.push_back(steady(Track::stable, "s", -615, 15, kUntil, 10));
    all_.push_back(steady(Track::canary, "old", -615, 15, kUntil, 1));
    // Its first request comes long after its start.
    all_.push_back(series(Track::canary, Measure::requests, "idle", "/pay",
                          {{1205, 10, 125}, {1220, 20, 125}, {1235, 20, 125}}));
  }
  static CountGrid grid_from(std::int64_t origin_ms) {
    auto o = options();
    o.origin_ms = origin_ms;
    o.unseen_instances_begin_at_zero = true;
    CountGrid grid(o);
    return grid;
  }
  static void change_weights(CountGrid& grid) {
    grid.weight_changed(at(120), at(121), 0.1);
    grid.weight_changed(at(1500), at(1503), 0.5);
  }
  // A process may be in a cell that is read later alone: what comes first reaches back.
  static void expect_same(const CountCell& later, const CountCell& living) {
    ASSERT_EQ(later.from_ms, living.from_ms);
    ASSERT_EQ(later.to_ms, living.to_ms);
    for (const auto& one : living.instances) {
      const auto of = std::ranges::find_if(later.instances, [&](const InstanceCounts& other) {
        return std::tie(other.track, other.instance) == std::tie(one.track, one.instance);
      });
      if (of == later.instances.end() && one.instance == "idle") continue; // or is a baseline
      ASSERT_NE(of, later.instances.end()) << one.instance;
      EXPECT_EQ(of->warming, one.warming)
          << one.instance << " at " << (living.from_ms - kOrigin) / 1000;
    }
  }
  std::vector<CountSeries> all_;
};

TEST_P(Read, AtOnceAndBehindKeptCellsIsAsTimeGoesBy) {
  auto living = grid_from(kOrigin);
  change_weights(living);
  std::vector<CountCell> cells;
  struct Kept {
    double second;
    std::size_t closed;
    GridPast past;
  };
  std::vector<Kept> kept;
  for (double now = 5; now <= kUntil + 30; now += 5) {
    for (const auto& one : all_) {
      if (auto part = up_to(one, now); !part.floats.empty()) living.add(part);
    }
    auto fresh = living.close(at(now));
    if (fresh.empty()) continue;
    cells.insert(cells.end(), fresh.begin(), fresh.end());
    if (cells.size() < 5 || cells.size() % 7 != 0) continue;
    GridPast past;
    past.cells.assign(cells.end() - 4, cells.end());
    past.routes = living.routes(100);
    for (const auto track : kBothTracks) {
      past.instances[static_cast<std::size_t>(track)] = living.instances(track);
      past.first_births[static_cast<std::size_t>(track)] = living.first_births(track);
    }
    kept.push_back({now, cells.size(), std::move(past)});
  }
  ASSERT_GT(kept.size(), 15u);
  const auto warm = [](const CountCell& cell) { return cell.warming; };
  EXPECT_GT(std::ranges::count_if(cells, warm), 20);
  EXPECT_LT(std::ranges::count_if(cells, warm), 30) << "two steps of 3 minutes";
  auto late = grid_from(kOrigin);
  change_weights(late);
  for (const auto& one : all_) late.add(one);
  const auto at_once = late.close(kFar);
  ASSERT_GE(at_once.size(), cells.size());
  for (std::size_t i = 0; i < cells.size(); ++i) expect_same(at_once[i], cells[i]);
  for (auto& one : kept) {
    const auto origin = one.past.cells.front().from_ms;
    auto again = grid_from(origin);
    again.go_on_behind(std::move(one.past));
    change_weights(again);
    for (auto part : all_) {
      std::erase_if(part.floats, [&](const auto& f) { return f.time_ms < origin - 10 * 60'000; });
      if (!part.floats.empty()) again.add(part);
    }
    const auto rest = again.close(kFar);
    ASSERT_GE(one.closed + rest.size(), cells.size());
    for (std::size_t i = one.closed; i < cells.size(); ++i) {
      expect_same(rest[i - one.closed], cells[i]);
      if (HasFailure()) FAIL() << "kept at " << one.second;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(NamedAndStart, Read,
                         ::testing::Combine(::testing::Bool(), ::testing::Bool()));

} // namespace
} // namespace coalmine::cohort
