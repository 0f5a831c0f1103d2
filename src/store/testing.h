// Short builders for the tests of this room: resources, points, spans and directories.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <unistd.h>
#include <atomic>
#include <cstring>
#include <filesystem>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/self_metrics.h"
#include "base/temp_dir_for_test.h"
#include "store/store.h"
#include "store/store_impl.h"

namespace coalmine::store::testing {

inline constexpr std::int64_t kNow = 1'700'000'000'000; // ManualClock's start

// A store with its clock and metrics, which can be closed and opened again.
struct Fixture {
  TempDir dir;
  ManualClock clock{kNow};
  SelfMetrics metrics;
  Options options;
  std::unique_ptr<Store> store;

  Fixture() {
    options.directory = dir.path();
    options.sync_interval_ms = 1000;
    options.ended_after_intervals = 0; // tests jump over hours without telemetry
  }
  void open() {
    auto opened = Store::open(options, clock, metrics);
    ASSERT_TRUE(opened) << opened.error().message;
    store = std::move(*opened);
  }
  void reopen() {
    store.reset();
    open();
  }
  AppendResult append(const Batch& batch) {
    auto result = store->append(batch);
    EXPECT_TRUE(result) << (result ? "" : result.error().message);
    return result ? *result : AppendResult{};
  }
  double damaged() { return metrics.counter("coalmine_store_damaged_total", "").value(); }
};

inline std::shared_ptr<const Resource> resource(std::string service, std::string track = "stable",
                                                std::string version = "1",
                                                std::string instance = "i1") {
  return make_resource({{"service.name", std::move(service)},
                        {"service.version", std::move(version)},
                        {"deployment.track", std::move(track)},
                        {"service.instance.id", std::move(instance)}},
                       "127.0.0.1");
}

inline std::shared_ptr<const MetricSeries> series(
    const std::shared_ptr<const Resource>& from, std::string otel_name, std::string name,
    MetricKind kind, Attributes attributes = {}, std::string unit = "",
    Temporality temporality = Temporality::cumulative) {
  auto out = std::make_shared<MetricSeries>();
  out->resource = from;
  out->metric = std::make_shared<const MetricDescription>(
      MetricDescription{std::move(otel_name), std::move(unit), ""});
  out->kind = kind;
  out->temporality = temporality;
  auto pairs = from->labels.pairs();
  for (const auto& [key, value] : attributes) pairs.emplace_back(label_name(key), to_text(value));
  pairs.emplace_back("__name__", std::move(name));
  out->labels = Labels(std::move(pairs));
  out->attributes = std::move(attributes);
  out->recurring = true;
  return out;
}

inline std::uint64_t ns(std::int64_t ms) { return static_cast<std::uint64_t>(ms) * 1'000'000; }

inline MetricPoint point(std::shared_ptr<const MetricSeries> of, std::int64_t start_ms,
                         std::int64_t time_ms, double value) {
  return {std::move(of), ns(start_ms), ns(time_ms), false, value};
}

inline BucketBounds bounds(std::vector<double> list) {
  return std::make_shared<const std::vector<double>>(std::move(list));
}

inline ClassicHistogram classic(const BucketBounds& of, std::vector<std::uint64_t> counts,
                                double sum = 0) {
  ClassicHistogram out;
  out.bounds = of;
  for (const auto n : counts) out.count += n;
  out.counts = std::move(counts);
  out.sum = sum;
  return out;
}

inline MetricPoint point(std::shared_ptr<const MetricSeries> of, std::int64_t start_ms,
                         std::int64_t time_ms, ClassicHistogram value) {
  return {std::move(of), ns(start_ms), ns(time_ms), false, std::move(value)};
}

inline MetricPoint point(std::shared_ptr<const MetricSeries> of, std::int64_t start_ms,
                         std::int64_t time_ms, ExponentialHistogram value) {
  return {std::move(of), ns(start_ms), ns(time_ms), false, std::move(value)};
}

inline Span span(const std::shared_ptr<const Resource>& from, std::uint8_t trace, std::uint8_t id,
                 std::int64_t start_ms, std::int64_t end_ms, SpanKind kind = SpanKind::server,
                 StatusCode status = StatusCode::unset, Attributes attributes = {}) {
  Span out;
  out.resource = from;
  out.trace_id.fill(trace);
  out.span_id.fill(id);
  out.name = "GET /x";
  out.kind = kind;
  out.start_ns = ns(start_ms);
  out.end_ns = ns(end_ms);
  out.status = status;
  out.attributes = std::move(attributes);
  return out;
}

inline Batch batch(std::vector<MetricPoint> points, std::int64_t received_ms = kNow) {
  Batch out;
  out.received_ms = received_ms;
  out.points = std::move(points);
  return out;
}

inline std::vector<SeriesData> select(const Store& store, std::string_view name,
                                      std::vector<Matcher> more = {}, bool choose = true,
                                      std::int64_t from_ms = 0, std::int64_t to_ms = INT64_MAX) {
  SelectRequest request;
  request.matchers = std::move(more);
  request.matchers.push_back({"__name__", Matcher::Op::equal, std::string(name)});
  request.choose_source = choose;
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  auto out = store.select(request);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  return out ? std::move(*out) : std::vector<SeriesData>{};
}

// (time, value) pairs, times relative to kNow.
inline std::vector<std::pair<std::int64_t, double>> values(const SeriesData& data) {
  std::vector<std::pair<std::int64_t, double>> out;
  for (const auto& s : data.floats) out.emplace_back(s.time_ms - kNow, s.value);
  return out;
}

} // namespace coalmine::store::testing
