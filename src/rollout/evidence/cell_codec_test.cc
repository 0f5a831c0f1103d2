// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/cell_codec.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "cohort/durations.h"

namespace coalmine::rollout {
namespace {

class Drawing {
 public:
  explicit Drawing(std::uint64_t seed) : random_(seed) {}

  CountCell cell() {
    CountCell out;
    out.from_ms = 1'700'000'000'000 + pick(0, 1'000'000);
    out.to_ms = out.from_ms + pick(1, 300'000);
    out.baseline = pick(0, 1) == 1;
    out.mixed = pick(0, 1) == 1;
    out.warming = pick(0, 1) == 1;
    out.weight = pick(0, 3) == 0 ? -1 : 0.05;
    out.source = static_cast<Source>(pick(0, 2));
    out.total = row("");
    for (auto n = pick(0, 4); n > 0; --n) out.routes.push_back(row("/route/" + std::to_string(n)));
    for (auto n = pick(0, 4); n > 0; --n) {
      out.instances.push_back({"pod-" + std::to_string(n) + "@2",
                               pick(0, 1) == 1 ? Track::canary : Track::stable, count(), count(),
                               pick(0, 1) == 1});
    }
    for (auto n = pick(0, 3); n > 0; --n) {
      MetricNumbers metric;
      metric.signal = "metric " + std::to_string(n);
      metric.canary = {pick(0, 1) == 1, 0, 0};
      if (metric.canary.has_data) metric.canary = {true, std::nan(""), INFINITY};
      metric.stable = {true, -1.25e-30, 3};
      if (pick(0, 1) == 1) metric.problem = "the store took too long";
      out.metrics.push_back(std::move(metric));
    }
    round_counts(out);
    return out;
  }

 private:
  std::int64_t pick(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random_);
  }
  double count() {
    return static_cast<double>(pick(0, 5) == 0 ? pick(0, 1 << 30) : pick(0, 99)) / 7;
  }
  RouteCounts row(std::string route) {
    RouteCounts out;
    out.route = std::move(route);
    const auto kind = pick(0, 3);
    if (kind == 1) out.share_bounds(cohort::judged_bounds_ms(static_cast<int>(pick(-4, 5))));
    if (kind == 2)
      out.share_bounds(
          std::make_shared<const std::vector<double>>(std::vector<double>{5, 10, 25.5}));
    if (kind == 3) out.share_bounds(std::make_shared<const std::vector<double>>());
    for (auto* track : {&out.canary, &out.stable}) {
      track->requests = count();
      track->errors = count();
      track->sum_ms = count();
      track->warming_requests = count();
      track->warming_errors = count();
      track->answered = count();
      track->client_errors = count();
      track->bounds_note = pick(0, 3) == 0 ? "stable has other bounds" : "";
      track->sampled = pick(0, 3) == 0 ? "a sampler says so" : "";
      if (track->bounds_ms == nullptr || pick(0, 3) == 0) continue;
      for (std::size_t i = 0; i <= track->bounds_ms->size(); ++i)
        track->bucket_counts.push_back(pick(0, 2) == 0 ? count() : 0);
    }
    return out;
  }

  std::mt19937_64 random_;
};

void expect_same(const TrackCounts& a, const TrackCounts& b) {
  EXPECT_EQ(a.requests, b.requests);
  EXPECT_EQ(a.errors, b.errors);
  EXPECT_EQ(a.sum_ms, b.sum_ms);
  EXPECT_EQ(a.timed, b.timed);
  EXPECT_EQ(a.bucket_counts, b.bucket_counts);
  EXPECT_TRUE(cohort::same_bounds(a.bounds_ms, b.bounds_ms));
  EXPECT_EQ(a.bounds_note, b.bounds_note);
  EXPECT_EQ(a.sampled, b.sampled);
  EXPECT_EQ(a.warming_requests, b.warming_requests);
  EXPECT_EQ(a.warming_errors, b.warming_errors);
  EXPECT_EQ(a.answered, b.answered);
  EXPECT_EQ(a.client_errors, b.client_errors);
}

void expect_same(const CountCell& a, const CountCell& b) {
  EXPECT_EQ(a.from_ms, b.from_ms);
  EXPECT_EQ(a.to_ms, b.to_ms);
  EXPECT_EQ(a.baseline, b.baseline);
  EXPECT_EQ(a.mixed, b.mixed);
  EXPECT_EQ(a.warming, b.warming);
  EXPECT_EQ(a.weight, b.weight);
  EXPECT_EQ(a.source, b.source);
  ASSERT_EQ(a.routes.size(), b.routes.size());
  for (std::size_t i = 0; i <= a.routes.size(); ++i) {
    const auto& x = i == 0 ? a.total : a.routes[i - 1];
    const auto& y = i == 0 ? b.total : b.routes[i - 1];
    EXPECT_EQ(x.route, y.route);
    expect_same(x.canary, y.canary);
    expect_same(x.stable, y.stable);
    EXPECT_EQ(x.shared_bounds() == nullptr, y.shared_bounds() == nullptr);
  }
  ASSERT_EQ(a.instances.size(), b.instances.size());
  for (std::size_t i = 0; i < a.instances.size(); ++i) {
    EXPECT_EQ(a.instances[i].instance, b.instances[i].instance);
    EXPECT_EQ(a.instances[i].track, b.instances[i].track);
    EXPECT_EQ(a.instances[i].requests, b.instances[i].requests);
    EXPECT_EQ(a.instances[i].errors, b.instances[i].errors);
    EXPECT_EQ(a.instances[i].warming, b.instances[i].warming);
  }
  ASSERT_EQ(a.metrics.size(), b.metrics.size());
  for (std::size_t i = 0; i < a.metrics.size(); ++i) {
    EXPECT_EQ(a.metrics[i].signal, b.metrics[i].signal);
    EXPECT_EQ(a.metrics[i].problem, b.metrics[i].problem);
    EXPECT_EQ(a.metrics[i].canary.has_data, b.metrics[i].canary.has_data);
    EXPECT_EQ(std::isnan(a.metrics[i].canary.amount), std::isnan(b.metrics[i].canary.amount));
    EXPECT_EQ(a.metrics[i].canary.count, b.metrics[i].canary.count);
    EXPECT_EQ(a.metrics[i].stable.amount, b.metrics[i].stable.amount);
  }
}

TEST(CellCodec, WhatIsReadIsWhatWasRounded) {
  Drawing drawing(1);
  CellTexts texts;
  std::vector<CellText> kept;
  std::vector<std::pair<CountCell, std::string>> all;
  for (int i = 0; i < 300; ++i) {
    auto cell = drawing.cell();
    auto bytes = encode_cell(cell, texts);
    for (auto& text : texts.take_new()) kept.push_back(std::move(text));
    all.emplace_back(std::move(cell), std::move(bytes));
  }
  EXPECT_LT(kept.size(), 20u) << "each text once";
  const CellTexts again(kept);
  for (const auto& [cell, bytes] : all) {
    const auto read = decode_cell(bytes, again);
    ASSERT_TRUE(read);
    expect_same(*read, cell);
    if (HasFailure()) return;
  }
}

TEST(CellCodec, DamageIsNoticed) {
  Drawing drawing(2);
  CellTexts texts;
  const auto bytes = encode_cell(drawing.cell(), texts);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto damaged = bytes;
    damaged[i] = static_cast<char>(damaged[i] ^ (1 << (i % 8)));
    EXPECT_FALSE(decode_cell(damaged, texts)) << i;
    EXPECT_FALSE(decode_cell(bytes.substr(0, i), texts)) << i;
  }
  EXPECT_TRUE(decode_cell(bytes, texts));
  CountCell named = drawing.cell();
  named.instances = {{"pod@1", Track::canary, 1, 0, false}};
  EXPECT_FALSE(decode_cell(encode_cell(named, texts), CellTexts())) << "its texts are not there";
}

// docs/formats.md names these sizes.
TEST(CellCodec, ACellOfFiftyRoutesIsSmall) {
  std::mt19937_64 random(3);
  const auto classic = std::make_shared<const std::vector<double>>(
      std::vector<double>{5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000});
  for (const auto& [bounds, most] : {std::pair<BucketBounds, std::size_t>{classic, 3'300},
                                     {cohort::judged_bounds_ms(3), 9'000}}) {
    CountCell cell;
    cell.from_ms = 1'700'000'000'000;
    cell.to_ms = cell.from_ms + 15'000;
    std::lognormal_distribution<double> duration(std::log(80), 0.6);
    for (int r = 0; r <= 50; ++r) {
      RouteCounts row;
      row.route = r == 0 ? "" : "/api/v1/things/" + std::to_string(r);
      row.share_bounds(bounds);
      for (auto* track : {&row.canary, &row.stable}) {
        const int n = (track == &row.canary ? 15 : 285) * (r == 0 ? 50 : 1);
        track->requests = track->answered = n + 0.37;
        track->errors = n / 100.0;
        track->bucket_counts.assign(bounds->size() + 1, 0);
        for (int i = 0; i < n; ++i) {
          const auto at = std::ranges::lower_bound(*bounds, duration(random)) - bounds->begin();
          track->bucket_counts[static_cast<std::size_t>(at)] += 1.001;
          track->sum_ms += 80;
        }
      }
      (r == 0 ? cell.total : cell.routes.emplace_back()) = std::move(row);
    }
    for (int i = 0; i < 20; ++i) {
      cell.instances.push_back(
          {"shop-7d9f8b6c5d-" + std::to_string(i) + "@2.4.0", Track::stable, 712.4, 7.1, false});
    }
    round_counts(cell);
    CellTexts texts;
    (void)encode_cell(cell, texts);
    const auto size = encode_cell(cell, texts).size();
    EXPECT_LT(size, most);
    EXPECT_GT(size, most / 2);
  }
}

TEST(CellCodec, MemoryIsReadAsItWas) {
  FeedMemory memory;
  memory.routes = {{"/pay", 1234.5, true}, {"", 3, false}};
  memory.tracks[0] = {.heard_ms = 1,
                      .unbroken_since_ms = 2,
                      .most_live = 3,
                      .instances = {{"a@1", 5, 15'000, -7, 2, 9, -7, 3},
                                    {"b@1", 6, std::nullopt, 0, 0, 0, std::nullopt, 0}}};
  const auto bytes = encode_memory(memory);
  const auto read = decode_memory(bytes);
  ASSERT_TRUE(read);
  EXPECT_EQ(*read, memory);
  for (std::size_t i = 0; i < bytes.size(); ++i) EXPECT_FALSE(decode_memory(bytes.substr(0, i)));
  const auto nothing = decode_memory(encode_memory({}));
  ASSERT_TRUE(nothing);
  EXPECT_EQ(*nothing, FeedMemory());
}

} // namespace
} // namespace coalmine::rollout
