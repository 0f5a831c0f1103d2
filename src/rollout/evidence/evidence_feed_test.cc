// What a feed hears of instances that export at their own moments, by clocks of their own, or not
// at all; and a past that is read in slices.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/evidence_feed.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kMinute = 60'000;
constexpr std::int64_t kStart = 1'700'000'000'000; // the canary gets traffic
constexpr std::int64_t kBefore = kStart - 60 * kMinute;

// One process: what it exports, when, and by which clock.
struct Pod {
  Track track = Track::stable;
  std::string name;
  double rps = 10;
  std::int64_t every_ms = 10'000;
  std::int64_t from_ms = kBefore;
  std::int64_t until_ms = INT64_MAX;
  std::int64_t clock_ms = 0; // its clock is ahead by this
  std::int64_t late_ms = 0;  // after an export, until it can be read
  double error_rate = 0;
};

// A store of their exports. Where limit is set, it refuses to read more samples at once.
class Pods final : public cohort::CountFeedSource {
 public:
  std::vector<Pod> pods;
  std::size_t limit = SIZE_MAX;
  mutable std::size_t most_read = 0;
  mutable int refusals = 0;
  bool down = false;

  cohort::CountFeedTraits traits() const override { return {}; }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<Feed>(*this, request.origin_ms);
  }

 private:
  class Feed final : public cohort::CountFeed {
   public:
    Feed(const Pods& source, std::int64_t origin_ms)
        : source_(source), from_ms_(origin_ms - 5 * kMinute) {}
    Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
      return take(grid, now_ms, now_ms + 10 * kMinute, now_ms);
    }
    Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
      return take(grid, INT64_MAX, until_ms, 0);
    }

   private:
    Status take(cohort::CountGrid& grid, std::int64_t now_ms, std::int64_t until_ms,
                std::int64_t read_ms) {
      if (source_.down) return fail(ErrorCode::unavailable, "connection refused");
      if (begun_) from_ms_ = grid.needed_from_ms();
      std::vector<cohort::CountSeries> all;
      std::size_t samples = 0;
      for (std::size_t i = 0; i < source_.pods.size(); ++i) {
        const auto& pod = source_.pods[i];
        cohort::CountSeries requests;
        requests.id = 2 * i;
        requests.track = pod.track;
        requests.instance = pod.name + "@1";
        requests.route = "/pay";
        auto errors = requests;
        errors.id = 2 * i + 1;
        errors.measure = cohort::Measure::bad;
        for (auto at = pod.from_ms; at <= pod.until_ms; at += pod.every_ms) {
          const auto time = at + pod.clock_ms;
          if (time > until_ms || at + pod.late_ms > now_ms) break;
          if (time < from_ms_) continue;
          const double n = std::floor(pod.rps * static_cast<double>(at - pod.from_ms) / 1000);
          requests.floats.push_back({time, pod.from_ms + pod.clock_ms, n});
          errors.floats.push_back(
              {time, pod.from_ms + pod.clock_ms, std::floor(n * pod.error_rate)});
        }
        samples += requests.floats.size() + errors.floats.size();
        all.push_back(std::move(requests));
        all.push_back(std::move(errors));
      }
      if (samples > source_.limit) {
        ++source_.refusals;
        return fail(ErrorCode::resource_exhausted, "too many samples");
      }
      source_.most_read = std::max(source_.most_read, samples);
      for (const auto& series : all) {
        if (!series.floats.empty()) grid.add(series, read_ms);
      }
      begun_ = true;
      return {};
    }

    const Pods& source_;
    std::int64_t from_ms_;
    bool begun_ = false;
  };
};

std::unique_ptr<EvidenceFeed> feed_of(const Pods& pods) {
  return make_grid_feed(pods, {.spec = std::make_shared<const RolloutSpec>(default_spec("shop")),
                               .canary_version = "1",
                               .stable_version = "1",
                               .started_ms = kStart});
}

FeedView view_at(std::int64_t now_ms) {
  return {.changes = {{kStart, kStart, 0.5}}, .until_ms = now_ms};
}

// Looks as a rollout does.
void look_until(EvidenceFeed& feed, std::int64_t from_ms, std::int64_t to_ms) {
  for (auto now = from_ms; now <= to_ms; now += 5'000) ASSERT_TRUE(feed.read(view_at(now), now));
}

TEST(GridFeed, RequestsSinceAMomentAreNotThoseBefore) {
  Pods pods;
  pods.pods = {{.name = "s", .rps = 10}}; // and the canary has never reported: no cell closes
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + kMinute);
  EXPECT_NEAR(feed->requests_since(Track::stable, kStart), 600, 1);
  EXPECT_NEAR(feed->requests_since(Track::stable, kStart + 35'000), 250, 1);
  EXPECT_EQ(feed->requests_since(Track::canary, kStart), 0);
  EXPECT_EQ(feed->progress(Track::canary).heard_ms, 0);
}

// An export of a minute that lies mostly before a step counts in the step with the rest alone: of
// 956 requests that stable served, 270 belong to it.
TEST(GridFeed, AnExportAcrossTheMomentCountsInPart) {
  Pods pods;
  pods.pods = {{.name = "s", .rps = 10, .every_ms = kMinute, .from_ms = kStart - 10 * kMinute}};
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + 96'000);
  EXPECT_NEAR(feed->requests_since(Track::stable, kStart - 35'600), 956, 1);
  EXPECT_NEAR(feed->requests_since(Track::stable, kStart + 33'000), 270, 1);
}

TEST(GridFeed, RequestsOfClosedCellsAndOfWhatWaits) {
  Pods pods;
  pods.pods = {{.name = "s", .rps = 10},
               {.track = Track::canary, .name = "c", .from_ms = kStart, .error_rate = 0.5}};
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + 3 * kMinute);
  EXPECT_NEAR(feed->requests_since(Track::stable, kStart), 1'800, 110); // a cell may be begun
  const auto totals = feed->totals_since(kStart + kMinute);
  EXPECT_GT(totals.canary_requests, 600);
  EXPECT_NEAR(totals.canary_errors / totals.canary_requests, 0.5, 0.01);
  EXPECT_EQ(totals.stable_errors, 0);
}

// "86 of 100 canary requests so far" fell to 0 of 100 when the cell closed in which the weight had
// moved. What counts towards a step never falls, and what has come is not denied either.
TEST(GridFeed, WhatCountsInAStepNeverFalls) {
  for (const std::int64_t every : {5'000L, 15'000L, kMinute}) {
    for (const std::int64_t moved : {1'000L, 25'000L, 59'000L}) {
      Pods pods;
      const auto step = kStart + moved;
      pods.pods = {
          {.name = "s", .rps = 10, .every_ms = every, .from_ms = kStart - 20 * kMinute},
          {.track = Track::canary, .name = "c", .rps = 2, .every_ms = every, .from_ms = step}};
      const auto feed = feed_of(pods);
      double counted = 0;
      double come = 0;
      for (auto now = kStart; now <= kStart + 6 * kMinute; now += 5'000) {
        const FeedView view{.changes = {{step - 500, step, 0.2}}, .until_ms = now};
        ASSERT_TRUE(
            feed->read(now < step ? FeedView{.changes = {}, .until_ms = kStart} : view, now));
        if (now < step) continue;
        const double counts = feed->totals_since(step).canary_requests + feed->awaited_since(step);
        EXPECT_GE(counts, counted - 1e-6) << every << ' ' << moved << ' ' << now - kStart;
        const double has_come = feed->requests_since(Track::canary, step);
        EXPECT_GE(has_come, come - 1) << every << ' ' << moved << ' ' << now - kStart;
        EXPECT_GE(has_come, counts - 1e-6);
        counted = counts;
        come = has_come;
      }
      EXPECT_GT(counted, 300) << every << ' ' << moved;
      EXPECT_NEAR(come, 2.0 * static_cast<double>(6 * kMinute - moved) / 1000,
                  2 * static_cast<double>(every) / 1000 + 4)
          << every << ' ' << moved;
    }
  }
}

TEST(GridFeed, AClockThatIsOffIsNoSilence) {
  for (const std::int64_t off : {-20 * kMinute, -25'000L, 0L, 5'000L, 9 * kMinute}) {
    Pods pods;
    pods.pods = {{.name = "s"},
                 {.track = Track::canary, .name = "c", .from_ms = kStart, .clock_ms = off}};
    const auto feed = feed_of(pods);
    const auto now = kStart + 5 * kMinute;
    look_until(*feed, kStart, now);
    EXPECT_GE(feed->progress(Track::canary).heard_ms, now - 15'000) << off;
    EXPECT_LE(feed->progress(Track::canary).heard_ms, now) << off;
  }
}

TEST(GridFeed, TelemetryThatComesLateIsNoSilence) {
  Pods pods;
  pods.pods = {{.name = "s"},
               {.track = Track::canary, .name = "c", .from_ms = kStart, .late_ms = 150'000}};
  const auto feed = feed_of(pods);
  const auto now = kStart + 10 * kMinute;
  look_until(*feed, kStart, now);
  EXPECT_GE(feed->progress(Track::canary).heard_ms, now - 15'000);
}

TEST(GridFeed, TheExportIntervalIsKnown) {
  Pods pods;
  pods.pods = {{.name = "s", .every_ms = 15'000},
               {.track = Track::canary, .name = "c0", .every_ms = 10'000, .from_ms = kStart},
               {.track = Track::canary, .name = "c1", .every_ms = 60'000, .from_ms = kStart}};
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + 5 * kMinute);
  EXPECT_EQ(feed->progress(Track::stable).interval_ms, 15'000);
  EXPECT_EQ(feed->progress(Track::canary).interval_ms, 60'000);
  EXPECT_GT(grace_for(2'000, 60'000), 60'000);
  EXPECT_EQ(grace_for(180'000, 60'000), 180'000);
}

TEST(GridFeed, AnOutageOfAllTelemetryEndsAtDifferentMoments) {
  Pods pods;
  pods.pods = {
      {.name = "s", .until_ms = kStart + 5 * kMinute},
      {.track = Track::canary, .name = "c", .from_ms = kStart, .until_ms = kStart + 5 * kMinute}};
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + 15 * kMinute);
  EXPECT_EQ(feed->progress(Track::stable).unbroken_since_ms, 0);
  pods.pods[0].until_ms = INT64_MAX; // stable is back first, all of it at once
  look_until(*feed, kStart + 15 * kMinute, kStart + 16 * kMinute);
  EXPECT_GE(feed->progress(Track::stable).unbroken_since_ms, kStart + 15 * kMinute);
}

TEST(GridFeed, OneInstanceOfTenThatStops) {
  Pods pods;
  pods.pods = {{.name = "s"}};
  for (int i = 0; i < 10; ++i) {
    pods.pods.push_back(
        {.track = Track::canary, .name = "c" + std::to_string(i), .from_ms = kStart});
  }
  const auto feed = feed_of(pods);
  look_until(*feed, kStart, kStart + 5 * kMinute);
  EXPECT_EQ(feed->instances(Track::canary, kMinute).live, 10u);
  EXPECT_TRUE(feed->instances(Track::canary, kMinute).silent.empty());
  pods.pods[4].until_ms = kStart + 5 * kMinute;
  look_until(*feed, kStart + 5 * kMinute, kStart + 8 * kMinute);
  auto found = feed->instances(Track::canary, kMinute);
  EXPECT_EQ(found.most, 10u);
  EXPECT_EQ(found.live, 9u);
  ASSERT_EQ(found.silent.size(), 1u);
  EXPECT_EQ(found.silent[0].name, "c3@1");
  // Another took its place: none is missing.
  pods.pods.push_back({.track = Track::canary, .name = "c10", .from_ms = kStart + 8 * kMinute});
  look_until(*feed, kStart + 8 * kMinute, kStart + 10 * kMinute);
  found = feed->instances(Track::canary, kMinute);
  EXPECT_EQ(found.live, 10u);
  EXPECT_TRUE(found.silent.empty());
}

// The cells of one read after a restart.
std::vector<CountCell> catch_up(const Pods& pods, std::int64_t now_ms, int& reads) {
  const auto feed = feed_of(pods);
  std::vector<CountCell> out;
  reads = 0;
  do {
    const auto cells = feed->read(view_at(now_ms), now_ms);
    EXPECT_TRUE(cells) << (cells ? "" : cells.error().message);
    if (!cells || ++reads > 1'000) break;
    out.insert(out.end(), cells->begin(), cells->end());
  } while (!feed->caught_up());
  return out;
}

TEST(GridFeed, ARestartReadsALongPastInSlices) {
  constexpr std::int64_t kHours = 60 * kMinute;
  for (const std::int64_t off : {0L, 5 * kMinute}) { // the canary's clock is ahead
    Pods pods;
    pods.pods = {{.name = "s"},
                 {.track = Track::canary,
                  .name = "c",
                  .from_ms = kStart,
                  .clock_ms = off,
                  .error_rate = .1}};
    const auto now = kStart + 12 * kHours;
    // Live: looked at all the time.
    const auto live_feed = feed_of(pods);
    std::vector<CountCell> live;
    for (auto at = kStart; at <= now; at += 30'000) {
      const auto cells = live_feed->read(view_at(at), at);
      ASSERT_TRUE(cells);
      live.insert(live.end(), cells->begin(), cells->end());
    }
    int reads = 0;
    pods.most_read = 0;
    const auto again = catch_up(pods, now, reads);
    EXPECT_GE(reads, 12);
    EXPECT_LT(pods.most_read, 4 * 2 * 90 * 6u) << "a slice, not half a day";
    ASSERT_FALSE(live.empty());
    ASSERT_FALSE(again.empty());
    EXPECT_NEAR(static_cast<double>(again.back().to_ms), static_cast<double>(live.back().to_ms),
                60'000);
    double errors_live = 0;
    double errors_again = 0;
    for (const auto& c : live) errors_live += c.total.canary.errors;
    for (const auto& c : again) errors_again += c.total.canary.errors;
    EXPECT_NEAR(errors_again, errors_live, 100) << off;
    for (std::size_t i = 1; i < again.size(); ++i)
      ASSERT_EQ(again[i].from_ms, again[i - 1].to_ms) << "each once, in order";
  }
}

TEST(GridFeed, AStoreThatIsAskedTooMuchIsAskedForLess) {
  Pods pods;
  pods.pods = {{.name = "s"}, {.track = Track::canary, .name = "c", .from_ms = kStart}};
  const auto now = kStart + 4 * 60 * kMinute;
  pods.limit = 600; // some twenty minutes
  int reads = 0;
  const auto cells = catch_up(pods, now, reads);
  EXPECT_GT(pods.refusals, 0);
  EXPECT_FALSE(cells.empty());
  EXPECT_GT(cells.back().to_ms, now - 5 * kMinute);
  pods.limit = 1; // it never answers: told, as what it says
  const auto feed = feed_of(pods);
  std::optional<Error> told;
  for (int i = 0; i < 20 && !told; ++i) {
    if (const auto read = feed->read(view_at(now), now); !read) told = read.error();
  }
  ASSERT_TRUE(told);
  EXPECT_EQ(told->code, ErrorCode::resource_exhausted);
}

TEST(GridFeed, AnOutageInTheMiddleOfCatchingUpGoesOnWhereItWas) {
  Pods pods;
  pods.pods = {{.name = "s"}, {.track = Track::canary, .name = "c", .from_ms = kStart}};
  const auto now = kStart + 6 * 60 * kMinute;
  const auto feed = feed_of(pods);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(feed->read(view_at(now), now));
  const auto reached = feed->read_until_ms();
  pods.down = true;
  EXPECT_FALSE(feed->read(view_at(now), now));
  EXPECT_EQ(feed->read_until_ms(), reached);
  pods.down = false;
  ASSERT_TRUE(feed->read(view_at(now), now));
  EXPECT_GT(feed->read_until_ms(), reached);
}

} // namespace
} // namespace coalmine::rollout
