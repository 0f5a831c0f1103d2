// The rollout as a pure state machine: step(state, event, now) -> {state, effects}. No I/O, no
// clock, no threads.
//
// Upward: the intent is recorded first. The router is called when the journal has it on disk, and
// the step's clock starts when the weight was read back. Downward: the router is called first, the
// record follows, and the call is repeated every second until the router reads back 0.
//
// A State has a durable part and a volatile one (Live). The durable part changes only in steps that
// record at least one line, so the recorded events, folded by fold(), give it back exactly; Live
// only says what is under way in this process.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "judge/judge.h"
#include "rollout/rollout.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// wall_ms for what people read and what is asked of the store, steady_ms (of this process) for
// every duration.
struct Moment {
  std::int64_t wall_ms = 0;
  std::int64_t steady_ms = 0;
};

enum class PauseCause {
  none,
  by_hand,
  approval,
  undecided,
  no_data,
  manual_override,
  regression,
  router_refused,
  canary_silent,
  old_intent,
  unwatched,       // nothing is watched before 100 %
  same_version,    // both tracks report as the same one
  processes_differ // worse, and no worse than one process of stable may be than another
};
std::string_view to_string(PauseCause cause);

enum class RouterOp { set, panic, read };
std::string_view to_string(RouterOp op);

inline std::shared_ptr<const judge::Judgement> nothing_judged() {
  static const auto nothing = std::make_shared<const judge::Judgement>();
  return nothing;
}

// What a look heard of one track. Times by our clock, corrected where an instance's clock is off.
struct TrackHeard {
  std::int64_t last_ms = 0; // newest telemetry in the window; 0: none
  std::int64_t heard_ms =
      0; // when telemetry last came, in the window or before; 0: never or unknown
  std::string other_version; // not the one watched: the version under which the track reports now
  // Of a track whose version is open: what its first telemetry in the rollout names, "" when that
  // names none. nullopt: none came.
  std::optional<std::string> first_version{};
};

// What one look at the telemetry saw. source_error not empty: the store did not answer, and nothing
// else is known.
struct LookResult {
  std::uint64_t look = 0; // number of the look that was asked for
  std::size_t step = 0;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  // Shared with whoever shows it: hundreds of lines for a service with many routes. Never null.
  std::shared_ptr<const judge::Judgement> judgement = nothing_judged();
  std::string source_error; // as judge::Evidence::source_error
  // The look has not come back yet; it is waited for. source_error says so.
  bool under_way = false;
  // Telemetry that is not read yet lies between this and now, and the next look goes on there; 0:
  // all was read. judgement_incomplete: the judge has not seen it all either.
  std::int64_t read_until_ms = 0;
  bool judgement_incomplete = false;
  std::string
      split_problem; // not empty: traffic is not split as asked; the tracks are not compared
  double canary_requests = 0;
  double stable_requests = 0;
  TrackHeard canary;
  TrackHeard stable;
  std::int64_t export_interval_ms = 0; // the longest known of both tracks; 0: unknown
  // Since then the canary has reported nothing while stable reported without a break; 0: unknown.
  std::int64_t silent_since_ms = 0;
  double stable_since = 0;          // requests that stable served since then
  double canary_other_requests = 0; // that the canary reported under its other version since then
  std::string silent_instances;     // a sentence about instances that stopped, of several; "": none
  bool routes_checked = false;      // as was asked for, and both tracks' routes were read
  std::string unmatched_routes;     // a sentence about routes of the spec that no request has
  std::string waiting; // a sentence about a track whose version is open and of which nothing came
  std::optional<StepAdvice> advice;
  std::string absence; // why a track has no requests although its service sends telemetry; or ""
};

// Whether it is known who reports and how the traffic is split.
inline bool is_heard(const LookResult& look) { return look.silent_since_ms != 0; }

namespace event {
// A new rollout; the state before it is State{}.
struct Start {
  RolloutId id;
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
  std::string actor;
  bool canary_open = false; // Plan's
  bool stable_open = false;
};
// A router call came back. epoch: of the call, so that the answer to a superseded call is known as
// such.
struct RouterDone {
  RouterOp op = RouterOp::read;
  std::uint64_t epoch = 0;
  std::optional<Error> error;
  double applied = 0; // read back
  std::string detail;
  std::string split_cause{}; // route::Weight::split_cause, read back with it
  // This process has sent the router nothing that could give the canary traffic.
  bool never_raised = false;
  std::string kept{}; // route::Applied::kept
};
struct Looked {
  LookResult look;
};
struct Commanded {
  Command command = Command::pause;
  std::string actor;
  std::string reason;
};
struct Tick {};
// Telemetry of the service was stored: a look may know more now. gap_ms: since the newest look, at
// least.
struct Arrived {
  std::int64_t gap_ms = 0;
};
// Every line up to this sequence is on disk.
struct JournalSynced {
  std::uint64_t sequence = 0;
};
// The first event after a restart: what was under way is not any more.
struct Recovered {};
// Something outside the machine worth a line: a notification went out or could not.
struct Noted {
  std::string kind;
  std::string text;
};
} // namespace event
using Event =
    std::variant<event::Start, event::RouterDone, event::Looked, event::Commanded, event::Tick,
                 event::Arrived, event::JournalSynced, event::Recovered, event::Noted>;

// A notification to send. event: promoted rolled_back aborted abandoned paused attention.
struct Notice {
  std::string event;
  std::string text;
};

namespace effect {
// Lines (and notices, in the same transaction) for the journal.
struct Record {
  std::vector<LogEntry> lines;
  std::vector<Notice> notices;
};
struct CallRouter {
  RouterOp op = RouterOp::read;
  double weight = 0; // set
  std::uint64_t epoch = 0;
};
struct TakeLook {
  std::uint64_t look = 0;
  std::size_t step = 0;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double age_minutes = 0;    // how long the step has been watched, for the judge's own minimum
  bool check_routes = false; // whether the routes that the spec names are there
};
} // namespace effect
// In the order in which they are to be started.
using Effect = std::variant<effect::Record, effect::CallRouter, effect::TakeLook>;

// What is under way in this process. Starts empty after every restart.
struct Live {
  std::uint64_t epoch = 0;           // grows with every new wish about the weight
  std::uint64_t synced_sequence = 0; // lines up to here are on disk
  bool set_in_flight = false;
  bool panic_in_flight = false;
  bool read_in_flight = false;
  bool look_in_flight = false;
  std::uint64_t look = 0;        // number of the newest look asked for
  std::int64_t look_started = 0; // steady
  std::int64_t look_overdue =
      0;                   // steady: a look under way that has not come back by then is reported
  bool reassert = false;   // the router has more than was asked for: set it again, without waiting
                           // for the journal
  bool await_look = false; // after a restart: a lowered weight is judged only after a look (it may
                           // be our own rollback)
  bool raised_before = false; // may_be_raised, of earlier processes
  int router_failures = 0;    // in a row
  std::int64_t retry_at = 0;  // steady; no set or panic before
  std::int64_t next_read = 0; // steady
  std::int64_t next_look = 0; // steady
  std::int64_t due = 0;       // steady; a Tick before does nothing

  // Steady times: they mean nothing in another process.
  std::int64_t watermark_steady = 0;    // when the watermark last advanced
  std::int64_t clock_steady = 0;        // no more than the time since then is observed_valid_ms
  std::int64_t source_down_steady = -1; // -1: the store answers
  std::int64_t router_down_steady = -1; // -1: the router answers
  std::string router_error;             // what it does not do, and why; "": it answers
  std::int64_t decided_steady = -1;     // of the rollback; -1: not yet, or in an earlier process

  std::int64_t read_until_ms = 0; // LookResult's, of the newest look
  bool routes_checked = false;    // in this process
  std::string waiting;            // LookResult's, of the newest look

  std::shared_ptr<const judge::Judgement> judgement; // the newest look's; null: none
  std::optional<double> observed_split;
  std::optional<StepAdvice> advice; // LookResult's
  std::int64_t judged_from_ms = 0;
  std::int64_t judged_ms = 0;
};

// What is to be done, and for whom.
struct Plan {
  RolloutId id;
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
  // Nobody named the version: it is what reported before the start, "" when nothing did, until the
  // track's first telemetry in the rollout says which it is.
  bool canary_open = false;
  bool stable_open = false;
  std::string actor;
  std::vector<StepState> steps;
  std::int64_t started_ms = 0;
};

// Where the rollout stands, and why.
struct Position {
  Phase phase = Phase::progressing;
  PauseCause pause_cause = PauseCause::none;
  std::size_t step = 0;
  std::string reason;         // the one sentence
  std::int64_t paused_ms = 0; // wall: when the newest pause began
};

struct Weight {
  double asked = 0;
  bool is_confirmed = false;         // asked was read back since it was asked for
  double confirmed = 0;              // what the router made of it
  std::optional<double> applied;     // newest read-back; empty: unknown
  std::uint64_t intent_sequence = 0; // must be on disk before the router is sent asked
  std::int64_t intent_ms = 0;        // wall
  bool intent_by_hand = false;
  // Something that gives the canary traffic may have been sent; false: certainly not.
  bool may_be_raised = false;
};

// How far the telemetry of both tracks has been seen to advance while the step was being watched.
struct StepClock {
  std::int64_t observed_valid_ms = 0;
  std::int64_t deadline_ms = 0; // of observed_valid_ms; grows by extensions
  int extends = 0;
  std::int64_t watermark_ms = 0; // wall: telemetry of both tracks was seen up to here
  judge::Decision last_decision = judge::Decision::keep_watching;
};

// What people have been notified of and what still lasts.
struct Alarms {
  bool source_noticed = false;
  bool router_noticed = false;
  bool regression_noticed = false;
  bool asked_about_processes = false; // in this step
  bool split_noticed = false;
  std::string split_cause;      // what the router knows to spoil the split; "": nothing
  std::string silent_instances; // LookResult's
  std::string unmatched_routes; // LookResult's, as it was told; "": it was not
  std::string kept;             // why the canary still has its weight in a rollback; "": it has not
};

struct End {
  Phase phase = Phase::rolled_back; // where rolling_back ends
  bool is_undo = false;             // it was promoted before, and a person takes it back
  std::int64_t decided_ms = 0;      // wall: when the rollback was decided
  std::int64_t ended_ms = 0;        // wall; 0: it runs
  double time_to_rollback_ms = 0;
};

// Everything but live is durable: the journal has it.
struct State {
  Plan plan;
  Position position;
  Weight weight;
  StepClock clock;
  Alarms alarms;
  End end;
  std::uint64_t sequence = 0; // of the newest line
  Live live;
};

struct StepOutcome {
  State state;
  std::vector<Effect> effects;
};

// Quick and pure. Events that do not apply (answers to superseded calls, commands that
// check_command refuses) change nothing.
StepOutcome step(const State& state, const Event& event, Moment now);

// Whether the command may be given now; the error says why not and what to do. OK too when what it
// asks for is already so.
Status check_command(const State& state, Command command, std::string_view reason);

// Since when telemetry is watched without a break, wall: silence before is none. 0: not yet.
std::int64_t watched_from_ms(const State& state);
// A grace is never shorter than the time in which the next export is due. interval_ms: the longest
// export interval known; 0: none is.
std::int64_t grace_for(std::int64_t grace_ms, std::int64_t interval_ms);

// The durable part of the next state, for an event that was recorded: replay without effects.
State fold(const State& state, const Event& event, Moment now);

// A change of the weight beyond this is somebody else's hand, not rounding: half a point, and less
// of a small weight, a tenth of which is as much as a tenth of a large one. Of 0 it is nothing.
inline constexpr double kWeightDrift = 0.005;
inline constexpr double kSmallWeight = 0.05;
constexpr double drift_of(double weight) {
  return weight < kSmallWeight ? kWeightDrift * weight / kSmallWeight + 1e-9 : kWeightDrift;
}
inline constexpr std::int64_t kReadEveryMs = 5'000;
inline constexpr std::int64_t kRetryMs = 1'000;
inline constexpr std::int64_t kMaxRetryMs = 10'000;
// An upward intent found after a restart is carried out only when it is younger; else its evidence
// is looked at again. Before the first step there is none: then a person confirms it.
inline constexpr std::int64_t kIntentFreshMs = 60'000;
// A look that has not come back after this long is reported as a store that does not answer, and
// waited for: it goes on where it is.
inline constexpr std::int64_t kLookOverdueMs = 30'000;
// A rollback that the router has refused for this long calls a person (and goes on trying).
inline constexpr std::int64_t kRollbackAlarmMs = 10'000;

} // namespace coalmine::rollout
