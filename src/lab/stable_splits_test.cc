// SPDX-License-Identifier: Apache-2.0
#include "lab/stable_splits.h"
#include "lab/short_spec_for_test.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "lab/pods.h"
#include "lab/replay_rates.h"

namespace coalmine::lab {
namespace {

PodModel few_pods() {
  PodModel out;
  out.rps = 100;
  out.stable_pods = 5;
  return out;
}

std::vector<CountCell> stable_for(PodModel model, double minutes, std::uint64_t seed = 1) {
  model.baseline_minutes = minutes;
  return SimulatedPods(model, {}, seed).baseline();
}

double requests_in(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0);
}

double minutes_in(const std::vector<CountCell>& cells, const Stretch& stretch) {
  return static_cast<double>(cells[stretch.last - 1].to_ms - cells[stretch.first].from_ms) / 60'000;
}

// Nothing is heard of stable, or of one process, in these cells.
void silence(std::vector<CountCell>& cells, std::size_t from, std::size_t to) {
  for (auto i = from; i < to; ++i) {
    cells[i].total = {};
    cells[i].routes.clear();
    cells[i].instances.clear();
  }
}
void remove_process(std::vector<CountCell>& cells, const std::string& name, std::size_t from,
                    std::size_t to) {
  for (auto i = from; i < to; ++i) {
    auto& cell = cells[i];
    const auto it = std::ranges::find(cell.instances, name, &InstanceCounts::instance);
    ASSERT_NE(it, cell.instances.end());
    cell.total.stable.requests -= it->requests;
    cell.total.stable.errors -= it->errors;
    for (std::size_t b = 0; b < it->bucket_counts.size(); ++b)
      cell.total.stable.bucket_counts[b] -= it->bucket_counts[b];
    cell.instances.erase(it);
  }
}

TEST(StableSplits, ByRequestTheTracksAreEqualUnlessErrorsAreInjected) {
  const auto spec = rollout::default_spec("checkout");
  auto model = few_pods();
  model.routes = 2;
  const auto stable = stable_for(model, 70);
  std::mt19937_64 random(5);
  for (const double more : {0.0, 0.05}) {
    const auto cells = split_by_request(spec, stable, 120, more, random);
    double canary = 0;
    double errors = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      const auto& c = cells[i];
      EXPECT_NEAR(c.total.canary.requests + c.total.stable.requests,
                  stable[i].total.stable.requests, 1e-6);
      EXPECT_LE(c.total.canary.errors, c.total.canary.requests);
      EXPECT_LE(c.total.stable.errors, c.total.stable.requests + 1e-9);
      if (c.baseline) {
        EXPECT_EQ(c.total.canary.requests, 0);
      }
      canary += c.total.canary.requests;
      errors += c.total.canary.errors;
    }
    EXPECT_NEAR(errors / canary, 0.01 + more, 0.003);
  }
}

void expect_process(const CountCell& got, const CountCell& from, const std::string& name) {
  const auto at = static_cast<std::size_t>(
      std::ranges::find(from.instances, name, &InstanceCounts::instance) - from.instances.begin());
  const auto& own = from.instances.at(at);
  const auto& total = got.total;
  EXPECT_DOUBLE_EQ(total.canary.requests, got.baseline ? 0 : own.requests);
  EXPECT_DOUBLE_EQ(total.canary.errors, got.baseline ? 0 : own.errors);
  EXPECT_NEAR(total.stable.requests, from.total.stable.requests - own.requests, 1e-6);
  EXPECT_NEAR(total.stable.errors, from.total.stable.errors - own.errors, 1e-6);
  EXPECT_EQ(total.canary.bucket_counts, got.baseline ? std::vector<double>{} : own.bucket_counts);
  EXPECT_NEAR(requests_in(total.stable.bucket_counts), total.stable.requests, 1e-6);
  for (std::size_t r = 0; r < got.routes.size(); ++r) {
    const auto& row = got.routes[r];
    double requests = 0;
    for (const auto& part : from.routes[r].parts)
      requests += part.instance == at ? part.requests : 0;
    EXPECT_NEAR(row.canary.requests, got.baseline ? 0 : requests, 1e-6);
    EXPECT_NEAR(requests_in(row.canary.bucket_counts), row.canary.requests, 1e-6);
    std::map<Track, double> parts;
    for (const auto& part : row.parts)
      parts[got.instances.at(part.instance).track] += part.requests;
    EXPECT_NEAR(parts[Track::canary], row.canary.requests, 1e-6);
    EXPECT_NEAR(parts[Track::stable], row.stable.requests, 1e-6);
  }
}

TEST(StableSplits, ByProcessTheCanaryHasTheProcessesOwnCountsAndNoPast) {
  auto model = few_pods();
  model.routes = 3;
  auto stable = stable_for(model, 50);
  // Where stable is read on both sides, cells list every process twice, and parts refer to both.
  for (auto& cell : stable) {
    auto twice = cell.instances;
    for (auto& one : twice) one.track = Track::canary;
    const auto shift = static_cast<std::uint32_t>(twice.size());
    twice.insert(twice.end(), cell.instances.begin(), cell.instances.end());
    cell.instances = twice;
    cell.total.canary = cell.total.stable;
    for (auto& row : cell.routes) {
      row.canary = row.stable;
      auto parts = row.parts;
      for (auto& part : parts) part.instance += shift;
      row.parts.insert(row.parts.end(), parts.begin(), parts.end());
    }
  }
  const auto cells = split_by_process(short_spec(5, 10), stable, 120, {"stable-02"});
  ASSERT_EQ(cells.size(), stable.size());
  for (std::size_t i = 0; i < cells.size(); ++i) {
    EXPECT_EQ(cells[i].baseline, i < 120);
    auto from = stable[i];
    std::erase_if(from.instances, [](const auto& one) { return one.track == Track::canary; });
    for (auto& row : from.routes) {
      std::erase_if(row.parts, [](const auto& part) { return part.instance < 5; });
      for (auto& part : row.parts) part.instance -= 5;
    }
    expect_process(cells[i], from, "stable-02");
  }
}

TEST(StableSplits, AGapIsNoData) {
  auto cells = stable_for(few_pods(), 120);
  silence(cells, 100, 119);      // less than five minutes: few requests, not none
  silence(cells, 200, 200 + 80); // twenty minutes
  const auto spec = short_spec(5, 10);
  const auto stable = stretches_of_stable(cells, gap_ms(spec));
  ASSERT_EQ(stable.size(), 2u);
  EXPECT_EQ(minutes_in(cells, stable[0]), 50);
  EXPECT_EQ(minutes_in(cells, stable[1]), 50);
  for (const auto& place : places_in(spec, cells, stable)) {
    EXPECT_TRUE(place.last <= 200 || place.past >= 280) << place.past << ' ' << place.last;
    EXPECT_EQ(place.first - place.past, 120u);
    EXPECT_EQ(place.needed - place.first, 60u);
  }
  const auto rates = measure_rates({.spec = spec, .cells = cells, .runs = 5});
  EXPECT_EQ(rates.by_request.at(0).minutes_with_data, 100);
  EXPECT_EQ(rates.by_process.rate.minutes_with_data, 100);
}

// A point at each of these minutes.
promql::Series seen_in(const std::string& process, const std::vector<std::int64_t>& minutes) {
  promql::Series out{.labels = Labels::of({{"pod", process}, {"service_version", "2"}}),
                     .floats = {},
                     .histograms = {}};
  for (const auto minute : minutes) out.floats.push_back({minute * 60'000, 1, 0});
  return out;
}

TEST(Silences, AreOfProcessesAndOfAllAtOnce) {
  const auto got = find_silences(
      {seen_in("a", {1, 2, 3, 30, 31}), seen_in("b", {1, 2, 3, 4, 20}), seen_in("b", {5, 6})},
      60'000, {"instance", "pod"});
  ASSERT_EQ(got.stable.size(), 2u);
  EXPECT_EQ(got.stable[0].from_ms, 60'000); // the newest sample may have been five minutes old
  EXPECT_EQ(got.stable[0].to_ms, 20 * 60'000);
  EXPECT_EQ(got.stable[1].to_ms, 30 * 60'000);
  ASSERT_EQ(got.processes.at("a@2").size(), 1u);
  EXPECT_EQ(got.processes.at("a@2")[0].from_ms, -2 * 60'000);
  EXPECT_EQ(got.processes.at("a@2")[0].to_ms, 30 * 60'000);
  EXPECT_EQ(got.processes.at("b@2").size(), 1u);
}

TEST(StableSplits, CountsThatAreSpreadOverASilenceAreNoData) {
  const auto cells = stable_for(few_pods(), 120);
  const auto spec = short_spec(5, 10);
  const Silence all{.from_ms = 55 * 60'000, .to_ms = 65 * 60'000};
  auto rates =
      measure_rates({.spec = spec, .cells = cells, .silences = {.stable = {all}}, .runs = 2});
  EXPECT_EQ(rates.by_request.at(0).minutes_with_data, 110);
  const Silence one{.from_ms = 40 * 60'000, .to_ms = 110 * 60'000};
  rates = measure_rates(
      {.spec = spec, .cells = cells, .silences = {.processes = {{"stable-01", {one}}}}, .runs = 2});
  EXPECT_EQ(rates.by_request.at(0).minutes_with_data, 120);
  EXPECT_EQ(rates.by_process.processes, 4u);
}

TEST(StableSplits, AStepIsNeverSilentFromBeginToEnd) {
  auto spec = short_spec(5, 10);
  EXPECT_EQ(gap_ms(spec), 5 * 60'000);
  spec.steps[0].analyze_ms = 60'000;
  EXPECT_EQ(gap_ms(spec), 60'000);
}

TEST(StableSplits, AProcessThatIsGoneInBetweenIsNotDrawn) {
  auto cells = stable_for(few_pods(), 50);
  remove_process(cells, "stable-03", 130, 160);
  const auto spec = short_spec(5, 10);
  for (const auto& process : processes_of_stable(cells, gap_ms(spec))) {
    const bool gone = process.name == "stable-03";
    EXPECT_EQ(process.stretches.size(), gone ? 2u : 1u);
    EXPECT_EQ(places_in(spec, cells, process.stretches).empty(), gone) << process.name;
  }
  EXPECT_EQ(measure_rates({.spec = spec, .cells = cells, .runs = 5}).by_process.processes, 4u);
}

TEST(StableSplits, AProcessThatWarmsUpIsNotDrawn) {
  auto cells = stable_for(few_pods(), 50);
  for (std::size_t i = 0; i < 10; ++i) {
    cells[125 + i].instances[2].warming = true;
    cells[125 + i].instances[2].bucket_counts.clear();
  }
  const auto spec = short_spec(5, 10);
  EXPECT_EQ(measure_rates({.spec = spec, .cells = cells, .runs = 5}).by_process.processes, 4u);
}

TEST(StableSplits, TheCanaryOfAPastReleaseHadSoManyProcesses) {
  auto model = few_pods();
  model.canary_pods = 3;
  SimulatedPods pods(model, {}, 1);
  std::vector<CountCell> cells = {pods.next(0)};
  EXPECT_EQ(canary_processes(cells), 0u);
  for (int i = 0; i < 5; ++i) cells.push_back(pods.next(0.2));
  EXPECT_EQ(canary_processes(cells), 3u);
}

} // namespace
} // namespace coalmine::lab
