// All rollouts and what their machines ask for, without threads: the controller runs one on its
// control thread, simulations run one in a world of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "rollout/journal/journal.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// Where effects go. Called on the thread that drives the Core; must not call back into it at once:
// answers come later, through Core::deliver and Core::journal_synced.
class EffectSink {
 public:
  virtual ~EffectSink() = default;
  virtual void record(JournalRecord record) = 0;
  virtual void call_router(const State& state, const effect::CallRouter& call) = 0;
  virtual void take_look(const State& state, const effect::TakeLook& look) = 0;
  virtual void changed(const State& state, const std::vector<LogEntry>& log) = 0;
};

// Not thread-safe: one thread owns it. sink and clock outlive it.
class Core {
 public:
  Core(const Clock& clock, EffectSink& sink) : clock_(clock), sink_(sink) {}

  // A rollout read from the journal; goes on where it was.
  void restore(StoredRollout stored);
  void start(event::Start start);
  // Forgets a rollout whose first record could not be written.
  void drop(RolloutId id);
  Status command(RolloutId id, const event::Commanded& command);
  // Nothing happens for an unknown id: the answer of an effect may outlive its rollout.
  void deliver(RolloutId id, const Event& event);
  // Telemetry of a service was stored. look_cost_us: running average of what one look costs.
  // Arrival-triggered looks of all rollouts together take at most a twentieth of the time; looks by
  // the clock come on top.
  void arrived(std::string_view service, std::int64_t look_cost_us);
  void tick();
  // When tick() has something to do, steady; INT64_MAX: never.
  std::int64_t due() const;

  const State* find(RolloutId id) const;
  const std::vector<LogEntry>* log(RolloutId id) const;
  // The running rollout of a service, or null.
  const State* running(std::string_view service) const;
  // A running rollout that moves this traffic (route::traffic_of), or null.
  const State* running_on(std::string_view traffic) const;

 private:
  struct Rollout {
    State state;
    std::vector<LogEntry> log; // lines with a text
    bool runs = false;         // it is in running_ and in deadlines_, at:
    std::int64_t deadline = 0;
  };
  Moment now() const { return {clock_.wall_ms(), clock_.steady_ms()}; }
  void run(Rollout& rollout, const Event& event);
  void forget(Rollout& rollout);
  void note(Rollout& rollout);
  JournalRecord make_record(const State& state, const Event& event, Moment now,
                            effect::Record lines) const;

  const Clock& clock_;
  EffectSink& sink_;
  std::map<std::uint64_t, Rollout> rollouts_;
  // Rollouts that have not ended: by service, for arrivals, and by deadline (steady time, id).
  std::map<std::string, std::set<std::uint64_t>, std::less<>> running_;
  std::set<std::pair<std::int64_t, std::uint64_t>> deadlines_;
};

// Arrival-triggered looks are at least kLeastGapMs apart and at least kGapPerCost times the cost of
// one look.
inline constexpr std::int64_t kLeastGapMs = 50;
inline constexpr std::int64_t kGapPerCost = 20;

} // namespace coalmine::rollout
