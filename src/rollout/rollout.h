// A rollout as the rest of the house sees it: its phase, its log, its steps, its status. Plain
// values, any thread; times are Unix milliseconds, weights shares from 0 to 1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/shared_vector.h"
#include "judge/judge.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

enum class Phase {
  progressing,  // moving to or watching a step
  paused,       // weight held, waiting for a person
  rolling_back, // router is being set to 0
  promoted,
  rolled_back,
  aborted,
  abandoned, // given up with its router: where the traffic goes is not known
};
std::string_view to_string(Phase phase);
bool is_terminal(Phase phase);

// What keeps a running rollout from going on, whatever its phase; reason says it in words.
enum class Condition {
  none,
  awaits_telemetry, // a track whose version nobody named has sent nothing yet
  router_failing    // the router is not there, or does not do what it is asked
};
std::string_view to_string(Condition condition);

// What a person may ask of a rollout.
// promote: passes the gate of the step; promote_full: all that are left.
// abandon: the router is not asked any more, whatever the weight; for one that does not come back.
// undo: of a promoted one; gives its traffic back to stable.
enum class Command { pause, resume, promote, promote_full, abort, abandon, undo };

// One line of the journal as people read it.
struct LogEntry {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;
  std::string kind;  // started step weight_set look pause resume promote abort rollback promoted
                     // rolled_back notify router_error …
  std::string text;  // one sentence
  std::string actor; // "coalmine", or who asked
};

struct StepState {
  StepSpec spec;
  std::int64_t started_ms = 0; // when its weight was confirmed; 0: not yet
  std::int64_t ended_ms = 0;
  std::string outcome; // "", "passed", "failed", "skipped"
};

// The traffic is too little for the steps.
struct StepAdvice {
  std::string sentence;
  std::string
      steps; // that decide more, as a config file has them: "[25% 1h, 50% 1h, 100%]"; "": none do
};

// A snapshot for pages, the CLI and JSON. A plain value.
struct RolloutStatus {
  RolloutId id;
  std::string service;
  std::string canary_version;
  std::string stable_version;
  Phase phase = Phase::progressing;
  Condition condition = Condition::none;
  std::size_t step = 0;
  std::vector<StepState> steps;
  bool moves_traffic = true; // false: the router only watches, and weights are those planned
  double weight_asked = 0;
  std::optional<double> weight_applied; // read back; empty: unknown
  std::optional<double> observed_split; // canary share of requests in the step, from telemetry
  std::int64_t observed_valid_ms = 0;   // analysis time accumulated in this step
  std::shared_ptr<const judge::Judgement> judgement; // the newest look; null: none
  std::string reason;                                // the one sentence
  std::int64_t started_ms = 0;
  std::int64_t ended_ms = 0;
  double time_to_rollback_ms = 0; // from decision to weight 0 read back; 0: not measured
  SharedVector<LogEntry> log;     // lines that have a text, oldest first
  std::string actor;
  std::int64_t judged_from_ms = 0; // window of judgement; 0: no look yet
  std::int64_t judged_ms = 0;
  std::optional<StepAdvice> advice; // absent: the traffic is enough, or it is too early to say
};

} // namespace coalmine::rollout
