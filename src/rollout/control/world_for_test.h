// A world for the rollout's tests: traffic that follows a router, telemetry of that traffic, a
// journal that outlives its process, and faults in all of them. Time is a ManualClock.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cmath>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "base/check.h"
#include "base/clock.h"
#include "cohort/cohorts.h"
#include "rollout/control/core.h"
#include "rollout/control/memory_journal_for_test.h"
#include "rollout/evidence/cell_record.h"
#include "rollout/evidence/kept_feed.h"
#include "rollout/evidence/look.h"
#include "rollout/journal/codec.h"

namespace coalmine::rollout::testing {

// A value that changes at moments, integrated over time.
class Timeline {
 public:
  explicit Timeline(double first) { changes_.emplace_back(INT64_MIN, first); }
  void set(std::int64_t at, double value) { changes_.emplace_back(at, value); }
  double last() const { return changes_.back().second; }
  double at(std::int64_t time) const {
    double value = changes_.front().second;
    for (const auto& [when, v] : changes_) {
      if (when <= time) value = v;
    }
    return value;
  }
  std::vector<std::int64_t> moments() const {
    std::vector<std::int64_t> out;
    for (const auto& [when, v] : changes_) out.push_back(when);
    return out;
  }

 private:
  std::vector<std::pair<std::int64_t, double>> changes_;
};

// One service behind one router. Counts are integrals of the traffic, so every look at the same
// window sees the same.
class World final : public cohort::CohortSource, public cohort::CountFeedSource {
 public:
  explicit World(ManualClock& clock) : clock_(clock), began_ms_(clock.wall_ms()) {}

  double rps = 400;
  Timeline weight{0};
  Timeline canary_errors{0.004};
  Timeline stable_errors{0.004};
  Timeline canary_slow{0}; // share of requests at 450 ms instead of 90 ms
  bool router_down = false;
  bool router_gone = false; // for good
  bool router_refuses = false;
  // Calls are not answered: they are given up, and what they asked for is done by then
  // (hung_calls_work) or never. Panic has a way of its own.
  bool router_hangs = false;
  bool panic_hangs = false;
  bool hung_calls_work = false;
  bool router_idles = false; // it says yes, does nothing, and reads back what it has
  double router_makes = 1;   // of the weight that it is told to set; it reads back what it has
  bool stable_down = false;  // and the canary answers: a rollback leaves it its weight
  bool sets_fail = false;    // it answers reads, and does nothing
  bool lose_answers = false; // the router does what it is told and the answer is lost
  bool store_down = false;
  bool store_hangs = false;             // looks come back when it does not any more
  bool store_empty = false;             // it answers, and knows of nothing
  std::int64_t silent_from = INT64_MAX; // telemetry after this has not arrived
  std::int64_t canary_silent_from = INT64_MAX;
  // What is older has been forgotten.
  std::int64_t retention_ms = INT64_MAX;
  std::string split_cause; // what the router says of it
  int sets = 0;
  int told = 0; // how far the story around it has been told

  std::int64_t now() const { return clock_.wall_ms(); }

  // A router that went away comes back with the weight of its file.
  void restart_router(double file_weight) { weight.set(now(), file_weight); }
  // A call hangs. Its process may die meanwhile: what is on its way to the router gets there.
  void hang(double wanted) {
    if (hung_calls_work) on_the_way_.emplace_back(now() + kHangMs, wanted);
  }
  void arrive() {
    std::erase_if(on_the_way_, [&](const auto& call) {
      if (call.first > now()) return false;
      weight.set(now(), call.second);
      return true;
    });
  }
  static constexpr std::int64_t kHangMs = 2'000;

  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t from_ms,
                                      std::int64_t to_ms) const override {
    if (store_down) return fail(ErrorCode::unavailable, "connection refused");
    if (store_empty) return cohort::CohortCounts{};
    bool canary = false;
    for (const auto& m : cohort.matchers)
      canary = canary || (m.name == "deployment_track" && m.value == "canary");
    const auto arrived = std::min(silent_from, canary ? canary_silent_from : INT64_MAX);
    const auto to = std::min(to_ms, arrived);
    cohort::CohortCounts out;
    TrackCounts pay{.has_data = true};
    double slow = 0;
    for_each_piece(from_ms, to, [&](std::int64_t start, std::int64_t end) {
      const double share = canary ? weight.at(start) : 1 - weight.at(start);
      const double n = rps * share * static_cast<double>(end - start) / 1000.0;
      pay.requests += n;
      pay.errors += n * (canary ? canary_errors : stable_errors).at(start);
      if (canary) slow += n * canary_slow.at(start);
    });
    pay.requests = std::floor(pay.requests);
    pay.errors = std::floor(pay.errors);
    static const auto kBounds =
        std::make_shared<const std::vector<double>>(std::vector<double>{50, 100, 400, 500});
    const auto late = std::floor(slow);
    pay.bounds_ms = kBounds;
    pay.bucket_counts = {0, pay.requests - std::min(pay.requests, late), 0, late, 0};
    out.first_ms = 1;
    out.any_series = true;
    if (pay.requests > 0) {
      out.last_ms = to;
      out.routes.push_back({"/api/pay", std::move(pay)});
    }
    return out;
  }

  cohort::CountFeedTraits traits() const override { return {}; }
  // The same traffic as cumulative series, exported every 15 s, stable's some seconds after the
  // canary's. Whoever reads sees the same samples.
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<Feed>(*this, request.origin_ms);
  }
  double shown_share =
      1; // of the canary's requests arrive where they were sent; the rest goes to stable

 private:
  class Feed final : public cohort::CountFeed {
   public:
    Feed(const World& world, std::int64_t origin_ms)
        : world_(world), from_ms_(origin_ms - 60'000) {}
    Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
      if (world_.store_down) return fail(ErrorCode::unavailable, "connection refused");
      if (world_.store_empty) return {};
      for (const bool canary : {true, false}) {
        const auto arrived =
            std::min(world_.silent_from, canary ? world_.canary_silent_from : INT64_MAX);
        cohort::CountSeries requests;
        requests.track = canary ? Track::canary : Track::stable;
        requests.instance = canary ? "c" : "s";
        requests.route = "/api/pay";
        auto errors = requests;
        auto& last = canary ? canary_ : stable_;
        requests.id = canary ? 1 : 2;
        errors.id = canary ? 3 : 4;
        errors.measure = cohort::Measure::bad;
        auto durations = requests;
        durations.id = canary ? 5 : 6;
        durations.measure = cohort::Measure::duration;
        if (last.at == 0) {
          const auto begin = std::max<std::int64_t>(0, world_.began_ms_ - kPastMs);
          last.at = (begin / kExportMs) * kExportMs + (canary ? 0 : 4'000);
        }
        const auto oldest = std::max(
            from_ms_, world_.retention_ms == INT64_MAX ? 0 : world_.now() - world_.retention_ms);
        for (; last.at + kExportMs <= std::min(now_ms, arrived); last.at += kExportMs) {
          world_.for_each_piece(
              last.at, last.at + kExportMs, [&](std::int64_t start, std::int64_t end) {
                const double sent = world_.weight.at(start);
                const double share =
                    canary ? sent * world_.shown_share : 1 - sent * world_.shown_share;
                const double n = world_.rps * share * static_cast<double>(end - start) / 1000.0;
                last.requests += n;
                if (canary) last.slow += n * world_.canary_slow.at(start);
                last.errors += n * (canary ? world_.canary_errors : world_.stable_errors).at(start);
              });
          if (last.at + kExportMs < oldest) continue;
          requests.floats.push_back({last.at + kExportMs, 1, std::floor(last.requests)});
          errors.floats.push_back({last.at + kExportMs, 1, std::floor(last.errors)});
          const auto all = static_cast<std::uint64_t>(last.requests);
          const auto late = std::min(all, static_cast<std::uint64_t>(last.slow));
          const auto quick = all - late; // a tenth beyond 100 ms, a hundredth beyond 400
          const std::vector<std::uint64_t> counts = {
              0, quick - quick / 10, quick / 10 - quick / 100, late + quick / 100, 0};
          durations.classic.push_back({last.at + kExportMs, 1, false, {bounds_, counts, all, 0}});
        }
        grid.add(requests);
        grid.add(errors);
        grid.add(durations);
      }
      return {};
    }

    Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
      return read(grid, until_ms);
    }

   private:
    static constexpr std::int64_t kExportMs = 15'000;
    static constexpr std::int64_t kPastMs = 40 * 60'000;
    struct Sent {
      std::int64_t at = 0;
      double requests = 0;
      double errors = 0;
      double slow = 0;
    };
    const BucketBounds bounds_ =
        std::make_shared<const std::vector<double>>(std::vector<double>{50, 100, 400, 500});
    const World& world_;
    const std::int64_t from_ms_;
    Sent canary_;
    Sent stable_;
  };

  template <typename F>
  void for_each_piece(std::int64_t from, std::int64_t to, F f) const {
    std::vector<std::int64_t> cuts{from, to};
    for (const auto* line : {&weight, &canary_errors, &stable_errors, &canary_slow}) {
      for (const auto when : line->moments()) {
        if (when > from && when < to) cuts.push_back(when);
      }
    }
    std::ranges::sort(cuts);
    for (std::size_t i = 0; i + 1 < cuts.size(); ++i) {
      if (cuts[i] < cuts[i + 1]) f(cuts[i], cuts[i + 1]);
    }
  }
  ManualClock& clock_;
  const std::int64_t began_ms_;
  std::vector<std::pair<std::int64_t, double>> on_the_way_; // when, and the weight
};

class WorldRouter final : public route::Router {
 public:
  explicit WorldRouter(World& world) : world_(world) {}
  std::string describe() const override { return "the world"; }
  Result<route::Applied> set(route::Weight weight) override {
    if (world_.router_down || world_.router_gone || world_.sets_fail)
      return fail(ErrorCode::unavailable, "connection refused");
    const auto asked = weight;
    if (world_.router_refuses) return fail(ErrorCode::failed_precondition, "cannot be expressed");
    ++world_.sets;
    if (!world_.router_idles) world_.weight.set(world_.now(), weight.canary * world_.router_makes);
    weight.canary = world_.weight.last();
    if (world_.lose_answers) return fail(ErrorCode::deadline_exceeded, "no answer");
    return route::Applied{.asked = asked, .applied = weight, .elapsed_ms = 1, .detail = ""};
  }
  Result<route::Applied> panic() override {
    world_.router_refuses = false;
    if (world_.stable_down && !world_.router_down && !world_.router_gone &&
        world_.weight.last() > 0) {
      route::Applied kept;
      kept.applied.canary = world_.weight.last();
      kept.kept = "no stable server is up";
      return kept;
    }
    return set({0});
  }
  Result<route::Weight> read() override {
    if (world_.router_down || world_.router_gone)
      return fail(ErrorCode::unavailable, "connection refused");
    return route::Weight{world_.weight.last(), world_.split_cause};
  }

 private:
  World& world_;
};

// One coalmine process after another, each a Core whose effects are carried out one by one, in an
// order that a seed decides. It is killed at the crash point asked for: before or after a journal
// write or a router call.
class Simulation final : public EffectSink {
 public:
  using OpenJournal = std::function<std::unique_ptr<Journal>()>;
  Simulation(ManualClock& clock, World& world, OpenJournal open, std::uint64_t seed = 1)
      : clock_(clock),
        world_(world),
        open_(std::move(open)),
        random_(seed),
        journal_(open_()),
        core_(std::make_unique<Core>(clock, *this)) {}

  int crash_at = -1;            // number of the crash point; -1: never
  std::int64_t down_ms = 2'000; // how long a restart takes
  int crash_points = 0;         // seen so far
  bool raised = false;          // this process has sent the router a weight
  int crashes = 0;

  void start(const RolloutSpec& spec) {
    event::Start start{RolloutId{1}, std::make_shared<const RolloutSpec>(spec), "2.4.0", "2.3.0",
                       "test"};
    guarded([&] { core_->start(start); });
  }
  // As an operator does: says it again until it is known to be on disk.
  void command(Command command, std::string reason = "because") {
    asked_.push_back({command, "operator", std::move(reason)});
  }
  Status try_command(Command command, std::string reason) {
    return core_->command(RolloutId{1}, {command, "operator", std::move(reason)});
  }
  void restart() {
    core_.reset();
    todo_.clear();
    hung_.clear();
    hung_looks_.clear();
    unwritten_.clear();
    asked_sequence_ = 0;
    raised = false;
    judge_.reset();
    feed_.reset();
    unkept_.clear();
    journal_.reset();
    journal_ = open_();
    core_ = std::make_unique<Core>(clock_, *this);
    auto stored = journal_->load();
    CHECK(stored.has_value());
    for (auto& rollout : *stored) core_->restore(std::move(rollout));
  }

  // One beat of the world.
  void beat(std::int64_t ms = 500) {
    clock_.advance_ms(ms);
    world_.arrive();
    guarded([&] {
      if (core_->find(RolloutId{1}) == nullptr) return;
      give_up_hung();
      if (!world_.store_hangs) std::ranges::move(hung_looks_, std::back_inserter(todo_));
      if (!world_.store_hangs) hung_looks_.clear();
      give_commands();
      core_->tick();
      while (!todo_.empty()) run_one();
      write_journal();
      while (!todo_.empty()) run_one();
    });
  }
  bool ended() const {
    const auto* s = core_->find(RolloutId{1});
    return s != nullptr && is_terminal(s->position.phase) && unwritten_.empty();
  }
  const State* state() const { return core_->find(RolloutId{1}); }
  const std::vector<LogEntry>& log() const { return **core_->log(RolloutId{1}); }
  Journal& journal() { return *journal_; }

  void record(JournalRecord record) override {
    unwritten_.push_back(std::move(record));
    todo_.push_back([this] { write_journal(); });
  }
  void call_router(const State& state, const effect::CallRouter& call) override {
    todo_.push_back([this, id = state.plan.id, call] {
      crash_point();
      const bool hangs = call.op == RouterOp::panic ? world_.panic_hangs : world_.router_hangs;
      if (hangs) {
        if (call.op != RouterOp::read) world_.hang(call.op == RouterOp::panic ? 0 : call.weight);
        raised = raised || call.op == RouterOp::set;
        hung_.push_back({world_.now() + World::kHangMs, id, call});
        return;
      }
      WorldRouter router(world_);
      event::RouterDone done{
          .op = call.op, .epoch = call.epoch, .error = std::nullopt, .applied = 0, .detail = ""};
      if (call.op == RouterOp::read) {
        const auto weight = router.read();
        if (weight) done.applied = weight->canary;
        if (weight) done.split_cause = weight->split_cause;
        if (!weight) done.error = weight.error();
      } else {
        raised = raised || (call.op == RouterOp::set && !world_.router_refuses);
        const auto applied =
            call.op == RouterOp::panic ? router.panic() : router.set({call.weight});
        if (applied) done.applied = applied->applied.canary;
        if (applied) done.kept = applied->kept;
        if (!applied) done.error = applied.error();
      }
      done.never_raised = !raised;
      crash_point();
      core_->deliver(id, done);
    });
  }
  void take_look(const State& state, const effect::TakeLook& look) override {
    const auto request = make_look_request(state, look);
    started_ms_ = state.plan.started_ms;
    if (judge_ == nullptr || !judge_->takes_cells()) judge_ = make_step_judge(state);
    if (feed_ == nullptr) {
      feed_ = make_kept_feed(make_cell_record(*journal_, state.plan.id,
                                              [this](CellBatch batch) {
                                                unkept_.push_back(std::move(batch));
                                                todo_.push_back([this] { keep_cells(); });
                                              }),
                             [this, request](std::shared_ptr<const KeptPast> past) {
                               return make_grid_feed(
                                   world_, {request.spec, request.canary_version,
                                            request.stable_version, started_ms_, std::move(past)});
                             });
    }
    std::function<void()> take = [this, id = state.plan.id, request, judge = judge_, feed = feed_] {
      core_->deliver(id, event::Looked{rollout::take_look(
                             request, *judge, {.cohorts = world_, .feed = feed.get()})});
    };
    todo_.push_back([this, take = std::move(take)] {
      if (world_.store_hangs) hung_looks_.push_back(take);
      if (!world_.store_hangs) take();
    });
  }
  void changed(const State&, const SharedVector<LogEntry>&) override {}
  void forgotten(RolloutId) override {}

 private:
  struct Crash {};

  template <typename F>
  void guarded(F f) {
    try {
      f();
    } catch (const Crash&) {
      ++crashes;
      core_.reset();
      clock_.advance_ms(down_ms);
      restart();
    }
  }
  void crash_point() {
    if (crash_points++ == crash_at) throw Crash{};
  }
  void run_one() {
    const auto index = std::uniform_int_distribution<std::size_t>(0, todo_.size() - 1)(random_);
    auto task = std::move(todo_[index]);
    todo_.erase(todo_.begin() + static_cast<std::ptrdiff_t>(index));
    task();
  }
  // As RouterCalls does with a call that hangs.
  void give_up_hung() {
    for (const auto& [due, id, call] : std::exchange(hung_, {})) {
      if (due > world_.now()) {
        hung_.push_back({due, id, call});
        continue;
      }
      crash_point();
      core_->deliver(id, event::RouterDone{.op = call.op,
                                           .epoch = call.epoch,
                                           .error = Error{ErrorCode::deadline_exceeded, "hangs"},
                                           .applied = 0,
                                           .detail = "",
                                           .never_raised = !raised});
    }
  }
  void write_journal() {
    if (unwritten_.empty()) return;
    crash_point();
    if (!journal_->append(std::vector(unwritten_.begin(), unwritten_.end())))
      return; // kept, and tried again at the next beat
    auto written = std::move(unwritten_);
    unwritten_.clear();
    crash_point();
    for (const auto& record : written) {
      const auto sequence = record.lines.back().sequence;
      if (asked_sequence_ != 0 && sequence >= asked_sequence_ && !asked_.empty()) {
        asked_.pop_front();
        asked_sequence_ = 0;
      }
      core_->deliver(record.id, event::JournalSynced{sequence});
    }
  }
  // Refused ones are tried again with the next.
  void keep_cells() {
    if (!unkept_.empty() && journal_->keep_cells(unkept_)) unkept_.clear();
  }
  void give_commands() {
    if (asked_.empty() || asked_sequence_ != 0) return;
    const auto before = state()->sequence;
    if (!core_->command(RolloutId{1}, asked_.front())) return;
    asked_sequence_ = state()->sequence;
    if (asked_sequence_ == before) { // so already
      asked_.pop_front();
      asked_sequence_ = 0;
    }
  }

  ManualClock& clock_;
  World& world_;
  OpenJournal open_;
  std::mt19937_64 random_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<Core> core_;
  std::vector<std::function<void()>> todo_;
  struct Hung {
    std::int64_t due = 0;
    RolloutId id;
    effect::CallRouter call;
  };
  std::vector<Hung> hung_;
  std::vector<std::function<void()>> hung_looks_;
  std::vector<JournalRecord> unwritten_;
  std::shared_ptr<judge::Judge> judge_; // of this process
  std::shared_ptr<EvidenceFeed> feed_;
  std::vector<CellBatch> unkept_;
  std::int64_t started_ms_ = 0;
  std::deque<event::Commanded> asked_;
  std::uint64_t asked_sequence_ = 0;
};

// Feeds the recorded events to fold() and compares with the stored state. Empty: equal.
inline std::string fold_difference(Journal& journal) {
  auto stored = journal.load();
  if (!stored) return stored.error().message;
  for (const auto& rollout : *stored) {
    auto events = journal.events(rollout.state.plan.id);
    if (!events) return events.error().message;
    State folded;
    for (const auto& text : *events) {
      auto event = decode_event(text, rollout.state.plan.spec);
      if (!event) return event.error().message;
      folded = fold(folded, event->first, event->second);
    }
    const auto a = durable_text(folded);
    const auto b = durable_text(rollout.state);
    if (a != b) return "folded:   " + a + "\nsnapshot: " + b;
  }
  return "";
}

} // namespace coalmine::rollout::testing
