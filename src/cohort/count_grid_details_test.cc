// What a cell tells of each process: durations and parts of routes.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "cohort/count_grid.h"
#include "cohort/durations.h"
#include "cohort/exporters_for_test.h"

namespace coalmine::cohort {
namespace {

const auto kBounds = std::make_shared<const std::vector<double>>(std::vector<double>{10, 100});

// An exporter since long ago: each export has these counts more, over kBounds.
CountSeries timed(Track track, const std::string& name, std::vector<std::uint64_t> more,
                  Source source = Source::sent) {
  auto out = series(track, Measure::duration, name, "/pay", {}, source);
  for (double t = -15; t <= 300; t += 15) {
    const auto n = static_cast<std::uint64_t>((t + 3600) / 15);
    auto counts = more;
    std::uint64_t all = 0;
    for (auto& count : counts) all += count *= n;
    out.classic.push_back({at(t), at(-3600), false, {kBounds, counts, all, 0}});
  }
  return out;
}

void expect_near(const std::vector<double>& got, const std::vector<double>& want) {
  ASSERT_EQ(got.size(), want.size());
  for (std::size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], want[i], 1e-6);
}

TEST(Details, AreOfTracksWithSeveralProcesses) {
  CountGrid grid(options());
  grid.add(steady(Track::stable, "b", -15, 15, 300, 2));
  grid.add(steady(Track::stable, "a", -15, 15, 300, 1));
  grid.add(steady(Track::stable, "b", -15, 15, 300, 0.2, Measure::bad));
  grid.add(steady(Track::stable, "a", -15, 15, 300, 1, Measure::requests, "/cart"));
  grid.add(steady(Track::stable, "a", -15, 15, 300, 1, Measure::requests, ""));
  grid.add(steady(Track::canary, "c", -15, 15, 300, 1));
  grid.add(timed(Track::stable, "a", {1, 2, 3}));
  grid.add(timed(Track::stable, "b", {4, 5, 6}));
  grid.add(timed(Track::canary, "c", {1, 1, 1}));
  const auto cells = grid.close(kFar);
  ASSERT_EQ(cells.size(), 20u);
  for (const auto& cell : cells) {
    ASSERT_EQ(cell.instances.size(), 3u);
    const auto& [a, b, c] = std::tie(cell.instances[0], cell.instances[1], cell.instances[2]);
    EXPECT_EQ(a.instance + b.instance + c.instance, "abc");
    expect_near(a.bucket_counts, {1, 2, 3});
    expect_near(b.bucket_counts, {4, 5, 6});
    EXPECT_TRUE(c.bucket_counts.empty()) << "the only one of its track";
    EXPECT_TRUE(cell.total.parts.empty());
    ASSERT_EQ(cell.routes.size(), 2u);
    const auto& cart = cell.routes[0].parts;
    ASSERT_EQ(cart.size(), 1u);
    EXPECT_EQ(cart[0].instance, 0u);
    EXPECT_NEAR(cart[0].requests, 15, 1e-6);
    const auto& pay = cell.routes[1].parts;
    ASSERT_EQ(pay.size(), 2u);
    EXPECT_EQ(pay[1].instance, 1u);
    EXPECT_NEAR(pay[1].requests, 30, 1e-6);
    EXPECT_NEAR(pay[1].errors, 3, 1e-6);
  }
}

// Requests are counted by counters, durations come from spans of the same processes.
TEST(Details, DurationsOfAnotherSourceBelongToTheProcess) {
  CountGrid grid(options());
  for (const auto& [track, name] : {std::pair{Track::stable, "a"}, std::pair{Track::stable, "b"},
                                    std::pair{Track::canary, "c"}}) {
    grid.add(steady(track, name, -15, 15, 300, 1));
    auto spans = steady(track, name, -15, 15, 300, 1);
    spans.source = Source::spans;
    spans.id += 1;
    grid.add(spans);
    grid.add(timed(track, name, {1, 2, 3}, Source::spans));
  }
  grid.add(timed(Track::stable, "unknown", {1, 1, 1}, Source::spans));
  const auto cells = grid.close(kFar);
  ASSERT_FALSE(cells.empty());
  for (const auto& cell : cells) {
    EXPECT_EQ(cell.source, Source::sent);
    ASSERT_EQ(cell.instances.size(), 3u);
    const double exports = static_cast<double>(cell.to_ms - cell.from_ms) / 15'000;
    for (std::size_t i = 0; i < 2; ++i)
      expect_near(cell.instances[i].bucket_counts, {exports, 2 * exports, 3 * exports});
    EXPECT_TRUE(cell.instances[2].bucket_counts.empty());
  }
}

// Random processes: several sources, classic and exponential histograms of several kinds, pooled
// routes and requests without a route, restarts.
class RandomProcesses {
 public:
  explicit RandomProcesses(std::uint64_t seed) : random_(seed) {
    durations_source_ = pick(0, 1) == 0 ? Source::sent : Source::histogram;
    const auto kinds = pick(0, 3);
    for (const auto track : kBothTracks) {
      for (auto n = pick(1, 4); n > 0; --n) {
        auto& one = processes_.emplace_back();
        one.track = track;
        one.name = fmt::format("{}-{}", track == Track::canary ? "c" : "s", n);
        one.born = pick(0, 2) == 0 ? static_cast<double>(pick(10, 500)) : -3600;
        one.every = static_cast<double>(pick(1, 3)) * 10;
        one.exponential = kinds == 1 || (kinds == 2 && pick(0, 1) == 0);
        one.scale = static_cast<int>(pick(3, 6));
        one.bounds = pick(0, 1) == 0 ? std::vector<double>{5, 10, 50, 100, 500}
                                     : std::vector<double>{10, 20, 100, 500, 1000};
      }
    }
  }
  void give(CountGrid& grid) {
    for (const auto& one : processes_) {
      for (const auto* route : {"/pay", "/cart", "/rare", ""}) give(grid, one, route);
    }
  }

 private:
  struct One {
    Track track = Track::stable;
    std::string name;
    double born = 0;
    double every = 0;
    bool exponential = false;
    int scale = 5;
    std::vector<double> bounds;
  };
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  void give(CountGrid& grid, const One& one, const std::string& route) {
    auto requests = series(one.track, Measure::requests, one.name, route, {});
    auto bad = series(one.track, Measure::bad, one.name, route, {});
    auto durations = series(one.track, Measure::duration, one.name, route, {}, durations_source_);
    auto of_source = series(one.track, Measure::requests, one.name, route, {}, Source::histogram);
    const auto bounds = std::make_shared<const std::vector<double>>(one.bounds);
    std::vector<std::uint64_t> counts(one.bounds.size() + 1);
    ExponentialHistogram fine;
    fine.scale = one.scale;
    std::lognormal_distribution<double> ms(std::log(60), 1);
    double n = 0, failed = 0;
    for (double t = std::max(-20.0, one.born) + one.every; t <= 900; t += one.every) {
      for (auto more = pick(0, route == "/rare" ? 1 : 20); more > 0; --more) {
        ++n;
        failed += pick(0, 9) == 0;
        const double took = ms(random_);
        ++counts[static_cast<std::size_t>(std::ranges::lower_bound(one.bounds, took) -
                                          one.bounds.begin())];
        ExponentialHistogram request;
        request.scale = one.scale;
        request.count = 1;
        request.positive = {static_cast<std::int32_t>(bucket_index(took / 1000, one.scale)), {1}};
        merge(fine, request);
      }
      requests.floats.push_back({at(t), at(one.born), n});
      bad.floats.push_back({at(t), at(one.born), failed});
      of_source.floats.push_back({at(t), at(one.born), n});
      if (one.exponential) {
        durations.exponential.push_back({at(t), at(one.born), false, fine});
      } else {
        durations.classic.push_back(
            {at(t), at(one.born), false, {bounds, counts, static_cast<std::uint64_t>(n), 0}});
      }
    }
    for (const auto* of : {&requests, &bad, &durations}) grid.add(*of);
    if (durations_source_ == Source::histogram) grid.add(of_source);
  }

  std::mt19937_64 random_;
  Source durations_source_ = Source::sent;
  std::vector<One> processes_;
};

void expect_details_add_up(const CountCell& cell, Track track) {
  const auto& total = cell.total.of(track);
  std::vector<double> durations(total.bucket_counts.size());
  std::size_t processes = 0;
  for (const auto& one : cell.instances) processes += one.track == track && one.requests > 0;
  for (const auto& one : cell.instances) {
    if (one.track != track) continue;
    if (one.warming || processes < 2) {
      EXPECT_TRUE(one.bucket_counts.empty());
    }
    for (std::size_t i = 0; i < one.bucket_counts.size(); ++i)
      durations.at(i) += one.bucket_counts[i];
  }
  if (processes > 1) expect_near(durations, total.bucket_counts);
  for (const auto& row : cell.routes) {
    double requests = 0, errors = 0;
    for (std::size_t i = 0; i < row.parts.size(); ++i) {
      const auto& part = row.parts[i];
      if (i > 0) {
        EXPECT_LT(row.parts[i - 1].instance, part.instance);
      }
      const auto& of = cell.instances.at(part.instance);
      if (of.track != track) continue;
      EXPECT_FALSE(of.warming);
      requests += part.requests;
      errors += part.errors;
    }
    const auto& counts = row.of(track);
    EXPECT_NEAR(requests, processes < 2 ? 0 : counts.requests - counts.warming_requests, 1e-6);
    EXPECT_NEAR(errors, processes < 2 ? 0 : counts.errors - counts.warming_errors, 1e-6);
  }
}

TEST(Details, AddUpToTheTotals) {
  std::size_t timed_cells = 0, warming = 0, with_parts = 0, pooled = 0;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    auto o = options();
    o.min_route_requests = 50;
    o.max_routes = seed % 3 == 0 ? 1 : 10;
    CountGrid grid(o);
    RandomProcesses(seed).give(grid);
    for (const auto& cell : grid.close(kFar)) {
      for (const auto track : kBothTracks) expect_details_add_up(cell, track);
      if (::testing::Test::HasFailure()) FAIL() << "seed " << seed;
      for (const auto& one : cell.instances) {
        timed_cells += !one.bucket_counts.empty();
        warming += one.warming;
      }
      for (const auto& row : cell.routes) {
        with_parts += !row.parts.empty();
        pooled += row.route == kPooledRoute && !row.parts.empty();
      }
    }
  }
  EXPECT_GT(timed_cells, 500u);
  EXPECT_GT(warming, 50u);
  EXPECT_GT(with_parts, 500u);
  EXPECT_GT(pooled, 50u);
}

// Which processes of many are looked at is one fixed order of names, whatever they do and whoever
// comes and goes.
TEST(Details, OfManyProcessesAreChosenByName) {
  CountGrid grid(options());
  std::mt19937_64 random(5);
  grid.add(steady(Track::canary, "c", -15, 15, 600, 1));
  for (int i = 0; i < 150; ++i) {
    const auto name = fmt::format("pod-{}", i);
    const double from = i % 3 == 0 ? 150 : -15;
    const double until = i % 5 == 0 ? 400 : 600;
    const auto rate = static_cast<double>(1 + random() % 9);
    grid.add(steady(Track::stable, name, from, 15, until, rate));
    grid.add(steady(Track::stable, name, from, 15, until, rate / 2, Measure::bad));
  }
  std::map<std::string, std::set<std::string>> goes_before;
  std::set<std::string> chosen_ever;
  std::set<std::size_t> sizes;
  for (const auto& cell : grid.close(kFar)) {
    ASSERT_EQ(cell.routes.size(), 1u);
    std::set<std::string> chosen, left;
    for (const auto& part : cell.routes[0].parts)
      chosen.insert(cell.instances[part.instance].instance);
    EXPECT_EQ(chosen.size(), kMostDetailedInstances);
    for (const auto& one : cell.instances) {
      if (one.track == Track::stable && !chosen.contains(one.instance)) left.insert(one.instance);
    }
    sizes.insert(left.size());
    for (const auto& one : chosen) {
      goes_before[one].insert(left.begin(), left.end());
      chosen_ever.insert(one);
    }
  }
  EXPECT_GT(sizes.size(), 2u) << "they come and go";
  EXPECT_GT(chosen_ever.size(), kMostDetailedInstances);
  for (const auto& [one, others] : goes_before) {
    for (const auto& other : others) EXPECT_FALSE(goes_before[other].contains(one)) << one << other;
  }
}

} // namespace
} // namespace coalmine::cohort
