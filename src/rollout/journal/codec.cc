// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/codec.h"

#include <boost/json.hpp>

#include "base/json_text.h"
#include "rollout/journal/codec_words.h"
#include "rollout/json_fields.h"
#include "rollout/json_steps.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

// judge::to_string and our own, as one callable.
constexpr auto kWord = [](auto value) -> std::string_view {
  using judge::to_string;
  using rollout::to_string;
  return to_string(value);
};

StepState step_from(const json::object& o) {
  StepState step;
  for (const auto& field : step_fields()) get_field(o, field, step.spec);
  step.started_ms = get_int(o, "started_ms");
  step.ended_ms = get_int(o, "ended_ms");
  step.outcome = get_text(o, "outcome");
  return step;
}

// Versions that are open, where some are: most are named or known.
void put_open(json::object& o, bool canary, bool stable) {
  if (canary) o["canary_open"] = true;
  if (stable) o["stable_open"] = true;
}

json::object durable_value(const State& s) {
  json::object o;
  o["id"] = s.plan.id.value;
  o["canary_version"] = json_string(s.plan.canary_version);
  o["stable_version"] = json_string(s.plan.stable_version);
  put_open(o, s.plan.canary_open, s.plan.stable_open);
  o["actor"] = json_string(s.plan.actor);
  o["phase"] = json_string(to_string(s.position.phase));
  o["end_phase"] = json_string(to_string(s.end.phase));
  o["pause_cause"] = json_string(to_string(s.position.pause_cause));
  o["step"] = s.position.step;
  o["steps"] = steps_value(s.plan.steps);
  o["weight_asked"] = s.weight.asked;
  o["confirmed"] = s.weight.is_confirmed;
  o["weight_confirmed"] = s.weight.confirmed;
  o["weight_applied"] = json_number(s.weight.applied);
  o["sequence"] = s.sequence;
  o["intent_sequence"] = s.weight.intent_sequence;
  o["intent_ms"] = s.weight.intent_ms;
  o["intent_by_hand"] = s.weight.intent_by_hand;
  o["may_be_raised"] = s.weight.may_be_raised;
  o["observed_valid_ms"] = s.clock.observed_valid_ms;
  o["deadline_ms"] = s.clock.deadline_ms;
  o["extends"] = s.clock.extends;
  o["watermark_ms"] = s.clock.watermark_ms;
  o["source_noticed"] = s.alarms.source_noticed;
  o["router_noticed"] = s.alarms.router_noticed;
  o["regression_noticed"] = s.alarms.regression_noticed;
  o["asked_about_processes"] = s.alarms.asked_about_processes;
  o["split_noticed"] = s.alarms.split_noticed;
  o["split_cause"] = json_string(s.alarms.split_cause);
  o["silent_instances"] = json_string(s.alarms.silent_instances);
  o["unmatched_routes"] = json_string(s.alarms.unmatched_routes);
  if (!s.alarms.kept.empty()) o["kept"] = json_string(s.alarms.kept);
  o["paused_ms"] = s.position.paused_ms;
  o["last_decision"] = json_string(judge::to_string(s.clock.last_decision));
  o["reason"] = json_string(s.position.reason);
  o["started_ms"] = s.plan.started_ms;
  o["ended_ms"] = s.end.ended_ms;
  o["decided_ms"] = s.end.decided_ms;
  if (s.end.is_undo) o["is_undo"] = true;
  o["time_to_rollback_ms"] = s.end.time_to_rollback_ms;
  return o;
}

void put_heard(json::object& o, const std::string& track, const TrackHeard& heard) {
  o[track + "last_ms"] = heard.last_ms;
  o[track + "heard_ms"] = heard.heard_ms;
  o[track + "other_version"] = json_string(heard.other_version);
  if (heard.first_version) o[track + "first_version"] = json_string(*heard.first_version);
}

TrackHeard heard_from(const json::object& o, const std::string& track) {
  TrackHeard out{get_int(o, track + "last_ms"), get_int(o, track + "heard_ms"),
                 get_text(o, track + "other_version")};
  if (o.contains(track + "first_version")) out.first_version = get_text(o, track + "first_version");
  return out;
}

json::object look_value(const LookResult& look) {
  json::object o;
  o["look"] = look.look;
  o["step"] = look.step;
  o["from_ms"] = look.from_ms;
  o["to_ms"] = look.to_ms;
  o["decision"] = json_string(judge::to_string(look.judgement->decision));
  o["reason"] = json_string(look.judgement->reason);
  o["source_error"] = json_string(look.source_error);
  o["split_problem"] = json_string(look.split_problem);
  o["canary_requests"] = look.canary_requests;
  o["stable_requests"] = look.stable_requests;
  put_heard(o, "canary_", look.canary);
  put_heard(o, "stable_", look.stable);
  o["export_interval_ms"] = look.export_interval_ms;
  o["silent_since_ms"] = look.silent_since_ms;
  o["stable_since"] = look.stable_since;
  o["canary_other_requests"] = look.canary_other_requests;
  o["silent_instances"] = json_string(look.silent_instances);
  if (!look.unmatched_routes.empty()) o["unmatched_routes"] = json_string(look.unmatched_routes);
  if (!look.waiting.empty()) o["waiting"] = json_string(look.waiting);
  if (!look.absence.empty()) o["absence"] = json_string(look.absence);
  o["under_way"] = look.under_way;
  o["read_until_ms"] = look.read_until_ms;
  o["judgement_incomplete"] = look.judgement_incomplete;
  return o;
}

LookResult look_from(const json::object& o) {
  LookResult look;
  look.look = static_cast<std::uint64_t>(get_int(o, "look"));
  look.step = static_cast<std::size_t>(get_int(o, "step"));
  look.from_ms = get_int(o, "from_ms");
  look.to_ms = get_int(o, "to_ms");
  judge::Judgement judgement;
  judgement.decision = from_word(get_text(o, "decision"), kDecisions, kWord);
  judgement.reason = get_text(o, "reason");
  look.judgement = std::make_shared<const judge::Judgement>(std::move(judgement));
  look.source_error = get_text(o, "source_error");
  look.split_problem = get_text(o, "split_problem");
  look.canary_requests = get_double(o, "canary_requests");
  look.stable_requests = get_double(o, "stable_requests");
  look.canary = heard_from(o, "canary_");
  look.stable = heard_from(o, "stable_");
  look.export_interval_ms = get_int(o, "export_interval_ms");
  look.silent_since_ms = get_int(o, "silent_since_ms");
  look.stable_since = get_double(o, "stable_since");
  look.canary_other_requests = get_double(o, "canary_other_requests");
  look.silent_instances = get_text(o, "silent_instances");
  look.unmatched_routes = get_text(o, "unmatched_routes");
  look.waiting = get_text(o, "waiting");
  look.absence = get_text(o, "absence");
  look.under_way = get_bool(o, "under_way");
  look.read_until_ms = get_int(o, "read_until_ms");
  look.judgement_incomplete = get_bool(o, "judgement_incomplete");
  return look;
}

// One overload an event: fills o and names it.
struct EventWriter {
  json::object& o;
  std::string_view operator()(const event::Start& e) const {
    o["id"] = e.id.value;
    o["canary_version"] = json_string(e.canary_version);
    o["stable_version"] = json_string(e.stable_version);
    put_open(o, e.canary_open, e.stable_open);
    o["actor"] = json_string(e.actor);
    return "start";
  }
  std::string_view operator()(const event::RouterDone& e) const {
    o["op"] = json_string(to_string(e.op));
    o["epoch"] = e.epoch;
    o["applied"] = e.applied;
    o["detail"] = json_string(e.detail);
    if (!e.split_cause.empty()) o["split_cause"] = json_string(e.split_cause);
    if (!e.kept.empty()) o["kept"] = json_string(e.kept);
    if (e.never_raised) o["never_raised"] = true;
    if (e.error) {
      o["error_code"] = json_string(to_string(e.error->code));
      o["error"] = json_string(e.error->message);
    }
    return "router_done";
  }
  std::string_view operator()(const event::Looked& e) const {
    o = look_value(e.look);
    return "looked";
  }
  std::string_view operator()(const event::Commanded& e) const {
    o["command"] = json_string(word(e.command));
    o["actor"] = json_string(e.actor);
    o["reason"] = json_string(e.reason);
    return "commanded";
  }
  std::string_view operator()(const event::Tick&) const { return "tick"; }
  std::string_view operator()(const event::Arrived& e) const {
    o["gap_ms"] = e.gap_ms;
    return "arrived";
  }
  std::string_view operator()(const event::JournalSynced& e) const {
    o["sequence"] = e.sequence;
    return "journal_synced";
  }
  std::string_view operator()(const event::Recovered&) const { return "recovered"; }
  std::string_view operator()(const event::Noted& e) const {
    o["kind"] = json_string(e.kind);
    o["text"] = json_string(e.text);
    return "noted";
  }
};

event::RouterDone router_done_from(const json::object& o) {
  event::RouterDone done;
  done.op = from_word(get_text(o, "op"), kRouterOps, kWord);
  done.epoch = static_cast<std::uint64_t>(get_int(o, "epoch"));
  done.applied = get_double(o, "applied");
  done.detail = get_text(o, "detail");
  done.split_cause = get_text(o, "split_cause");
  done.kept = get_text(o, "kept");
  done.never_raised = get_bool(o, "never_raised");
  if (o.contains("error")) {
    done.error = Error{from_word(get_text(o, "error_code"), kErrorCodes,
                                 [](ErrorCode code) { return coalmine::to_string(code); }),
                       get_text(o, "error")};
  }
  return done;
}

} // namespace

std::string durable_text(const State& state) { return json_text(durable_value(state)); }

std::string encode_state(const State& state) {
  auto o = durable_value(state);
  const auto& live = state.live;
  // A rollout that goes on is judged again by its next look.
  if (live.judgement && state.position.phase != Phase::progressing)
    o["judgement"] = judgement_value(*live.judgement);
  o["observed_split"] = json_number(live.observed_split);
  o["judged_from_ms"] = live.judged_from_ms;
  o["judged_ms"] = live.judged_ms;
  return json_text(o);
}

Result<State> decode_state(std::string_view encoded) {
  TRY_ASSIGN(const auto value, parse_json(encoded, "rollout state in the journal"));
  const auto* o = value.if_object();
  if (o == nullptr)
    return fail(ErrorCode::data_loss, "the rollout state in the journal is not an object");
  State s;
  s.plan.id.value = static_cast<std::uint64_t>(get_int(*o, "id"));
  s.plan.canary_version = get_text(*o, "canary_version");
  s.plan.stable_version = get_text(*o, "stable_version");
  s.plan.canary_open = get_bool(*o, "canary_open");
  s.plan.stable_open = get_bool(*o, "stable_open");
  s.plan.actor = get_text(*o, "actor");
  s.position.phase = from_word(get_text(*o, "phase"), kPhases, kWord);
  s.end.phase = from_word(get_text(*o, "end_phase"), kPhases, kWord);
  s.position.pause_cause = from_word(get_text(*o, "pause_cause"), kPauseCauses, kWord);
  s.position.step = static_cast<std::size_t>(get_int(*o, "step"));
  if (const auto* steps = get_array(*o, "steps")) {
    for (const auto& step : *steps) {
      if (const auto* each = step.if_object()) s.plan.steps.push_back(step_from(*each));
    }
  }
  if (s.position.step >= s.plan.steps.size())
    return fail(ErrorCode::data_loss,
                "the rollout state in the journal names a step that it does not have");
  s.weight.asked = get_double(*o, "weight_asked");
  s.weight.is_confirmed = get_bool(*o, "confirmed");
  s.weight.confirmed = get_double(*o, "weight_confirmed");
  s.weight.applied = get_optional(*o, "weight_applied");
  s.sequence = static_cast<std::uint64_t>(get_int(*o, "sequence"));
  s.weight.intent_sequence = static_cast<std::uint64_t>(get_int(*o, "intent_sequence"));
  s.weight.intent_ms = get_int(*o, "intent_ms");
  s.weight.intent_by_hand = get_bool(*o, "intent_by_hand");
  s.weight.may_be_raised = get_bool(*o, "may_be_raised", true); // older journals do not say
  s.clock.observed_valid_ms = get_int(*o, "observed_valid_ms");
  s.clock.deadline_ms = get_int(*o, "deadline_ms");
  s.clock.extends = static_cast<int>(get_int(*o, "extends"));
  s.clock.watermark_ms = get_int(*o, "watermark_ms");
  s.alarms.source_noticed = get_bool(*o, "source_noticed");
  s.alarms.router_noticed = get_bool(*o, "router_noticed");
  s.alarms.regression_noticed = get_bool(*o, "regression_noticed");
  s.alarms.asked_about_processes = get_bool(*o, "asked_about_processes");
  s.alarms.split_noticed = get_bool(*o, "split_noticed");
  s.alarms.split_cause = get_text(*o, "split_cause");
  s.alarms.silent_instances = get_text(*o, "silent_instances");
  s.alarms.unmatched_routes = get_text(*o, "unmatched_routes");
  s.alarms.kept = get_text(*o, "kept");
  s.position.paused_ms = get_int(*o, "paused_ms");
  s.clock.last_decision = from_word(get_text(*o, "last_decision"), kDecisions, kWord);
  s.position.reason = get_text(*o, "reason");
  s.plan.started_ms = get_int(*o, "started_ms");
  s.end.ended_ms = get_int(*o, "ended_ms");
  s.end.decided_ms = get_int(*o, "decided_ms");
  s.end.is_undo = get_bool(*o, "is_undo");
  s.end.time_to_rollback_ms = get_double(*o, "time_to_rollback_ms");
  if (const auto* judgement = get_object(*o, "judgement"))
    s.live.judgement = std::make_shared<const judge::Judgement>(judgement_from(*judgement));
  s.live.observed_split = get_optional(*o, "observed_split");
  s.live.judged_from_ms = get_int(*o, "judged_from_ms");
  s.live.judged_ms = get_int(*o, "judged_ms");
  return s;
}

std::string encode_event(const Event& event, Moment now) {
  json::object body;
  const auto name = std::visit(EventWriter{body}, event);
  json::object o;
  o["wall_ms"] = now.wall_ms;
  o["steady_ms"] = now.steady_ms;
  o["event"] = json_string(name);
  o["with"] = std::move(body);
  return json_text(o);
}

Result<std::pair<Event, Moment>> decode_event(std::string_view encoded,
                                              const std::shared_ptr<const RolloutSpec>& spec) {
  TRY_ASSIGN(const auto value, parse_json(encoded, "event in the journal"));
  const auto* outer = value.if_object();
  const auto* o = outer == nullptr ? nullptr : get_object(*outer, "with");
  if (o == nullptr) return fail(ErrorCode::data_loss, "an event in the journal is not an object");
  const Moment now{get_int(*outer, "wall_ms"), get_int(*outer, "steady_ms")};
  const auto name = get_text(*outer, "event");
  const auto made = [&](Event event) {
    return Result<std::pair<Event, Moment>>(std::pair(std::move(event), now));
  };
  if (name == "start") {
    return made(event::Start{RolloutId{static_cast<std::uint64_t>(get_int(*o, "id"))}, spec,
                             get_text(*o, "canary_version"), get_text(*o, "stable_version"),
                             get_text(*o, "actor"), get_bool(*o, "canary_open"),
                             get_bool(*o, "stable_open")});
  }
  if (name == "router_done") return made(router_done_from(*o));
  if (name == "looked") return made(event::Looked{look_from(*o)});
  if (name == "commanded") {
    return made(event::Commanded{
        from_word(get_text(*o, "command"), kCommands, [](Command c) { return word(c); }),
        get_text(*o, "actor"), get_text(*o, "reason")});
  }
  if (name == "tick") return made(event::Tick{});
  if (name == "arrived") return made(event::Arrived{get_int(*o, "gap_ms")});
  if (name == "journal_synced")
    return made(event::JournalSynced{static_cast<std::uint64_t>(get_int(*o, "sequence"))});
  if (name == "recovered") return made(event::Recovered{});
  if (name == "noted") return made(event::Noted{get_text(*o, "kind"), get_text(*o, "text")});
  return fail(ErrorCode::data_loss,
              "the journal has an event named " + name + ", which this version does not know");
}

} // namespace coalmine::rollout
