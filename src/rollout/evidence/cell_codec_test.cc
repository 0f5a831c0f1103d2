// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/cell_codec.h"

#include <gtest/gtest.h>
#include <xxhash.h>

#include <cmath>
#include <random>

#include "base/bytes.h"
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
    for (auto n = pick(0, 4); n > 0; --n) {
      out.instances.push_back({"pod-" + std::to_string(n) + "@2",
                               pick(0, 1) == 1 ? Track::canary : Track::stable, count(), count(),
                               pick(0, 1) == 1});
      if (pick(0, 1) == 1) out.instances.back().restarts = static_cast<std::uint32_t>(pick(1, 300));
      if (pick(0, 1) == 1) put_buckets(out.total.canary.bounds_ms, out.instances.back());
    }
    for (auto n = pick(0, 4); n > 0; --n) {
      auto& added = out.routes.emplace_back(row("/route/" + std::to_string(n)));
      for (std::uint32_t i = 0; i < out.instances.size(); ++i) {
        if (pick(0, 2) > 0) added.parts.push_back({i, count(), pick(0, 1) == 0 ? 0 : count()});
      }
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
  void put_buckets(const BucketBounds& bounds, InstanceCounts& to) {
    for (std::size_t i = 0; bounds != nullptr && i <= bounds->size(); ++i)
      to.bucket_counts.push_back(pick(0, 2) == 0 ? count() : 0);
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
    ASSERT_EQ(x.parts.size(), y.parts.size());
    for (std::size_t j = 0; j < x.parts.size(); ++j) {
      EXPECT_EQ(x.parts[j].instance, y.parts[j].instance);
      EXPECT_EQ(x.parts[j].requests, y.parts[j].requests);
      EXPECT_EQ(x.parts[j].errors, y.parts[j].errors);
    }
  }
  ASSERT_EQ(a.instances.size(), b.instances.size());
  for (std::size_t i = 0; i < a.instances.size(); ++i) {
    EXPECT_EQ(a.instances[i].instance, b.instances[i].instance);
    EXPECT_EQ(a.instances[i].track, b.instances[i].track);
    EXPECT_EQ(a.instances[i].requests, b.instances[i].requests);
    EXPECT_EQ(a.instances[i].errors, b.instances[i].errors);
    EXPECT_EQ(a.instances[i].warming, b.instances[i].warming);
    EXPECT_EQ(a.instances[i].restarts, b.instances[i].restarts);
    EXPECT_EQ(a.instances[i].bucket_counts, b.instances[i].bucket_counts);
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
  CountCell cell;
  cell.to_ms = 15'000;
  cell.instances = {{"pod@1", Track::canary, 1, 0, false}};
  cell.routes.emplace_back().parts = {{0, 1, 0}};
  EXPECT_TRUE(decode_cell(encode_cell(cell, texts), texts));
  cell.routes[0].parts.push_back({1, 1, 0});
  EXPECT_FALSE(decode_cell(encode_cell(cell, texts), texts)) << "a part of nobody";
  cell.routes[0].parts.pop_back();
  cell.instances[0].bucket_counts = {1, 2};
  EXPECT_FALSE(decode_cell(encode_cell(cell, texts), texts)) << "durations without bounds";
}

std::string sealed_for_test(std::string bytes) {
  const auto checksum = static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size()));
  ByteWriter(bytes).u32(checksum);
  return bytes;
}

// Version 1: what a coalmine from before processes had details has kept.
TEST(CellCodec, CellsOfAnOlderVersionAreRead) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(1);
  out.zigzag(1'700'000'000'000);
  out.zigzag(15'000);
  out.u8(4); // warming
  out.u8(2); // spans
  out.f64(0.25);
  out.varint(1); // bounds
  out.u8(0);
  out.varint(2);
  out.f64(10);
  out.f64(100);
  const auto row = [&](std::uint64_t name) {
    out.varint(name);
    for (int track = 0; track < 2; ++track) {
      for (const std::uint64_t count : {160, 16, 8, 0, 160, 0}) out.varint(count);
      for (const std::uint64_t number : {1, 0, 0, 32}) out.varint(number);
      for (const std::uint64_t bucket : {2, 2, 16, 32}) out.varint(bucket); // the second and third
    }
  };
  row(0);
  out.varint(1);
  row(1);
  out.varint(2);
  for (const std::uint64_t name : {2, 3}) {
    out.varint(name);
    out.u8(name == 2 ? 3 : 0);
    out.varint(160);
    out.varint(16);
  }
  out.varint(0);
  const CellTexts texts({{1, "/pay"}, {2, "c@2"}, {3, "s@1"}});
  const auto cell = decode_cell(sealed_for_test(bytes), texts);
  ASSERT_TRUE(cell);
  EXPECT_TRUE(cell->warming);
  EXPECT_EQ(cell->source, Source::spans);
  EXPECT_EQ(cell->total.stable.requests, 10);
  EXPECT_EQ(cell->total.stable.bucket_counts, (std::vector<double>{0, 1, 2}));
  EXPECT_EQ(cell->total.stable.timed, 3);
  ASSERT_EQ(cell->routes.size(), 1u);
  EXPECT_EQ(cell->routes[0].route, "/pay");
  EXPECT_TRUE(cell->routes[0].parts.empty());
  ASSERT_EQ(cell->instances.size(), 2u);
  EXPECT_TRUE(cell->instances[0].warming);
  EXPECT_EQ(cell->instances[1].instance, "s@1");
  EXPECT_TRUE(cell->instances[1].bucket_counts.empty());
  bytes[0] = 3;
  EXPECT_FALSE(decode_cell(sealed_for_test(bytes), texts)) << "a newer version";
}

TEST(CellCodec, AMemoryOfAnOlderVersionIsRead) {
  std::string bytes;
  ByteWriter out(bytes);
  out.u8(1);
  out.varint(0);
  for (int track = 0; track < 2; ++track) {
    out.zigzag(5);
    out.zigzag(6);
    out.varint(7);
    out.varint(1);
    out.text("pod@1");
    for (const int value : {8, 15'000, 0, 9, 10}) out.zigzag(value);
    out.u8(1);
    out.zigzag(300);
    out.varint(3);
  }
  const auto memory = decode_memory(sealed_for_test(bytes));
  ASSERT_TRUE(memory);
  FeedMemory::TrackMemory expected{.heard_ms = 5,
                                   .unbroken_since_ms = 6,
                                   .most_live = 7,
                                   .instances = {{"pod@1", 8, 15'000, 0, 9, 10, 300, 3}}};
  EXPECT_EQ(memory->tracks[0], expected);
  EXPECT_EQ(memory->tracks[1], expected);
}

// 50 routes with so many requests of stable each, evenly spread over 20 processes.
CountCell cell_of_fifty_routes(const BucketBounds& bounds, int of_stable) {
  constexpr std::uint32_t kProcesses = 20;
  std::mt19937_64 random(3);
  std::lognormal_distribution<double> duration(std::log(80), 0.6);
  CountCell cell;
  cell.from_ms = 1'700'000'000'000;
  cell.to_ms = cell.from_ms + 15'000;
  cell.total.share_bounds(bounds);
  for (auto* track : {&cell.total.canary, &cell.total.stable})
    track->bucket_counts.assign(bounds->size() + 1, 0);
  for (std::uint32_t i = 0; i < kProcesses; ++i) {
    auto& one = cell.instances.emplace_back();
    one.instance = "shop-7d9f8b6c5d-" + std::to_string(i) + "@2.4.0";
    one.bucket_counts.assign(bounds->size() + 1, 0);
  }
  for (int r = 1; r <= 50; ++r) {
    auto& row = cell.routes.emplace_back();
    row.route = "/api/v1/things/" + std::to_string(r);
    row.share_bounds(bounds);
    for (std::uint32_t i = 0; i < kProcesses; ++i)
      row.parts.push_back({i, of_stable / 20.0 + 0.02, i == 0 ? of_stable / 100.0 : 0});
    for (auto* track : {&row.canary, &row.stable}) {
      auto& total = track == &row.canary ? cell.total.canary : cell.total.stable;
      const int n = track == &row.canary ? of_stable / 19 : of_stable;
      track->requests = track->answered = n + 0.37;
      track->errors = n / 100.0;
      track->bucket_counts.assign(bounds->size() + 1, 0);
      for (int i = 0; i < n; ++i) {
        const auto at = static_cast<std::size_t>(
            std::ranges::lower_bound(*bounds, duration(random)) - bounds->begin());
        track->bucket_counts[at] += 1.001;
        total.bucket_counts[at] += 1.001;
        track->sum_ms += 80;
        if (track == &row.stable)
          cell.instances[static_cast<std::size_t>(i + r) % kProcesses].bucket_counts[at] += 1.001;
      }
      total.add_requests(*track);
    }
  }
  for (auto& one : cell.instances) {
    one.requests = cell.total.stable.requests / kProcesses;
    one.errors = cell.total.stable.errors / kProcesses;
  }
  round_counts(cell);
  return cell;
}

// docs/formats.md names these sizes.
TEST(CellCodec, ACellOfFiftyRoutesIsSmall) {
  const auto classic = std::make_shared<const std::vector<double>>(
      std::vector<double>{5, 10, 25, 50, 75, 100, 250, 500, 750, 1000, 2500, 5000, 7500, 10000});
  for (const auto& [bounds, of_stable, most] :
       {std::tuple<BucketBounds, int, std::size_t>{classic, 285, 6'500},
        {cohort::judged_bounds_ms(3), 285, 11'000},
        {cohort::judged_bounds_ms(5), 60, 17'000}}) {
    const auto cell = cell_of_fifty_routes(bounds, of_stable);
    CellTexts texts;
    (void)encode_cell(cell, texts);
    const auto size = encode_cell(cell, texts).size();
    EXPECT_LT(size, most);
    EXPECT_GT(size, most / 10 * 9);
  }
}

TEST(CellCodec, MemoryIsReadAsItWas) {
  FeedMemory memory;
  memory.routes = {{"/pay", 1234.5, true}, {"", 3, false}};
  memory.tracks[0] = {.heard_ms = 1,
                      .unbroken_since_ms = 2,
                      .most_live = 3,
                      .instances = {{"a@1", 5, 15'000, -7, 2, 9, -7, 3},
                                    {"b@1", 6, std::nullopt, 0, 0, 0, std::nullopt, 0, 4}},
                      .first_births = {-3, 9}};
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
