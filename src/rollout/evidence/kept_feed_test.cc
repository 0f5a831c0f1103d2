// A restart is invisible: behind kept cells come the same cells, and the judge says the same, at
// whatever cell the process died and whatever the telemetry store still has.
// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/kept_feed.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/log.h"
#include "judge/reason.h"
#include "rollout/evidence/cell_codec.h"
#include "rollout/evidence/cell_record.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/journal/memory_cells_for_test.h"

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kTrafficFrom = 1'700'000'000'000;
constexpr std::int64_t kLaunch = kTrafficFrom + 20 * 60'000;
constexpr std::int64_t kTrafficMs = 50 * 60'000;
constexpr std::int64_t kLookMs = 10'000;

// One process with its own export interval, bounds and lateness; its counts are drawn once.
struct Process {
  Track track = Track::stable;
  std::string name;
  std::int64_t every_ms = 10'000;
  std::int64_t phase_ms = 0;
  std::int64_t from_ms = kTrafficFrom;
  std::int64_t until_ms = INT64_MAX;
  std::int64_t late_ms = 0;
  std::int64_t clock_ms = 0;
  bool has_start = true;
  BucketBounds bounds;
  struct Second {
    double requests = 0;
    double errors = 0;
    std::vector<std::uint64_t> durations;
  };
  std::map<std::string, std::vector<Second>> routes; // cumulative, by second since from_ms
};

Process draw(std::mt19937_64& random, Track track, int number) {
  const auto pick = [&](std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  };
  Process out;
  out.track = track;
  const bool canary = track == Track::canary;
  out.name = fmt::format("{}{}@1", canary ? "c" : "s", number);
  constexpr std::array<std::int64_t, 4> kIntervals = {5'000, 10'000, 15'000, 30'000};
  out.every_ms = kIntervals[static_cast<std::size_t>(pick(0, 3))];
  out.phase_ms = pick(0, out.every_ms - 1);
  if (canary) out.from_ms = kLaunch + pick(0, 20'000);
  if (number > 0 && pick(0, 2) == 0) out.from_ms = kLaunch + pick(0, 1'500'000);
  if (number > 0 && pick(0, 3) == 0) out.until_ms = kLaunch + pick(400'000, 1'700'000);
  if (number > 0 && pick(0, 3) == 0) out.late_ms = pick(1'000, out.every_ms / 2);
  if (out.from_ms == kTrafficFrom && pick(0, 4) == 0) out.clock_ms = pick(5'000, 90'000);
  // Without a start time the first export of a new process is dated by what its interval turns out
  // to be, which is known a little later.
  out.has_start = out.from_ms != kTrafficFrom || pick(0, 1) == 0;
  out.bounds = std::make_shared<const std::vector<double>>(
      pick(0, 1) == 0 ? std::vector<double>{10, 50, 100, 500}
                      : std::vector<double>{10, 20, 50, 100, 200, 500});
  std::poisson_distribution<int> arrivals(0.7);
  std::uniform_real_distribution<double> uniform(0, 1);
  const double error_rate = canary ? 0.03 : 0.02;
  for (const auto* route : {"/pay", "/cart", "/rare"}) {
    auto& seconds = out.routes[route];
    const bool rare = std::string_view(route) == "/rare";
    Process::Second sum;
    sum.durations.assign(out.bounds->size() + 1, 0);
    for (std::int64_t at = out.from_ms; at < kTrafficFrom + kTrafficMs; at += 1'000) {
      const int n = rare && pick(0, 30) != 0 ? 0 : arrivals(random);
      for (int i = 0; i < n; ++i) {
        sum.requests += 1;
        sum.errors += uniform(random) < error_rate ? 1 : 0;
        const double ms = -60 * std::log(uniform(random));
        const auto bucket = std::ranges::lower_bound(*out.bounds, ms) - out.bounds->begin();
        ++sum.durations[static_cast<std::size_t>(bucket)];
      }
      seconds.push_back(sum);
    }
  }
  return out;
}

std::string described(const std::vector<Process>& processes) {
  std::string out;
  for (const auto& one : processes) {
    out += fmt::format("\n{}: every {}, from {}, late {}, clock {}{}", one.name, one.every_ms,
                       one.from_ms - kLaunch, one.late_ms, one.clock_ms,
                       one.has_start ? "" : ", no start");
  }
  return out;
}

// A store of their exports, which forgets what is older than retention_ms.
class Traffic final : public cohort::CountFeedSource {
 public:
  explicit Traffic(std::uint64_t seed) {
    std::mt19937_64 random(seed);
    for (int i = 0; i < 4; ++i) processes.push_back(draw(random, Track::stable, i));
    for (int i = 0; i < 3; ++i) processes.push_back(draw(random, Track::canary, i));
  }
  std::vector<Process> processes;
  std::int64_t retention_ms = INT64_MAX;

  cohort::CountFeedTraits traits() const override {
    return {.unseen_instances_begin_at_zero = true};
  }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<Feed>(*this, request.origin_ms);
  }

 private:
  class Feed final : public cohort::CountFeed {
   public:
    Feed(const Traffic& traffic, std::int64_t origin_ms)
        : traffic_(traffic), from_ms_(origin_ms - 10 * 60'000) {}
    Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
      return take(grid, now_ms, now_ms + 10 * 60'000, now_ms);
    }
    Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
      return take(grid, INT64_MAX, until_ms, 0);
    }

   private:
    Status take(cohort::CountGrid& grid, std::int64_t now_ms, std::int64_t until_ms,
                std::int64_t read_ms) {
      if (begun_) from_ms_ = grid.needed_from_ms();
      if (traffic_.retention_ms != INT64_MAX)
        from_ms_ = std::max(from_ms_, now_ms - traffic_.retention_ms);
      begun_ = true;
      std::uint64_t id = 0;
      for (const auto& process : traffic_.processes) {
        for (const auto& [route, seconds] : process.routes) {
          add(grid, process, route, seconds, id, now_ms, until_ms, read_ms);
          id += 3;
        }
      }
      return {};
    }
    void add(cohort::CountGrid& grid, const Process& process, const std::string& route,
             const std::vector<Process::Second>& seconds, std::uint64_t id, std::int64_t now_ms,
             std::int64_t until_ms, std::int64_t read_ms) const {
      cohort::CountSeries requests;
      requests.id = id;
      requests.track = process.track;
      requests.instance = process.name;
      requests.route = route;
      auto errors = requests;
      errors.id = id + 1;
      errors.measure = cohort::Measure::bad;
      auto durations = requests;
      durations.id = id + 2;
      durations.measure = cohort::Measure::duration;
      const auto start = process.has_start ? process.from_ms + process.clock_ms : 0;
      for (auto at = process.from_ms + process.phase_ms; at <= process.until_ms;
           at += process.every_ms) {
        const auto time = at + process.clock_ms;
        const auto second = static_cast<std::size_t>((at - process.from_ms) / 1000);
        if (at + process.late_ms > now_ms || time > until_ms || second >= seconds.size()) break;
        if (time < from_ms_) continue;
        const auto& sum = seconds[second];
        requests.floats.push_back({time, start, sum.requests});
        errors.floats.push_back({time, start, sum.errors});
        durations.classic.push_back(
            {time,
             start,
             false,
             {process.bounds, sum.durations, static_cast<std::uint64_t>(sum.requests), 0}});
      }
      for (const auto* series : {&requests, &errors, &durations}) {
        if (!series->floats.empty() || !series->classic.empty()) grid.add(*series, read_ms);
      }
    }

    const Traffic& traffic_;
    std::int64_t from_ms_;
    bool begun_ = false;
  };
};

RolloutSpec spec_of() {
  auto spec = default_spec("shop");
  spec.judge = "sequential";
  spec.signals.clear();
  return spec;
}

FeedView view_of(std::int64_t now_ms) {
  FeedView out{.changes = {{kLaunch, kLaunch + 3'000, 0.4}}, .until_ms = now_ms};
  const auto second = kLaunch + 15 * 60'000;
  if (now_ms > second) out.changes.push_back({second, second + 2'000, 0.45});
  return out;
}

// One process of coalmine that watches the traffic.
class Watcher {
 public:
  Watcher(const Traffic& traffic, CellStore& store)
      : spec_(std::make_shared<const RolloutSpec>(spec_of())), judge_(make_judge(*spec_)) {
    feed_ = make_kept_feed(
        make_cell_record(store, RolloutId{1},
                         [&store](CellBatch batch) {
                           EXPECT_TRUE(store.keep_cells(std::vector{std::move(batch)}));
                         }),
        [this, &traffic](std::shared_ptr<const KeptPast> past) {
          return make_grid_feed(traffic, {spec_, "1", "1", kLaunch, std::move(past)});
        });
  }

  // What a look says, with the numbers behind it.
  std::string look(std::int64_t now_ms) {
    judge::Evidence evidence;
    do {
      auto read = feed_->read(view_of(now_ms), now_ms);
      EXPECT_TRUE(read) << (read ? "" : read.error().message);
      if (!read) return "";
      for (auto& cell : *read) {
        cells.push_back(cell);
        evidence.cells.push_back(std::move(cell));
      }
    } while (!feed_->caught_up());
    const auto step = kLaunch + 3'000;
    evidence.canary.requests = feed_->requests_since(Track::canary, step);
    evidence.stable.requests = feed_->requests_since(Track::stable, step);
    evidence.canary.has_data = evidence.stable.has_data = true;
    evidence.next_weight = 1;
    evidence.step_minutes = static_cast<double>(now_ms - step) / 60'000;
    evidence.step_needed_minutes = 10;
    evidence.step_requests = evidence.canary.requests;
    const auto judgement = judge_->judge(evidence);
    tried = judgement.trial.has_value();
    auto out = fmt::format("{}: {}\n{}\n", judge::to_string(judgement.decision), judgement.reason,
                           judgement.guarantee);
    for (const auto& line : judgement.signals) {
      out += fmt::format("{} {} {} {:.6f}\n", line.subject.signal, line.subject.route,
                         judge::line_sentence(line), line.measured.difference.value_or(0));
    }
    const auto totals = feed_->totals_since(step);
    out += fmt::format("{} {} {} {}\n", totals.canary_requests, totals.canary_errors,
                       totals.stable_requests, totals.stable_errors);
    for (const auto track : kBothTracks) {
      const auto found = feed_->instances(track, 60'000);
      out += fmt::format("{} instances, {} live, silent:", found.most, found.live);
      for (const auto& one : found.silent) out += fmt::format(" {} {}", one.name, one.last_ms);
      out += "\n";
    }
    return out;
  }

  std::vector<CountCell> cells; // all so far
  bool tried = false;           // stable, as its own canary

 private:
  const std::shared_ptr<const RolloutSpec> spec_;
  const std::unique_ptr<judge::Judge> judge_;
  std::unique_ptr<EvidenceFeed> feed_;
};

std::string text_of(const CountCell& cell) {
  CellTexts texts;
  auto out =
      fmt::format("{}+{} canary {}/{} stable {}/{} of", cell.from_ms - kLaunch,
                  cell.to_ms - cell.from_ms, cell.total.canary.errors, cell.total.canary.requests,
                  cell.total.stable.errors, cell.total.stable.requests);
  for (const auto& one : cell.instances) {
    out += fmt::format(" {}:{}{}+{} [{}]", one.instance, one.requests, one.warming ? " warms" : "",
                       one.restarts, fmt::join(one.bucket_counts, " "));
  }
  for (const auto& row : cell.routes) {
    out += fmt::format(" {}:{}", row.route, row.canary.requests + row.stable.requests);
    for (const auto& part : row.parts)
      out += fmt::format(" {}:{}/{}", part.instance, part.errors, part.requests);
  }
  for (const auto* track : {&cell.total.canary, &cell.total.stable})
    out += fmt::format(" [{}]", fmt::join(track->bucket_counts, " "));
  return out;
}

// Kills the watcher after some of its looks and compares what the next one sees and says.
// tried: counts the watchers that tried stable.
void expect_invisible_restarts(std::uint64_t seed, std::int64_t retention_ms, int& tried) {
  Traffic traffic(seed);
  testing::MemoryCells cells;
  Watcher undisturbed(traffic, cells);
  struct Look {
    std::int64_t at = 0;
    std::string says;
    testing::MemoryCells kept; // behind it
  };
  std::vector<Look> looks;
  for (auto now = kLaunch + kLookMs; now < kLaunch + 28 * 60'000; now += kLookMs) {
    auto says = undisturbed.look(now);
    looks.push_back({now, std::move(says), cells});
  }
  ASSERT_GT(undisturbed.cells.size(), 20u);
  tried += undisturbed.tried;
  traffic.retention_ms = retention_ms;
  std::mt19937_64 random(seed);
  // While it is being found out that a clock is off, counts move between cells; and before the
  // first cells of the canary have closed, there are none that make up for a short retention.
  const bool is_off = std::ranges::any_of(
      traffic.processes, [](const Process& process) { return process.clock_ms != 0; });
  const std::size_t first = is_off || retention_ms != INT64_MAX ? 30 : 0;
  for (auto died = first + seed % 7; died < looks.size(); died += 11) {
    auto kept = looks[died].kept;
    Watcher restarted(traffic, kept);
    const auto down = std::uniform_int_distribution<std::size_t>(1, 6)(random);
    for (std::size_t i = died + down; i < std::min(looks.size(), died + down + 16); ++i) {
      const auto says = restarted.look(looks[i].at);
      for (std::size_t n = 0; n < restarted.cells.size(); ++n) {
        ASSERT_EQ(text_of(restarted.cells[n]), text_of(undisturbed.cells[n]))
            << "seed " << seed << ", died after " << (looks[died].at - kLaunch) << " ms"
            << described(traffic.processes);
      }
      ASSERT_EQ(says, looks[i].says) << "seed " << seed << ", died after look " << died;
    }
  }
}

// The judge tries stable on the same cells, and says the same of it.
TEST(KeptFeed, ARestartAtAnyCellIsInvisible) {
  int tried = 0;
  for (std::uint64_t seed = 1; seed <= 8; ++seed) {
    expect_invisible_restarts(seed, INT64_MAX, tried);
    if (HasFatalFailure()) return;
  }
  EXPECT_GE(tried, 2);
}

// Half an hour of evidence, of which the telemetry store has the newest five minutes.
TEST(KeptFeed, ARolloutThatOutlivesItsTelemetryKeepsItsEvidence) {
  int tried = 0;
  for (std::uint64_t seed = 21; seed <= 24; ++seed) {
    expect_invisible_restarts(seed, 5 * 60'000, tried);
    if (HasFatalFailure()) return;
  }
}

// What a journal from before cells were kept gives, and one whose cells are damaged.
TEST(KeptFeed, WhatIsNotKeptIsReadAgain) {
  set_log_level(LogLevel::off);
  const Traffic traffic(3);
  const auto now = kLaunch + 20 * 60'000;
  testing::MemoryCells cells;
  Watcher undisturbed(traffic, cells);
  const auto says = undisturbed.look(now);
  const auto all = undisturbed.cells.size();
  ASSERT_GT(all, 10u);
  {
    testing::MemoryCells nothing;
    Watcher again(traffic, nothing);
    EXPECT_EQ(again.look(now), says);
    EXPECT_EQ(again.tried, undisturbed.tried);
    EXPECT_EQ(nothing.rollouts[1].rows.size(), all) << "kept from now on";
  }
  for (const bool is_gap : {true, false}) {
    auto damaged = cells;
    auto at = std::next(damaged.rollouts[1].rows.begin(), 7);
    if (is_gap) {
      damaged.rollouts[1].rows.erase(at);
    } else {
      at->second.cell[9] = static_cast<char>(at->second.cell[9] ^ 0x40);
    }
    damaged.rollouts[1].memory.clear();
    Watcher again(traffic, damaged);
    (void)again.look(now);
    EXPECT_EQ(damaged.rollouts[1].rows.size(), again.cells.size());
    for (std::size_t i = 0; i < 7; ++i)
      EXPECT_EQ(text_of(again.cells[i]), text_of(undisturbed.cells[i]));
    double lost = 0;
    for (const auto& cell : undisturbed.cells) lost += cell.total.stable.requests;
    for (const auto& cell : again.cells) lost -= cell.total.stable.requests;
    EXPECT_NEAR(lost, 0, 1) << "each request once";
    for (std::size_t i = 1; i < again.cells.size(); ++i)
      EXPECT_EQ(again.cells[i].from_ms, again.cells[i - 1].to_ms);
  }
}

// A store that is away at the restart: the evidence is there all the same, and nothing is lost.
TEST(KeptFeed, AnOutageAfterARestartHidesNoEvidence) {
  const Traffic traffic(4);
  const auto now = kLaunch + 10 * 60'000;
  testing::MemoryCells cells;
  Watcher first(traffic, cells);
  (void)first.look(now);
  class Away final : public EvidenceFeed {
   public:
    Result<std::vector<CountCell>> read(const FeedView&, std::int64_t) override {
      return fail(ErrorCode::unavailable, "connection refused");
    }
    std::int64_t read_until_ms() const override { return 0; }
    bool caught_up() const override { return true; }
    judge::TrackTotals totals_since(std::int64_t) const override { return {}; }
    double requests_since(Track, std::int64_t) const override { return 0; }
    double awaited_since(std::int64_t) const override { return 0; }
    FeedProgress progress(Track) const override { return {}; }
    TrackInstances instances(Track, std::int64_t) const override { return {}; }
  };
  const auto feed = make_kept_feed(make_cell_record(cells, RolloutId{1}, [](CellBatch) {}),
                                   [](const auto&) { return std::make_unique<Away>(); });
  const auto kept = feed->read(view_of(now), now);
  ASSERT_TRUE(kept);
  EXPECT_EQ(kept->size(), first.cells.size());
  EXPECT_FALSE(feed->caught_up()) << "nothing may be promoted on them";
  double requests = 0;
  for (const auto& cell : first.cells) requests += cell.total.canary.requests;
  EXPECT_DOUBLE_EQ(feed->requests_since(Track::canary, 0), requests);
  double compared = 0; // without the cells in which the weight moved
  for (const auto& cell : first.cells) compared += cell.mixed ? 0 : cell.total.canary.requests;
  EXPECT_DOUBLE_EQ(feed->totals_since(0).canary_requests, compared);
  const auto next = feed->read(view_of(now), now);
  ASSERT_FALSE(next);
  EXPECT_EQ(next.error().code, ErrorCode::unavailable);
}

TEST(RoundCounts, TailsAreOffByOneUnitAtMost) {
  std::mt19937_64 random(7);
  std::uniform_real_distribution<double> uniform(0, 3);
  for (int round = 0; round < 50; ++round) {
    CountCell cell;
    auto& track = cell.total.canary;
    std::vector<double> bounds(465);
    for (std::size_t i = 0; i < bounds.size(); ++i) bounds[i] = static_cast<double>(i + 1);
    track.bounds_ms = std::make_shared<const std::vector<double>>(std::move(bounds));
    for (int i = 0; i < 466; ++i) track.bucket_counts.push_back(uniform(random));
    track.requests = uniform(random) * 100;
    track.errors = track.requests;
    cell.instances = {{"a", Track::canary, 0, 0, false, track.bucket_counts},
                      {"b", Track::stable, 0, 0, false, track.bucket_counts}};
    cell.routes.emplace_back().parts = {{0, 1.03, -1}};
    const auto before = track;
    round_counts(cell);
    EXPECT_EQ(cell.instances[0].bucket_counts, track.bucket_counts);
    EXPECT_TRUE(cell.instances[1].bucket_counts.empty()) << "without bounds";
    EXPECT_EQ(cell.routes[0].parts[0].requests, 1);
    EXPECT_EQ(cell.routes[0].parts[0].errors, 0);
    EXPECT_NEAR(track.requests, before.requests, kCountUnit);
    EXPECT_LE(track.errors, track.requests);
    double exact = 0;
    double rounded = 0;
    for (std::size_t i = 0; i < before.bucket_counts.size(); ++i) {
      exact += before.bucket_counts[i];
      rounded += track.bucket_counts[i];
      ASSERT_NEAR(rounded, exact, kCountUnit);
      ASSERT_GE(track.bucket_counts[i], 0);
    }
    EXPECT_EQ(track.timed, rounded);
  }
  CountCell odd;
  odd.total.stable.requests = std::nan("");
  odd.total.stable.errors = -1;
  odd.total.canary.requests = INFINITY;
  round_counts(odd);
  EXPECT_EQ(odd.total.stable.requests, 0);
  EXPECT_EQ(odd.total.stable.errors, 0);
  EXPECT_TRUE(std::isfinite(odd.total.canary.requests));
}

} // namespace
} // namespace coalmine::rollout
