// Reads the real store from look to look. Following known series gives the same result as selecting
// all of them again.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <cstring>
#include <random>

#include "cohort/count_feed.h"
#include "datasource/fake_store_for_test.h"
#include "datasource/store_cohorts.h"
#include "store/testing.h"
#include "telemetry/exponential.h"

namespace coalmine::datasource {
namespace {

using store::testing::batch;
using store::testing::kNow;
using store::testing::point;

// The same store without arrival counts and series versions.
class Forgetful final : public store::Store {
 public:
  explicit Forgetful(const store::Store& inner) : inner_(inner) {}
  Result<store::AppendResult> append(const Batch&) override {
    return fail(ErrorCode::unimplemented, "read only");
  }
  Result<std::vector<SeriesData>> select(const store::SelectRequest& r) const override {
    ++selects;
    return inner_.select(r);
  }
  std::vector<std::string> label_names(const store::SelectRequest& r) const override {
    return inner_.label_names(r);
  }
  std::vector<std::string> label_values(std::string_view label,
                                        const store::SelectRequest& r) const override {
    return inner_.label_values(label, r);
  }
  std::vector<MetricMetadata> metadata() const override { return inner_.metadata(); }
  Result<std::vector<StoredSpan>> find_spans(const SpanFilter& f) const override {
    return inner_.find_spans(f);
  }
  Result<std::vector<StoredSpan>> trace(const TraceId& id) const override {
    return inner_.trace(id);
  }
  std::vector<Presence> presence() const override { return inner_.presence(); }
  StoreStats stats() const override { return inner_.stats(); }
  Status maintain() override { return {}; }
  std::uint64_t arrivals(std::string_view service, std::string_view version) const override {
    return knowing ? inner_.arrivals(service, version) : 0;
  }
  std::uint64_t series_version(std::string_view service) const override {
    return knowing ? inner_.series_version(service) : 0;
  }
  std::optional<std::vector<store::NewSamples>> newest(
      std::span<const store::SeriesPosition> p) const override {
    return inner_.newest(p);
  }

  bool knowing = false;
  mutable int selects = 0;

 private:
  const store::Store& inner_;
};

cohort::CohortSelector of_version(const std::string& version, const std::string& service = "shop") {
  return {{{"service_name", Matcher::Op::equal, service},
           {"service_version", Matcher::Op::equal, version}}};
}

cohort::CountGrid grid_from(std::int64_t origin_ms) {
  cohort::GridOptions options;
  options.origin_ms = origin_ms;
  return cohort::CountGrid(options);
}

// Everything a rollout meets: instances and routes that appear later, routes that are silent for
// long, restarts, late and repeated exports, one track or both at a time, and upkeep that moves
// samples into files.
struct FollowTest : ::testing::Test, store::testing::Fixture {
  struct Process {
    std::shared_ptr<const Resource> from;
    std::int64_t start_ms = 0;
    std::vector<double> requests = std::vector<double>(8); // by route
    std::vector<double> bad = std::vector<double>(8);
    std::vector<ExponentialHistogram> durations = std::vector<ExponentialHistogram>(8);
  };
  std::vector<Process> processes;
  std::mt19937_64 random{7};

  void SetUp() override {
    options.ended_after_intervals = 3;
    open();
  }
  std::vector<MetricPoint> points_of(Process& p, std::int64_t at_ms, std::size_t routes) {
    std::vector<MetricPoint> out;
    for (std::size_t r = 0; r < routes; ++r) {
      if (r > 3 && random() % 40 != 0) continue; // seldom
      const double more = static_cast<double>(random() % 20);
      p.requests[r] += more;
      p.bad[r] += random() % 4 == 0 ? std::min(more, 1.0) : 0;
      const Attributes route = {{"http.route", "/r" + std::to_string(r)}};
      const auto counter = [&](const char* name) {
        return store::testing::series(p.from, name, name, MetricKind::counter, route);
      };
      out.push_back(point(counter("http_server_request_total"), p.start_ms, at_ms, p.requests[r]));
      if (p.bad[r] > 0)
        out.push_back(
            point(counter("http_server_request_errors_total"), p.start_ms, at_ms, p.bad[r]));
      out.push_back(point(store::testing::series(p.from, "http.server.request.duration",
                                                 "http_server_request_duration_seconds",
                                                 MetricKind::exponential, route, "s"),
                          p.start_ms, at_ms, longer(p.durations[r])));
    }
    return out;
  }
  // Some more durations. Now and then the application's histogram becomes coarser.
  const ExponentialHistogram& longer(ExponentialHistogram& total) {
    if (total.count == 0) total.scale = 6;
    if (random() % 200 == 0 && total.scale > 2) downscale(total, 1);
    ExponentialHistogram more;
    more.scale = total.scale;
    more.positive = {static_cast<std::int32_t>(random() % 300) - 300, {random() % 5}};
    more.count = more.positive.counts[0];
    more.sum = static_cast<double>(more.count);
    merge(total, more);
    return total;
  }
};

// Two applications count their requests themselves and no errors. Half of the canary's fail.
TEST_F(FollowTest, AnOwnCounterWithoutErrorsDoesNotHideThem) {
  const auto duration = [](const std::shared_ptr<const Resource>& from, std::int64_t status) {
    return store::testing::series(from, "http.server.request.duration",
                                  "http_server_request_duration_seconds", MetricKind::histogram,
                                  {{"http.response.status_code", status}}, "s");
  };
  for (const bool with_histogram : {true, false}) {
    const std::string service = with_histogram ? "timed" : "traced";
    const auto begin = clock.wall_ms();
    const auto source = make_store_count_feed_source(*store);
    const auto feed = source->open({of_version("2", service), of_version("1", service), begin});
    auto grid = grid_from(begin);
    double requests = 0;
    double errors = 0;
    std::uint64_t id = with_histogram ? 0 : 1'000'000;
    for (std::uint64_t export_number = 1; export_number <= 40; ++export_number) {
      clock.advance_ms(15'000);
      const auto now = clock.wall_ms();
      for (const auto* version : {"1", "2"}) {
        const auto from = store::testing::resource(service, version[0] == '1' ? "stable" : "canary",
                                                   version, version);
        const bool canary = version[0] == '2';
        const auto count = 10 * export_number;
        std::vector<MetricPoint> points = {
            point(store::testing::series(from, std::string(kRequestsName),
                                         std::string(kRequestsName), MetricKind::counter),
                  begin, now, static_cast<double>(count))};
        const auto list = store::testing::bounds({0.1});
        const auto failed = canary ? count / 2 : 0;
        if (with_histogram) {
          points.push_back(point(duration(from, 200), begin, now,
                                 store::testing::classic(list, {count - failed, 0})));
          points.push_back(
              point(duration(from, 500), begin, now, store::testing::classic(list, {failed, 0})));
        }
        Batch b = store::testing::batch(std::move(points), now);
        std::vector<Span> spans;
        for (int i = 0; i < 10 && !with_histogram; ++i) {
          spans.push_back(
              store::testing::span(from, 1, 1, now - 1000, now - 900, SpanKind::server,
                                   canary && i % 2 == 0 ? StatusCode::error : StatusCode::unset));
          std::memcpy(spans.back().trace_id.data(), &++id, sizeof id);
        }
        b.spans = table_of(spans);
        append(b);
      }
      ASSERT_TRUE(feed->read(grid, now));
      for (const auto& cell : grid.close(now)) {
        requests += cell.total.canary.requests;
        errors += cell.total.canary.errors;
        EXPECT_EQ(cell.total.stable.errors, 0);
        EXPECT_EQ(cell.source, with_histogram ? Source::sent : Source::spans);
        EXPECT_EQ(cell.total.sampled(), "") << "all spans came";
      }
    }
    EXPECT_GT(requests, 200) << service;
    EXPECT_NEAR(errors / requests, 0.5, 0.02) << service;
  }
}

// The counter says nothing of errors. A collector kept the failing spans and a few of the others,
// or it kept all and says that it has looked.
TEST_F(FollowTest, SpansThatAreASampleAreKnownAsOne) {
  for (const bool marked : {true, false}) {
    const std::string service = marked ? "marked" : "compared";
    const auto begin = clock.wall_ms();
    const auto source = make_store_count_feed_source(*store);
    const auto cohorts = make_store_cohort_source(*store);
    const auto feed = source->open({of_version("2", service), of_version("1", service), begin});
    auto grid = grid_from(begin);
    std::string known;
    std::uint64_t id = marked ? 5'000'000 : 6'000'000;
    for (std::uint64_t export_number = 1; export_number <= 40; ++export_number) {
      clock.advance_ms(15'000);
      const auto now = clock.wall_ms();
      for (const auto* version : {"1", "2"}) {
        const auto from = store::testing::resource(service, version[0] == '1' ? "stable" : "canary",
                                                   version, version);
        Batch b = store::testing::batch(
            {point(store::testing::series(from, std::string(kRequestsName),
                                          std::string(kRequestsName), MetricKind::counter),
                   begin, now, static_cast<double>(20 * export_number))},
            now);
        std::vector<Span> spans;
        for (int i = 0; i < (marked ? 20 : 4); ++i) {
          spans.push_back(store::testing::span(from, 1, 1, now - 1000, now - 900, SpanKind::server,
                                               i < 2 ? StatusCode::error : StatusCode::unset));
          if (marked)
            spans.back().attributes = {{"tailsampling.policy", std::string("keep-errors")}};
          std::memcpy(spans.back().trace_id.data(), &++id, sizeof id);
        }
        b.spans = table_of(spans);
        append(b);
      }
      ASSERT_TRUE(feed->read(grid, now));
      for (const auto& cell : grid.close(now)) known = cell.total.sampled();
    }
    const auto* how = marked ? "say that a sampler kept them" : "a metric of the canary counts ";
    EXPECT_NE(known.find(how), std::string::npos) << known;
    // The same over a window.
    const auto canary = cohorts->counts(of_version("2", service), begin, clock.wall_ms());
    const auto stable = cohorts->counts(of_version("1", service), begin, clock.wall_ms());
    ASSERT_TRUE(canary && stable);
    EXPECT_TRUE(canary->counted_by_spans);
    cohort::SpanSampling sampling;
    sampling.add(clock.wall_ms() - begin, canary->sampling, stable->sampling);
    EXPECT_NE(sampling.problem().find(how), std::string::npos) << sampling.problem();
  }
}

TEST_F(FollowTest, GivesWhatSelectingAnewGives) {
  Forgetful forgetful(*store), knowing(*store);
  knowing.knowing = true;
  const cohort::CountFeedRequest request{of_version("2"), of_version("1"), kNow + 60'000};
  const auto anew_source = make_store_count_feed_source(forgetful),
             followed_source = make_store_count_feed_source(knowing);
  const auto anew = anew_source->open(request), followed = followed_source->open(request);
  auto anew_grid = grid_from(request.origin_ms), followed_grid = grid_from(request.origin_ms);
  std::size_t cells = 0;
  double timed = 0;
  const auto start = [&](const char* version, const std::string& instance) {
    processes.push_back({store::testing::resource("shop", version[0] == '1' ? "stable" : "canary",
                                                  version, instance),
                         clock.wall_ms() - 100});
  };
  start("1", "s1");
  start("2", "c1");
  for (int look = 0; look < 1500; ++look) {
    clock.advance_ms(5000);
    const std::int64_t now = clock.wall_ms();
    if (look == 300) start("1", "s2");
    if (look == 500) start("2", "c2");
    if (look == 700) processes[0] = {processes[0].from, now - 100}; // restarts
    if (look % 100 == 99) {
      ASSERT_TRUE(store->maintain());
    }
    const std::size_t routes = look < 200 ? 5 : 8;
    for (std::size_t i = 0; i < processes.size(); ++i) {
      if (look % 3 != static_cast<int>(i) % 3) continue;
      const auto kind = random() % 20;
      // Some points are late.
      auto points = points_of(processes[i], now - (kind == 0 ? 7000 : 0), routes);
      append(batch(points, now));
      if (kind == 1) append(batch(points, now)); // repeated
    }
    ASSERT_TRUE(anew->read(anew_grid, now));
    ASSERT_TRUE(followed->read(followed_grid, now));
    const auto a = anew_grid.close(now), b = followed_grid.close(now);
    ASSERT_EQ(a.size(), b.size()) << look;
    for (std::size_t i = 0; i < a.size(); ++i) {
      ++cells;
      ASSERT_EQ(a[i].to_ms, b[i].to_ms);
      ASSERT_EQ(a[i].total.canary.requests, b[i].total.canary.requests) << look;
      ASSERT_EQ(a[i].total.stable.requests, b[i].total.stable.requests) << look;
      ASSERT_EQ(a[i].total.canary.errors, b[i].total.canary.errors) << look;
      ASSERT_EQ(a[i].total.stable.errors, b[i].total.stable.errors) << look;
      ASSERT_EQ(a[i].total.shared_bounds(), b[i].total.shared_bounds());
      ASSERT_EQ(a[i].total.canary.bucket_counts, b[i].total.canary.bucket_counts) << look;
      ASSERT_EQ(a[i].total.stable.bucket_counts, b[i].total.stable.bucket_counts) << look;
      timed += a[i].total.canary.timed;
      ASSERT_EQ(a[i].routes.size(), b[i].routes.size());
      ASSERT_EQ(a[i].instances.size(), b[i].instances.size());
    }
    ASSERT_EQ(anew_grid.waiting_requests(Track::canary),
              followed_grid.waiting_requests(Track::canary));
  }
  EXPECT_GT(cells, 400u);
  EXPECT_GT(anew_grid.ledger().counted, 10'000);
  EXPECT_GT(timed, 1000);
  EXPECT_LT(knowing.selects * 4, forgetful.selects) << "followed, not selected";
}

// One track of a service whose slowest requests take slow_ms, the others 10 ms.
struct Side {
  Track track;
  std::int64_t slow_ms;
  std::shared_ptr<const Resource> from;
  ExponentialHistogram sent;
  std::uint8_t span = 0;
  std::size_t seen = 0; // cells with slow ones

  std::vector<Span> serve(std::int64_t now) {
    std::vector<Span> out;
    for (int i = 0; i < 20; ++i) {
      const std::int64_t ms = i == 0 ? slow_ms : 10;
      out.push_back(
          store::testing::span(from, static_cast<std::uint8_t>(track) + 1, ++span, now - ms, now));
      ExponentialHistogram one;
      one.scale = sent.scale = 6;
      one.positive = {static_cast<std::int32_t>(bucket_index(static_cast<double>(ms) / 1000, 6)),
                      {1}};
      one.count = 1;
      merge(sent, one);
    }
    return out;
  }
  // The bucket of the slow ones is as narrow as their telemetry.
  void check(const CountCell& cell) {
    const auto& counts = cell.total.of(track);
    for (std::size_t i = 1; i < counts.bucket_counts.size(); ++i) {
      const auto& bounds = *counts.bounds_ms;
      if (counts.bucket_counts[i] <= 0 || bounds[i - 1] < 20) continue;
      ++seen;
      EXPECT_LT(bounds[i - 1], static_cast<double>(slow_ms));
      EXPECT_GE(bounds[i], static_cast<double>(slow_ms));
      EXPECT_LT(bounds[i] / bounds[i - 1], 1.022);
    }
  }
};

// 195 ms and 205 ms, sent as an exponential histogram or as spans, are told apart in the cells.
TEST_F(FollowTest, TheResolutionIsKeptUpToTheCell) {
  for (const bool as_spans : {false, true}) {
    const std::string service = as_spans ? "by-spans" : "by-histogram";
    std::array sides = {
        Side{Track::canary, 205, store::testing::resource(service, "canary", "2", "c"), {}},
        Side{Track::stable, 195, store::testing::resource(service, "stable", "1", "s"), {}}};
    const std::int64_t origin = clock.wall_ms();
    for (int minute = 0; minute < 12; ++minute) {
      clock.advance_ms(60'000);
      const auto now = clock.wall_ms();
      for (auto& side : sides) {
        auto more = batch({}, now);
        const auto spans = side.serve(now);
        const auto of = store::testing::series(
            side.from, "http.server.request.duration", "http_server_request_duration_seconds",
            MetricKind::exponential, {{"http.route", std::string("/a")}}, "s");
        if (as_spans) {
          more.spans = table_of(spans);
        } else {
          more.points = {point(of, origin - 3'600'000, now, side.sent)};
        }
        append(more);
      }
    }
    const auto of = [&](const char* version) {
      return cohort::CohortSelector{{{"service_name", Matcher::Op::equal, service},
                                     {"service_version", Matcher::Op::equal, version}}};
    };
    const auto feed = make_store_count_feed_source(*store)->open({of("2"), of("1"), origin});
    auto grid = grid_from(origin);
    ASSERT_TRUE(feed->read(grid, clock.wall_ms() + 60'000));
    for (const auto& cell : grid.close(clock.wall_ms() + 60'000)) {
      for (auto& side : sides) side.check(cell);
    }
    for (const auto& side : sides) EXPECT_GT(side.seen, 3u) << service;
  }
}

// A reader that comes late and reads the past in slices counts what one counts that was there all
// the time.
TEST_F(FollowTest, ThePastInSlicesHoldsTheSameRequests) {
  const cohort::CountFeedRequest request{of_version("2"), of_version("1"), kNow + 60'000};
  const auto source = make_store_count_feed_source(*store);
  auto live_grid = grid_from(request.origin_ms), late_grid = grid_from(request.origin_ms);
  const auto live = source->open(request), late = source->open(request);
  processes.push_back({store::testing::resource("shop", "stable", "1", "s1"), kNow - 100});
  processes.push_back({store::testing::resource("shop", "canary", "2", "c1"), kNow - 100});
  for (int look = 0; look < 720; ++look) {
    clock.advance_ms(10'000);
    for (auto& process : processes)
      append(batch(points_of(process, clock.wall_ms(), 4), clock.wall_ms()));
    if (look == 400) processes[1] = {processes[1].from, clock.wall_ms() - 100}; // restarts
    ASSERT_TRUE(live->read(live_grid, clock.wall_ms()));
    (void)live_grid.close(clock.wall_ms());
  }
  constexpr std::int64_t kSlice = 15 * 60'000;
  for (auto until = request.origin_ms + kSlice; until < clock.wall_ms(); until += kSlice) {
    ASSERT_TRUE(late->read_past(late_grid, until));
    (void)late_grid.close(until);
    EXPECT_LE(late_grid.newest_ms(Track::stable).value_or(0), until) << "no more than the slice";
  }
  ASSERT_TRUE(late->read(late_grid, clock.wall_ms()));
  (void)late_grid.close(clock.wall_ms());
  const auto a = live_grid.ledger(), b = late_grid.ledger();
  EXPECT_GT(b.counted, 10'000);
  EXPECT_NEAR(b.counted, a.counted, 1);
  EXPECT_NEAR(b.pending, a.pending, 1);
  EXPECT_EQ(late_grid.closed_until_ms(), live_grid.closed_until_ms());
}

TEST_F(FollowTest, ATrackWithoutNewsIsNotRead) {
  const auto version = [&] { return store->series_version("shop"); };
  EXPECT_EQ(version(), 0u);
  processes.push_back({store::testing::resource("shop", "stable", "1", "s1"), kNow - 100});
  append(batch(points_of(processes[0], kNow, 1)));
  const auto first = version();
  EXPECT_GT(first, 0u);
  const auto all_at_first = store->arrivals("shop", "");
  const auto stable_at_first = store->arrivals("shop", "1");
  EXPECT_GT(all_at_first, 0u);
  EXPECT_GT(stable_at_first, 0u);
  EXPECT_EQ(store->arrivals("shop", "2"), 0u);
  clock.advance_ms(1000);
  append(batch(points_of(processes[0], clock.wall_ms(), 1), clock.wall_ms()));
  EXPECT_EQ(version(), first);
  const auto stable = store->arrivals("shop", "1");
  const auto all = store->arrivals("shop", "");
  EXPECT_GT(stable, stable_at_first);
  EXPECT_GT(all, all_at_first);
  processes.push_back({store::testing::resource("shop", "canary", "2", "c1"), kNow - 100});
  append(batch(points_of(processes[1], clock.wall_ms(), 1), clock.wall_ms()));
  EXPECT_NE(version(), first);
  EXPECT_EQ(store->arrivals("shop", "1"), stable);
  EXPECT_GT(store->arrivals("shop", ""), all);
  EXPECT_EQ(store->arrivals("other", ""), 0u);
}

// A plain store, its times counted from the origin.
constexpr std::int64_t kOrigin = 1'000'000'000;

std::int64_t at(double seconds) {
  return kOrigin + static_cast<std::int64_t>(std::llround(seconds * 1000));
}

// {seconds after the origin, value, start in seconds after the origin}
struct Point {
  double second;
  double value;
  double start = -3600;
};

double total(const std::vector<CountCell>& cells,
             const std::function<double(const CountCell&)>& of) {
  return std::accumulate(cells.begin(), cells.end(), 0.0,
                         [&](double sum, const CountCell& cell) { return sum + of(cell); });
}

// The feed of the embedded store gives exactly the counts of the samples.
TEST(CountFeed, ReadsOnlyWhatIsNew) {
  FakeStore store;
  const auto add = [&](std::string_view name, std::string track, std::string route,
                       std::vector<Point> points) {
    SeriesData s;
    s.id = SeriesId{store.series.size() + 1};
    s.labels =
        std::make_shared<const Labels>(Labels::of({{std::string(kMetricName), std::string(name)},
                                                   {"service_name", "checkout"},
                                                   {"deployment_track", std::move(track)},
                                                   {"service_version", "2"},
                                                   {"instance", "a"},
                                                   {"http_route", std::move(route)}}));
    s.kind = MetricKind::counter;
    for (const auto& p : points) s.floats.push_back({at(p.second), at(p.start), p.value});
    store.series.push_back(std::move(s));
  };
  std::vector<Point> points;
  for (double t = -45; t <= 600; t += 15) points.push_back({t, 10 * (t + 3600)});
  add(kRequestsName, "canary", "/pay", points);
  add(kRequestsName, "stable", "/pay", points);
  add(kErrorsName, "canary", "/pay", {{300, 6}, {315, 6}});
  add(kRequestsName, "stable", "/rare", {{-3000, 5000}, {400, 5003}});
  const auto selector = [](const char* track) {
    return cohort::CohortSelector{{{"service_name", Matcher::Op::equal, "checkout"},
                                   {"deployment_track", Matcher::Op::equal, track}}};
  };
  const auto source = make_store_count_feed_source(store);
  const auto feed = source->open({selector("canary"), selector("stable"), kOrigin});
  cohort::GridOptions options;
  options.origin_ms = kOrigin;
  options.min_route_requests = 0;
  cohort::CountGrid grid(options);
  std::vector<CountCell> cells;
  for (double now = 0; now <= 600; now += 5) {
    store.requests.clear();
    // The store at that moment.
    auto whole = store.series;
    for (auto& s : store.series)
      std::erase_if(s.floats, [&](const auto& p) { return p.time_ms > at(now); });
    ASSERT_TRUE(feed->read(grid, at(now)));
    store.series = std::move(whole);
    for (const auto& request : store.requests) {
      if (now > 60 && request.from_ms != 0) {
        EXPECT_GE(request.from_ms, at(now - 45));
      }
    }
    for (auto& cell : grid.close(at(now))) cells.push_back(std::move(cell));
  }
  EXPECT_EQ(grid.closed_until_ms(), at(600));
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.canary.requests; }), 6000, 1e-6);
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.stable.requests; }), 6003, 1e-6)
      << "the rare route's past is known";
  EXPECT_NEAR(total(cells, [](const CountCell& c) { return c.total.canary.errors; }), 6, 1e-6);
  EXPECT_EQ(cells[0].instances.at(0).instance, "a@2");
  store.broken = Error{ErrorCode::unavailable, "disk gone"};
  EXPECT_EQ(feed->read(grid, at(605)).error().code, ErrorCode::unavailable);
}

} // namespace
} // namespace coalmine::datasource
