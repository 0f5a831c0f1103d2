// Processes come and go while a rollout lasts: what is over is forgotten, and no count changes.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "cohort/count_grid.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

constexpr double kHour = 3600;

GridOptions forgetting_after(std::int64_t ms) {
  auto out = options();
  out.min_route_requests = 50;
  out.forget_ms = ms;
  return out;
}
constexpr std::int64_t kNever = INT64_MAX / 4;

// Requests and errors of two routes, counted by one process.
class Pod {
 public:
  Pod(Track track, std::string name, double start) : name_(std::move(name)), start_(start) {
    for (const auto measure : {Measure::requests, Measure::bad}) {
      for (const auto* route : {"/pay", "/cart"})
        series_.push_back(series(track, measure, name_, route, {}));
    }
  }
  void restart(double start) {
    start_ = start;
    requests_ = 0;
  }
  void export_at(double second, double more, bool start_is_known) {
    requests_ += more;
    for (auto& one : series_) {
      const double part = one.measure == Measure::bad ? 0.25 : 1;
      one.floats.push_back(
          {at(second), start_is_known ? at(start_) : 0, std::floor(requests_ * part)});
    }
  }
  // What is new since the last time.
  void give(const std::vector<CountGrid*>& grids, std::int64_t read_ms) {
    for (auto& one : series_) {
      for (auto* grid : grids) grid->add(one, read_ms);
      one.floats.clear();
    }
  }
  std::size_t series_count() const { return series_.size(); }

  double next = 0, every = 15, until = 1e9;

 private:
  std::string name_;
  double start_;
  double requests_ = 0;
  std::vector<CountSeries> series_;
};

// All that is counted in a cell, to the last digit.
std::string text_of(const CountCell& cell) {
  auto out = fmt::format("{} {} {} {} {} {}", cell.from_ms, cell.to_ms, cell.mixed, cell.warming,
                         cell.weight, static_cast<int>(cell.source));
  const auto put = [&](const RouteCounts& row) {
    out += "\n" + row.route;
    for (const auto track : kBothTracks) {
      const auto& c = row.of(track);
      out += fmt::format(" {} {} {} {} {} {}", c.requests, c.errors, c.warming_requests,
                         c.warming_errors, c.answered, c.client_errors);
    }
  };
  put(cell.total);
  for (const auto& row : cell.routes) put(row);
  for (const auto& one : cell.instances)
    out += fmt::format("\n{} {} {} {}", one.instance, one.requests, one.errors, one.warming);
  return out;
}

void expect_same(const std::vector<CountCell>& one, const std::vector<CountCell>& other) {
  ASSERT_EQ(one.size(), other.size());
  for (std::size_t i = 0; i < one.size(); ++i) EXPECT_EQ(text_of(one[i]), text_of(other[i]));
}

double requests_in(const std::vector<CountCell>& cells, Track track) {
  return total(cells, [&](const CountCell& cell) { return cell.total.of(track).requests; });
}

TEST(CountGridForgets, WhatIsOverChangesNoCell) {
  std::mt19937_64 random(11);
  const auto uniform = [&](double low, double high) {
    return std::uniform_real_distribution<double>(low, high)(random);
  };
  for (int run = 0; run < 4; ++run) {
    const bool start_is_known = run % 2 == 0;
    auto forgetful = forgetting_after(20 * 60'000);
    auto keeping = forgetting_after(kNever);
    forgetful.unseen_instances_begin_at_zero = keeping.unseen_instances_begin_at_zero = run % 3 > 0;
    CountGrid forgets(forgetful), keeps(keeping);
    std::vector<Pod> pods;
    int born = 0;
    std::size_t most_held = 0;
    for (double now = 0; now < 3.5 * kHour; now += 30) {
      while (pods.size() < 8) {
        const auto track = born % 2 == 0 ? Track::canary : Track::stable;
        auto& pod = pods.emplace_back(track, "pod-" + std::to_string(born++), now - 1);
        pod.next = now;
        pod.every = uniform(5, 60);
        pod.until = now + uniform(60, 1500);
      }
      if (now == 1.5 * kHour) {
        for (auto* grid : {&forgets, &keeps}) grid->weight_changed(at(now), at(now + 1), 0.5);
      }
      for (auto& pod : pods) {
        for (; pod.next <= now && pod.next < pod.until; pod.next += pod.every) {
          if (uniform(0, 1) < 0.01) pod.restart(pod.next - 0.5);
          pod.export_at(pod.next, std::floor(uniform(0, 100)), start_is_known);
        }
        // Some clocks are behind, some come late.
        pod.give({&forgets, &keeps}, start_is_known ? at(now + uniform(0, 3)) : 0);
      }
      std::erase_if(pods, [&](const Pod& pod) { return pod.next >= pod.until; });
      expect_same(forgets.close(at(now)), keeps.close(at(now)));
      if (HasFailure()) return;
      most_held = std::max(most_held, forgets.series());
      EXPECT_EQ(forgets.waiting_requests(Track::canary), keeps.waiting_requests(Track::canary));
    }
    const auto one = forgets.ledger(), other = keeps.ledger();
    EXPECT_EQ(one.counted, other.counted);
    EXPECT_EQ(one.pending, other.pending);
    EXPECT_EQ(one.late, other.late);
    EXPECT_GT(one.counted, 5'000);
    EXPECT_GT(keeps.series(), 300u);
    EXPECT_LT(most_held, keeps.series() / 3) << "those of half an hour";
  }
}

// Two that go on, so that cells close, and one that is away from the third to the sixth hour.
class CameBack : public ::testing::TestWithParam<bool> {
 protected:
  // The cells since shortly before the sixth hour of a grid that forgets, and of one that does not.
  std::pair<std::vector<CountCell>, std::vector<CountCell>> away(bool restarts) {
    Pod canary(Track::canary, "c", -1), stable(Track::stable, "s", -1),
        gone(Track::stable, "g", -1);
    CountGrid forgets(forgetting_after(60 * 60'000)), keeps(forgetting_after(kNever));
    std::pair<std::vector<CountCell>, std::vector<CountCell>> out;
    for (double now = 0; now < 8 * kHour; now += 15) {
      canary.export_at(now, 15, GetParam());
      stable.export_at(now, 15, GetParam());
      const bool here = now < 3 * kHour || now >= 6 * kHour;
      if (now == 6 * kHour && restarts) gone.restart(now - 10);
      if (now == 6 * kHour && !restarts)
        gone.export_at(now, 3 * kHour, GetParam());
      else if (here)
        gone.export_at(now, 15, GetParam());
      for (auto* pod : {&canary, &stable, &gone}) pod->give({&forgets, &keeps}, 0);
      auto cells = forgets.close(at(now));
      auto others = keeps.close(at(now));
      if (now == 5 * kHour) {
        EXPECT_EQ(forgets.series(), 2 * canary.series_count());
        EXPECT_LT(forgets.series(), keeps.series());
      }
      if (now < 6 * kHour - 600) continue;
      out.first.insert(out.first.end(), cells.begin(), cells.end());
      out.second.insert(out.second.end(), others.begin(), others.end());
    }
    return out;
  }
};

TEST_P(CameBack, CountsFromItsFirstExportOn) {
  const auto [cells, unforgotten] = away(false);
  const double seconds = static_cast<double>(cells.back().to_ms - at(6 * kHour)) / 1000;
  // Two routes, 1/s each; two pods from the sixth hour on, and one in ten minutes and a cell
  // before.
  EXPECT_NEAR(requests_in(cells, Track::stable), 2 * (2 * seconds + 600), 60)
      << "nothing of three hours";
  ASSERT_EQ(cells.size(), unforgotten.size());
  EXPECT_EQ(text_of(cells.back()), text_of(unforgotten.back()));
}

TEST_P(CameBack, AnotherProcessOfTheNameCountsFromItsStart) {
  const auto [cells, unforgotten] = away(true);
  if (GetParam()) {
    expect_same(cells, unforgotten);
  } else {
    EXPECT_EQ(text_of(cells.back()), text_of(unforgotten.back()));
  }
}

INSTANTIATE_TEST_SUITE_P(StartIsKnown, CameBack, ::testing::Bool());

} // namespace
} // namespace coalmine::cohort
