// The working copy inside one step() of the machine. Private to machine*.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "rollout/machine.h"
#include "rollout/words.h"

namespace coalmine::rollout {

// Holds the next state while one event is applied, and collects the lines and notices it causes.
// Lives for one step(), on the control thread. apply() touches the durable part only together with
// a line; drive() touches Live only.
class MachineStep {
 public:
  MachineStep(const State& state, Moment now) : s_(state), now_(now) {}

  // Clears what came back from flight; false: the event does not apply any more.
  bool admit(const Event& event);
  void apply(const Event& event);
  // Starts what the state calls for and nothing else has started: level-triggered, so a lost event
  // costs one tick.
  StepOutcome drive() &&;
  State take_state() && { return std::move(s_); }

 private:
  void on(const event::Start& start);
  void on(const event::RouterDone& done);
  void on(const event::Looked& looked);
  void on(const event::Commanded& command);
  void on(const event::Tick&) {}
  void on(const event::Arrived& arrived);
  void on(const event::JournalSynced& synced);
  void on(const event::Recovered&);
  // True: a version that was open is known now, and the next look filters by it.
  bool learn_versions(const LookResult& look);
  void on(const event::Noted& noted) { line(noted.kind, noted.text); }

  // machine_weight.cc, machine_clock.cc and machine.cc
  void ask(std::size_t step, std::string text);
  void intend();
  void set_done(const event::RouterDone& done);
  void panic_done(const event::RouterDone& done);
  void read_done(const event::RouterDone& done);
  void read_unconfirmed(const event::RouterDone& done);
  void confirm(const event::RouterDone& done);
  void router_failed(const event::RouterDone& done);
  std::string failure_of(RouterOp op) const; // "the canary could not be set to 5%"
  void router_answers();
  void note_split_cause(const event::RouterDone& done);
  // Somebody has set the router lower than was confirmed.
  bool is_lowered() const;
  void pause_for_lower_weight(double applied);
  std::string rolling_back_text(std::string_view why) const;
  void begin_rollback(std::string_view kind, std::string text, Phase end, const std::string& actor);
  void keep_serving(const event::RouterDone& done);
  void finish_rollback(std::string_view but);
  void finish_unmoved();
  void finish_never_raised();
  bool never_raised(const event::RouterDone& done) const;
  void pause(PauseCause cause, std::string text, const std::string& actor = "coalmine");
  void resume(const event::Commanded& command);
  void abandon(const event::Commanded& command);
  void promote_full(const event::Commanded& command);
  void undo(const event::Commanded& command);
  std::string how_promoted() const;
  void send_unwatched(const event::Commanded& command); // to 100 %, as a person said
  void restart_clock();
  void call_router(RouterOp op, double weight);
  void drive_router();
  void drive_look();
  bool routes_are_due() const;
  // False: the router only watches. Then no sentence may say that traffic went anywhere.
  bool moves_traffic() const { return route::moves_traffic(s_.plan.spec->router); }
  bool last_step() const { return s_.position.step + 1 == s_.plan.steps.size(); }

  // machine_silence.cc: what is missing
  bool source_answers(const LookResult& look);
  void note_instances(const LookResult& look);
  bool canary_silent(const LookResult& look);
  std::string no_data_text(const LookResult& look) const;
  bool no_data(const LookResult& look);
  void end_no_data(const LookResult& look);

  // machine_gate.cc: what looks lead to
  void regression(const LookResult& look);
  void ask_about_processes(const LookResult& look);
  bool advance_clock(const LookResult& look);
  void note_split(const LookResult& look);
  void note_routes(const LookResult& look);
  void gate(const LookResult& look);
  void undecided(const LookResult& look);
  void pass_gate(std::string outcome, std::string kind, std::string text, const std::string& actor);
  std::int64_t extension_ms() const;

  void line(std::string_view kind, std::string text, std::string_view actor = "coalmine");
  void notice(std::string_view event, std::string text) {
    notices_.push_back({std::string(event), std::move(text)});
  }
  std::string named() const; // "checkout-service 2.4.0"

  State s_;
  const Moment now_;
  std::vector<LogEntry> lines_;
  std::vector<Notice> notices_;
  std::vector<Effect> calls_;
};

inline constexpr std::string_view kNothingMoved = "nothing was moved (router: observe)";
bool terminal_or_rolling_back(const State& state);

} // namespace coalmine::rollout
