// The store as its callers see it.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <random>
#include <thread>

#include "store/disk/disk.h"
#include "store/disk/meta_rows.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, double>>;
constexpr std::int64_t kMinute = 60'000;

struct StoreTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  std::shared_ptr<const MetricSeries> counter =
      series(app, "jobs", "jobs_total", MetricKind::counter);
  std::shared_ptr<const MetricSeries> gauge =
      series(app, "depth", "depth", MetricKind::gauge, {{"queue", std::string("a")}}, "{item}");
  void SetUp() override { open(); }
  Points only(std::string_view name) {
    const auto found = select(*store, name);
    EXPECT_EQ(found.size(), 1u);
    return found.empty() ? Points{} : values(found[0]);
  }
};

TEST_F(StoreTest, WhatIsAppendedIsThereAtOnceAndAfterRestart) {
  append(batch({point(counter, kNow - 1000, kNow, 5), point(gauge, 0, kNow, 1.5)}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_EQ(only("jobs_total"), (Points{{0, 5}}));
    EXPECT_EQ(select(*store, "jobs_total")[0].floats[0].start_ms, kNow - 1000);
    const auto found = select(*store, "depth");
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].unit, "{item}");
    EXPECT_EQ(found[0].kind, MetricKind::gauge);
    EXPECT_EQ(found[0].labels->get("queue"), "a");
    reopen();
  }
  EXPECT_EQ(damaged(), 0);
}

TEST_F(StoreTest, TargetInfoIsWrittenWhereTheBatchAsksForIt) {
  auto sent = batch({point(counter, 0, kNow - 2000, 1), point(gauge, 0, kNow, 1),
                     point(gauge, 0, kNow + 600'001, 2)});
  append(sent);
  EXPECT_TRUE(select(*store, "target_info").empty()) << "remote write brings its own";
  sent.tell_resources = true;
  EXPECT_EQ(append(sent).rejected_points, 1u);
  EXPECT_EQ(only("target_info"), (Points{{0, 1}})) << "dated as the newest point that was taken";
  EXPECT_EQ(select(*store, "target_info")[0].labels->get("service_version"), "1");
}

TEST_F(StoreTest, OutsideTheWindowIsRejectedWithAReason) {
  const auto result =
      append(batch({point(counter, 0, kNow - 3600'000 - 1, 1), point(counter, 0, kNow + 600'001, 2),
                    point(counter, 0, kNow, 3)}));
  EXPECT_EQ(result.rejected_points, 2u);
  EXPECT_NE(result.reason.find("jobs"), std::string::npos) << result.reason;
  EXPECT_EQ(only("jobs_total"), (Points{{0, 3}}));
  const auto again =
      append(batch({point(series(app, "late", "late", MetricKind::gauge), 0, kNow - 3600'000, 1)}));
  EXPECT_EQ(again.rejected_points, 0u) << "an hour old is fine, also as a series' first";
  EXPECT_EQ(append(batch({{counter, 0, UINT64_MAX, false, 1.0}, {counter, 0, 0, false, 1.0}}))
                .rejected_points,
            2u);
}

TEST_F(StoreTest, LatePointsAreSortedInAndTheLastOfAMillisecondStays) {
  append(batch({point(gauge, 0, kNow, 3)}));
  append(batch({point(gauge, 0, kNow - 2000, 1), point(gauge, 0, kNow - 1000, 2)}));
  append(batch({point(gauge, 0, kNow - 1000, 22)}));
  EXPECT_EQ(only("depth"), (Points{{-2000, 1}, {-1000, 22}, {0, 3}}));
  reopen();
  EXPECT_EQ(only("depth"), (Points{{-2000, 1}, {-1000, 22}, {0, 3}}));
}

TEST_F(StoreTest, MalformedPointsAreRejectedNotFatal) {
  const auto histogram = series(app, "h", "h", MetricKind::histogram);
  auto wrong = classic(bounds({1, 2}), {1});
  const auto result = append(batch({point(histogram, 0, kNow, wrong),
                                    point(counter, 0, kNow, wrong),
                                    {nullptr, 0, ns(kNow), false, 1.0}}));
  EXPECT_EQ(result.rejected_points, 3u);
  EXPECT_NE(result.reason, "");
}

TEST_F(StoreTest, NoRecordedValueEndsTheSeries) {
  const auto histogram = series(app, "h", "h", MetricKind::histogram);
  append(
      batch({point(gauge, 0, kNow, 1), point(histogram, 0, kNow, classic(bounds({1}), {1, 1}))}));
  append(batch({{gauge, 0, ns(kNow + 1000), true, 0.0},
                {histogram, 0, ns(kNow + 1000), true, ClassicHistogram{}}}));
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(is_stale(select(*store, "depth")[0].floats[1].value));
    EXPECT_TRUE(select(*store, "h")[0].classic[1].stale);
    reopen();
  }
}

TEST_F(StoreTest, DeltasBecomeTotalsAndRepeatsCountOnce) {
  const auto delta = series(app, "d", "d_total", MetricKind::counter, {}, "", Temporality::delta);
  const auto at = [&](std::int64_t time, double value) {
    return batch({point(delta, kNow + time - 1000, kNow + time, value)});
  };
  append(at(0, 1));
  append(at(1000, 2));
  append(at(1000, 2));
  append(at(3000, 8));
  append(at(2000, 4)); // overtaken
  append(at(2000, 4));
  reopen();
  append(at(3000, 8)); // repeated across a restart
  append(at(4000, 16));
  EXPECT_EQ(only("d_total"), (Points{{0, 1}, {1000, 3}, {2000, 7}, {3000, 15}, {4000, 31}}));
  const auto totals = select(*store, "d_total");
  for (const auto& s : totals[0].floats) EXPECT_EQ(s.start_ms, kNow - 1000);
}

TEST_F(StoreTest, DeltasGoOnAfterSealing) {
  const auto delta = series(app, "d", "d_total", MetricKind::counter, {}, "", Temporality::delta);
  append(batch({point(delta, kNow - 1000, kNow, 1), point(delta, kNow, kNow + 20'000, 4)}));
  clock.advance_ms(45 * kMinute);
  ASSERT_TRUE(store->maintain());
  EXPECT_EQ(store->stats().head_samples, 0u);
  append(batch({point(delta, kNow, kNow + 10'000, 2)})); // late, in a sealed block
  append(batch({point(delta, kNow + 40 * kMinute, kNow + 44 * kMinute, 8)}));
  const Points expected = {{0, 1}, {10'000, 3}, {20'000, 7}, {44 * kMinute, 15}};
  EXPECT_EQ(only("d_total"), expected);
  reopen();
  EXPECT_EQ(only("d_total"), expected);
  clock.advance_ms(45 * kMinute);
  ASSERT_TRUE(store->maintain());
  EXPECT_EQ(only("d_total"), expected);
  reopen();
  EXPECT_EQ(only("d_total"), expected);
}

TEST_F(StoreTest, ExponentialDeltasAddUp) {
  const auto delta = series(app, "e", "e", MetricKind::exponential, {}, "", Temporality::delta);
  ExponentialHistogram h;
  h.scale = 2;
  h.positive = {3, {1, 2}};
  h.count = 3;
  append(batch({point(delta, kNow - 1000, kNow, h), point(delta, kNow, kNow + 1000, h)}));
  const auto found = select(*store, "e");
  ASSERT_EQ(found[0].exponential.size(), 2u);
  EXPECT_EQ(found[0].exponential[1].value.count, 6u);
  EXPECT_EQ(found[0].exponential[1].value.positive.counts, (std::vector<std::uint64_t>{2, 4}));
}

TEST_F(StoreTest, TooManySeriesNameTheLabel) {
  options.max_series_per_service = 3;
  reopen();
  AppendResult result;
  for (int i = 0; i < 5; ++i) {
    result = append(batch({point(
        series(app, "x", "x", MetricKind::gauge, {{"user", std::to_string(i)}}), 0, kNow, 1)}));
  }
  EXPECT_EQ(result.rejected_points, 1u);
  EXPECT_NE(result.reason.find("label user"), std::string::npos) << result.reason;
  EXPECT_EQ(
      append(batch({point(series(app, "x", "x", MetricKind::gauge, {{"user", std::string("1")}}), 0,
                          kNow + 1, 1)}))
          .rejected_points,
      0u);
}

TEST_F(StoreTest, EndedSeriesDoNotCountAgainstTheLimit) {
  options.max_series_per_service = 3;
  reopen();
  int next = 0;
  const auto add = [&](int n) { // of one process, with series of its own
    Batch out;
    const auto process = resource("shop", "stable", "1", "i" + std::to_string(next++));
    for (int i = 0; i < n; ++i)
      out.points.push_back(point(
          series(process, "x", "x", MetricKind::gauge, {{"n", std::int64_t{i}}}), 0, kNow, 1));
    return out;
  };
  const auto end = [&](Batch of) { // as an application does when it stops
    for (auto& p : of.points) {
      p.time_ns += 1'000'000;
      p.no_recorded_value = true;
    }
    append(of);
  };
  for (int deploys = 0; deploys < 10; ++deploys) {
    const auto all = add(3);
    EXPECT_EQ(append(all).rejected_points, 0u) << deploys;
    EXPECT_EQ(append(add(1)).rejected_points, 1u) << "three live ones are the limit";
    end(all);
  }
  const auto last = add(3);
  EXPECT_EQ(append(last).rejected_points, 0u);
  const auto refused = append(add(1));
  EXPECT_NE(refused.reason.find("has 3 metric series (and 30 that have ended and are still kept)"),
            std::string::npos)
      << refused.reason;
  end(last);
  EXPECT_EQ(append(add(1)).rejected_points, 1u) << "what has ended takes memory, and has a limit";
}

TEST_F(StoreTest, LateIsNotSilent) {
  options.ended_after_intervals = 3;
  reopen();
  constexpr std::int64_t kLate = 150'000;
  const auto send = [&](double value) {
    append(batch({point(counter, kNow - 600'000, clock.wall_ms() - kLate, value)}));
  };
  const auto at_end = [&] { return select(*store, "jobs_total")[0].floats.back(); };
  for (int i = 0; i < 40; ++i) {
    send(i);
    clock.advance_ms(5'000);
    ASSERT_TRUE(store->maintain());
    ASSERT_FALSE(is_stale(at_end().value)) << i;
  }
  clock.advance_ms(56'000);
  ASSERT_TRUE(store->maintain());
  EXPECT_TRUE(is_stale(at_end().value)) << "61 s without an arrival are silence";
  EXPECT_EQ(at_end().time_ms, clock.wall_ms() - kLate) << "on the clock of the points";
  clock.advance_ms(5'000);
  send(41);
  EXPECT_EQ(at_end().value, 41) << "what comes later, as late as before, is after the end";
}

TEST_F(StoreTest, SelectBoundsAndLimits) {
  for (int i = 0; i < 10; ++i) append(batch({point(gauge, 0, kNow + i * 1000, i)}));
  EXPECT_EQ(select(*store, "depth", {}, true, kNow + 1000, kNow + 2000)[0].floats.size(), 2u)
      << "both ends are inclusive";
  EXPECT_TRUE(select(*store, "depth", {}, true, kNow + 1001, kNow + 1999).empty());
  SelectRequest request;
  request.to_ms = INT64_MAX;
  request.max_samples = 9;
  const auto refused = store->select(request);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::resource_exhausted);
  request.matchers = {{"queue", Matcher::Op::regexp, "("}};
  EXPECT_EQ(store->select(request).error().code, ErrorCode::invalid_argument);
  request = {};
  request.to_ms = INT64_MAX;
  request.with_samples = false;
  const auto labels_only = store->select(request);
  ASSERT_EQ(labels_only->size(), 1u);
  EXPECT_TRUE((*labels_only)[0].floats.empty());
}

TEST_F(StoreTest, LabelsAndMetadata) {
  append(batch({point(counter, 0, kNow, 1), point(gauge, 0, kNow + 5000, 2)}));
  SelectRequest all;
  all.to_ms = INT64_MAX;
  EXPECT_EQ(store->label_values("__name__", all),
            (std::vector<std::string>{"depth", "jobs_total"}));
  const auto names = store->label_names(all);
  EXPECT_TRUE(std::ranges::is_sorted(names));
  EXPECT_TRUE(std::ranges::find(names, "queue") != names.end());
  all.to_ms = kNow + 1000;
  EXPECT_EQ(store->label_values("__name__", all), (std::vector<std::string>{"jobs_total"}))
      << "only with samples in the range";
  const auto metadata = store->metadata();
  ASSERT_EQ(metadata.size(), 2u);
  EXPECT_EQ(metadata[0].name, "depth");
  EXPECT_EQ(metadata[0].unit, "{item}");
}

TEST_F(StoreTest, PresenceSurvivesRestart) {
  append(batch({point(counter, 0, kNow, 1)}));
  append(batch({point(counter, 0, kNow + 15'000, 1)}));
  Batch with_span = batch({});
  with_span.spans = table_of({span(app, 1, 1, kNow + 20'000, kNow + 21'000)});
  append(with_span);
  for (int round = 0; round < 2; ++round) {
    const auto all = store->presence();
    ASSERT_EQ(all.size(), 1u);
    EXPECT_EQ(all[0].service, "shop");
    EXPECT_EQ(all[0].first_ms, kNow);
    EXPECT_EQ(all[0].last_ms, kNow + 21'000);
    EXPECT_EQ(all[0].export_interval_ms, 15'000);
    reopen();
  }
}

TEST_F(StoreTest, SealingAndRestartChangeNoAnswer) {
  const auto histogram = series(app, "h", "h", MetricKind::histogram);
  const auto other = bounds({1, 3});
  for (int i = 0; i < 300; ++i) {
    const std::int64_t t = kNow + i * 15'000;
    clock.set_wall_ms(t);
    append(batch({point(counter, kNow - 1, t, i), point(gauge, 0, t, i * 0.1),
                  point(histogram, kNow - 1, t,
                        classic(i < 150 ? bounds({1, 2}) : other,
                                {1, static_cast<std::uint64_t>(i), 2}, i * 0.5))}));
  }
  const auto snapshot = [&] {
    SelectRequest all;
    all.to_ms = INT64_MAX;
    return *store->select(all);
  };
  const auto expect_equal = [&](const std::vector<SeriesData>& a,
                                const std::vector<SeriesData>& b) {
    ASSERT_EQ(a.size(), b.size());
    for (std::size_t i = 0; i < a.size(); ++i) {
      ASSERT_EQ(*a[i].labels, *b[i].labels);
      ASSERT_EQ(a[i].floats.size(), b[i].floats.size());
      ASSERT_EQ(a[i].classic.size(), b[i].classic.size());
      for (std::size_t k = 0; k < a[i].floats.size(); ++k)
        ASSERT_TRUE(same(a[i].floats[k], b[i].floats[k]));
      for (std::size_t k = 0; k < a[i].classic.size(); ++k)
        ASSERT_TRUE(same(a[i].classic[k], b[i].classic[k]));
    }
  };
  const auto before = snapshot();
  const auto in_head = store->stats().head_samples;
  ASSERT_TRUE(store->maintain());
  EXPECT_LT(store->stats().head_samples, in_head);
  expect_equal(before, snapshot());
  reopen();
  expect_equal(before, snapshot());
  EXPECT_EQ(damaged(), 0);
  const auto middle =
      select(*store, "jobs_total", {}, true, kNow + 100 * 15'000, kNow + 110 * 15'000);
  EXPECT_EQ(middle[0].floats.size(), 11u);
}

TEST_F(StoreTest, RetentionByTimeDropsSamplesSpansSeriesAndPresence) {
  Batch first = batch({point(counter, 0, kNow, 1)});
  first.spans = table_of({span(app, 1, 1, kNow, kNow + 5, SpanKind::client)});
  append(first);
  const auto late = resource("late");
  clock.advance_ms(25 * 3600'000);
  const auto now = clock.wall_ms();
  append(batch({point(series(late, "g", "g", MetricKind::gauge), 0, now, 1)}, now));
  ASSERT_TRUE(store->maintain());
  for (int round = 0; round < 2; ++round) {
    EXPECT_TRUE(select(*store, "jobs_total").empty());
    EXPECT_EQ(select(*store, "g").size(), 1u);
    EXPECT_TRUE(store->trace(first.spans.rows[0].trace_id)->empty());
    EXPECT_EQ(store->stats().series, 1u);
    ASSERT_EQ(store->presence().size(), 1u);
    EXPECT_EQ(store->presence()[0].service, "late");
    reopen();
  }
  append(batch({point(counter, 0, now, 7)}, now));
  EXPECT_EQ(select(*store, "jobs_total")[0].floats[0].value, 7);
}

TEST_F(StoreTest, RetentionBySizeDropsTheOldestFirst) {
  options.retention_bytes = 3 << 20;
  reopen();
  for (int block = 0; block < 4; ++block) {
    const auto now = clock.wall_ms();
    for (int part = 0; part < 4; ++part) {
      Batch b = batch({point(counter, 0, now + part, block)}, now + part);
      auto s = span(app, static_cast<std::uint8_t>(block + 1), static_cast<std::uint8_t>(part + 1),
                    now, now + 1, SpanKind::client);
      std::string noise(400'000, 'x');
      std::uint64_t state = static_cast<std::uint64_t>(block * 4 + part + 1);
      for (auto& c : noise)
        c = static_cast<char>(
            '!' + ((state = state * 6364136223846793005ULL + 1442695040888963407ULL) >> 58));
      s.attributes = {{"noise", noise}};
      b.spans = table_of({s});
      append(b);
    }
    clock.advance_ms(kBlockMs);
  }
  clock.advance_ms(2 * kBlockMs);
  ASSERT_TRUE(store->maintain());
  TraceId oldest, newest;
  oldest.fill(1);
  newest.fill(4);
  EXPECT_TRUE(store->trace(oldest)->empty());
  EXPECT_FALSE(store->trace(newest)->empty());
}

TEST_F(StoreTest, ASecondOneIsRefusedByName) {
  auto second = Store::open(options, clock, metrics);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::failed_precondition);
  EXPECT_NE(second.error().message.find("another coalmine"), std::string::npos)
      << second.error().message;
  append(batch({point(counter, 0, kNow, 1)})); // the first is unharmed
}

TEST_F(StoreTest, ANewerSchemaIsRefused) {
  store.reset();
  {
    auto database = open_rocks({options.directory});
    ASSERT_TRUE(database);
    WriteSet set;
    set.put(Family::meta, std::string(kSchemaKey), number_row(kSchemaVersion + 1));
    ASSERT_TRUE((*database)->write(set));
  }
  const auto opened = Store::open(options, clock, metrics);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("schema " + std::to_string(kSchemaVersion + 1)),
            std::string::npos)
      << opened.error().message;
}

TEST_F(StoreTest, ADirectoryThatCannotBeMadeIsAClearError) {
  Options bad = options;
  std::ofstream(dir.path() + "/file") << "x";
  bad.directory = dir.path() + "/file/below";
  const auto opened = Store::open(bad, clock, metrics);
  ASSERT_FALSE(opened);
  EXPECT_NE(opened.error().message.find("cannot be made"), std::string::npos)
      << opened.error().message;
}

TEST_F(StoreTest, TwoSendersOfOneSeriesAreNamed) {
  const auto send = [&](std::int64_t start, std::int64_t time, double value) {
    return append(batch({point(counter, start, time, value)})).reason;
  };
  EXPECT_EQ(send(kNow - 9000, kNow, 5), "");
  EXPECT_EQ(send(kNow - 500, kNow + 1000, 1), "") << "started again";
  EXPECT_EQ(send(kNow - 9000, kNow + 500, 6), "") << "overtaken";
  const auto told = send(kNow - 9000, kNow + 2000, 7);
  EXPECT_NE(told.find("two senders write the series jobs_total{"), std::string::npos) << told;
  EXPECT_NE(told.find("service.instance.id"), std::string::npos) << told;
  EXPECT_EQ(send(kNow - 500, kNow + 3000, 2), "");
  EXPECT_EQ(send(kNow - 9000, kNow + 4000, 8), "") << "once in a while is enough";
  clock.advance_ms(10 * kMinute);
  EXPECT_EQ(send(kNow - 500, kNow + 5000, 3), "");
  EXPECT_NE(send(kNow - 9000, kNow + 6000, 9), "");
  EXPECT_NE(metrics.render().find("coalmine_store_two_senders_total 2"), std::string::npos);
}

TEST_F(StoreTest, AnInstanceThatFallsSilentHasEnded) {
  options.ended_after_intervals = 3;
  reopen();
  const auto other = resource("shop", "stable", "1", "i2");
  const auto living = series(other, "jobs", "jobs_total", MetricKind::counter);
  const auto histogram = series(app, "h", "h", MetricKind::histogram);
  const auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{1, 2});
  for (int i = 0; i < 3; ++i) {
    append(batch({point(counter, kNow - 1000, clock.wall_ms(), i),
                  point(histogram, kNow - 1000, clock.wall_ms(), classic(bounds, {1, 2, 3}))}));
    append(batch({point(living, kNow - 1000, clock.wall_ms(), i)}));
    clock.advance_ms(30'000);
  }
  append(batch({point(living, kNow - 1000, kNow + 90'000, 3)}));
  clock.advance_ms(60'000);
  ASSERT_TRUE(store->maintain()); // 90 s after the last export: not yet more than three intervals
  const auto markers = [&](std::string_view name) {
    std::size_t n = 0;
    for (const auto& s : select(*store, name)) {
      n += static_cast<std::size_t>(
          std::ranges::count_if(s.floats, [](const auto& f) { return is_stale(f.value); }));
      n += static_cast<std::size_t>(
          std::ranges::count_if(s.classic, [](const auto& c) { return c.stale; }));
    }
    return n;
  };
  EXPECT_EQ(markers("jobs_total"), 0u);
  append(batch({point(living, kNow - 1000, kNow + 120'000, 4)}));
  clock.advance_ms(1000);
  for (int i = 0; i < 2; ++i) {
    ASSERT_TRUE(store->maintain());
    EXPECT_EQ(markers("jobs_total"), 1u) << "of the one that is silent, once";
    EXPECT_EQ(markers("h"), 1u);
    reopen();
  }
  append(batch({point(counter, kNow - 1000, clock.wall_ms() + 1, 9)})); // it was only away
  clock.advance_ms(1000);
  ASSERT_TRUE(store->maintain());
  EXPECT_EQ(markers("jobs_total"), 1u);
}

TEST_F(StoreTest, ASnapshotReplacesTheLog) {
  options.snapshot_bytes = 0;
  reopen();
  const auto bounds = std::make_shared<const std::vector<double>>(std::vector<double>{1, 2});
  const auto histogram = series(app, "h", "h", MetricKind::histogram);
  append(batch({point(counter, kNow - 1000, kNow, 1),
                point(histogram, kNow - 1000, kNow, classic(bounds, {1, 2, 3}))}));
  ASSERT_TRUE(store->maintain());
  append(batch({point(counter, kNow - 1000, kNow + 1000, 2),
                point(histogram, kNow - 1000, kNow + 1000, classic(bounds, {2, 3, 4}))}));
  for (int i = 0; i < 2; ++i) {
    reopen();
    EXPECT_EQ(only("jobs_total"), (Points{{0, 1}, {1000, 2}}));
    const auto found = select(*store, "h");
    ASSERT_EQ(found.size(), 1u);
    ASSERT_EQ(found[0].classic.size(), 2u);
    EXPECT_EQ(found[0].classic[1].value.counts, (std::vector<std::uint64_t>{2, 3, 4}));
    EXPECT_EQ(damaged(), 0);
  }
  store.reset();
  auto database = open_rocks({options.directory});
  ASSERT_TRUE(database);
  std::size_t records = 0;
  ASSERT_TRUE((*database)->scan(Family::log, "", "", [&](auto, auto) { return ++records > 0; }));
  EXPECT_EQ(records, 1u) << "what the snapshot holds is not in the log any more";
  database->reset();
  // The row as schema 3 wrote it.
  database = open_rocks({options.directory});
  WriteSet older;
  ASSERT_TRUE((*database)->scan(Family::head, "", "", [&](auto key, auto value) {
    older.put(Family::chunks, "h" + std::string(key), std::string(value));
    older.erase(Family::head, std::string(key));
    return true;
  }));
  older.put(Family::meta, std::string(kSchemaKey), number_row(3));
  ASSERT_TRUE((*database)->write(older));
  database->reset();
  for (int start = 0; start < 2; ++start) {
    reopen();
    EXPECT_EQ(only("jobs_total"), (Points{{0, 1}, {1000, 2}}));
    EXPECT_EQ(damaged(), 0);
  }
  store.reset();
  // Damage is reported and loses only the damaged item.
  database = open_rocks({options.directory});
  WriteSet set;
  set.put(Family::head, number_key(0), "no slice");
  ASSERT_TRUE((*database)->write(set));
  database->reset();
  reopen();
  EXPECT_EQ(damaged(), 1);
  EXPECT_EQ(only("jobs_total"), (Points{{1000, 2}}));
}

// The values are noise, so that they take as much space on disk as in memory.
TEST_F(StoreTest, ReplacedCopiesGiveTheirSpaceBack) {
  constexpr int kSamples = 300'000;
  std::mt19937_64 random(5);
  const auto send = [&] {
    Batch noise = batch({}, clock.wall_ms());
    for (int i = 0; i < kSamples; ++i)
      noise.points.push_back(point(gauge, 0, clock.wall_ms() - kSamples + i,
                                   std::ldexp(static_cast<double>(random()), -64)));
    append(noise);
  };
  send();
  ASSERT_TRUE(store->snapshot());
  const auto once = directory_bytes(options.directory);
  ASSERT_GT(once, kSamples * 6u);
  for (int i = 0; i < 4; ++i) ASSERT_TRUE(store->snapshot());
  EXPECT_LT(directory_bytes(options.directory), once + once / 4);
  // The samples are in chunks now. The copy is written again without them, though the log has not
  // grown.
  clock.advance_ms(2 * kBlockMs);
  ASSERT_TRUE(store->maintain());
  EXPECT_LT(directory_bytes(options.directory), once + once / 4);
  reopen();
  EXPECT_EQ(only("depth").size(), static_cast<std::size_t>(kSamples));
}

TEST_F(StoreTest, ReadersAndUpkeepBesideTheWriter) {
  std::atomic<bool> done{false};
  std::atomic<std::int64_t> written{-1};
  std::thread reader([&] {
    std::size_t seen = 0;
    while (!done) {
      const auto promised = written.load();
      const auto found = select(*store, "jobs_total");
      const std::size_t now = found.empty() ? 0 : found[0].floats.size();
      EXPECT_GE(static_cast<std::int64_t>(now), promised + 1) << "acknowledged is visible";
      EXPECT_GE(now, seen);
      seen = now;
    }
  });
  std::thread upkeep([&] {
    while (!done) EXPECT_TRUE(store->maintain());
  });
  for (int i = 0; i < 200; ++i) {
    clock.advance_ms(30'000);
    const auto now = clock.wall_ms();
    append(batch({point(counter, kNow, now, i)}, now));
    written = i;
  }
  done = true;
  reader.join();
  upkeep.join();
  EXPECT_EQ(only("jobs_total").size(), 200u);
}

} // namespace
} // namespace coalmine::store::testing
