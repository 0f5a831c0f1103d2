// All rollouts and what their machines ask for, without threads: the controller runs one on its
// control thread, simulations run one in a world of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <functional>
#include <list>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "base/shared_vector.h"
#include "rollout/journal/journal.h"
#include "rollout/kept_rollouts.h"
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
  virtual void changed(const State& state, const SharedVector<LogEntry>& log) = 0;
  // It ended long ago and is not known any more.
  virtual void forgotten(RolloutId id) = 0;
};

// Not thread-safe: one thread owns it. sink and clock outlive it. Of rollouts that have ended the
// newest stay (KeptRollouts::in_memory): the memory does not grow with their number.
class Core {
 public:
  Core(const Clock& clock, EffectSink& sink, std::size_t ended_kept = KeptRollouts{}.in_memory)
      : clock_(clock), sink_(sink), ended_kept_(ended_kept) {}

  // A rollout read from the journal; goes on where it was. Those that have ended in the order in
  // which they did.
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
  const SharedVector<LogEntry>* log(RolloutId id) const;
  // How many are known, running and ended.
  std::size_t size() const { return rollouts_.size(); }
  // The running rollout of a service, or null.
  const State* running(std::string_view service) const;
  // A running rollout that moves this traffic (route::traffic_of), or null.
  const State* running_on(std::string_view traffic) const;

 private:
  struct Rollout {
    State state;
    SharedVector<LogEntry> log; // lines with a text
    bool runs = false;          // it is in running_ and in deadlines_, at:
    std::int64_t deadline = 0;
    bool is_listed_ended = false; // it is in ended_
  };
  Moment now() const { return {clock_.wall_ms(), clock_.steady_ms()}; }
  void run(Rollout& rollout, const Event& event);
  void forget(Rollout& rollout);
  void note(Rollout& rollout);
  void keep_ended(const Rollout& rollout);
  void forget_oldest_ended();
  static void add_lines(Rollout& rollout, const std::vector<LogEntry>& lines);
  JournalRecord make_record(const State& state, const Event& event, Moment now,
                            effect::Record lines) const;

  const Clock& clock_;
  EffectSink& sink_;
  const std::size_t ended_kept_;
  std::map<std::uint64_t, Rollout> rollouts_;
  // Those that have ended, in that order, and the last of each service.
  std::list<std::uint64_t> ended_;
  std::map<std::string, std::uint64_t, std::less<>> last_ended_;
  // Rollouts that have not ended: by service, for arrivals, and by deadline (steady time, id).
  std::map<std::string, std::set<std::uint64_t>, std::less<>> running_;
  std::set<std::pair<std::int64_t, std::uint64_t>> deadlines_;
};

// Arrival-triggered looks are at least kLeastGapMs apart and at least kGapPerCost times the cost of
// one look.
inline constexpr std::int64_t kLeastGapMs = 50;
inline constexpr std::int64_t kGapPerCost = 20;

} // namespace coalmine::rollout
