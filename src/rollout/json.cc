// SPDX-License-Identifier: Apache-2.0
#include "rollout/json.h"

#include <boost/json.hpp>

#include "base/json_text.h"
#include "base/rfc3339.h"
#include "judge/reason.h"
#include "rollout/json_steps.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

json::object metric_value(const judge::SignalVerdict& s) {
  json::object o;
  o["name"] = json_string(s.subject.signal);
  o["route"] = json_string(s.subject.route);
  o["stable"] = json_number(s.measured.stable);
  o["canary"] = json_number(s.measured.canary);
  o["difference"] = json_number(s.measured.difference);
  o["relative"] = json_number(s.measured.relative);
  if (s.measured.lower && s.measured.upper) {
    json::array interval;
    interval.push_back(json_number(s.measured.lower));
    interval.push_back(json_number(s.measured.upper));
    o["interval"] = std::move(interval);
    if (s.measured.level > 0) o["interval_level"] = s.measured.level;
  } else {
    o["interval"] = nullptr;
  }
  o["margin"] = json_string(judge::allowed_text(s));
  o["kind"] = json_string(judge::to_string(s.subject.kind));
  o["unit"] = json_string(judge::unit_text(s.subject.kind, s.subject.unit));
  if (s.measured.approximate) o["approximate"] = true;
  o["verdict"] = json_string(judge::to_string(s.verdict));
  o["cause"] = json_string(judge::to_string(s.cause));
  o["gate"] = s.subject.gate;
  o["canary_requests"] = s.requests.canary;
  o["stable_requests"] = s.requests.stable;
  o["reason"] = json_string(judge::line_sentence(s));
  if (s.weighed) {
    o["evidence"] = s.weighed->evidence;
    o["needed_evidence"] = json_number(s.weighed->needed);
    o["detectable"] = json_number(s.outlook.detectable);
    o["minutes_left"] = json_number(s.outlook.minutes_left);
  }
  if (s.measured.tail) {
    o["tail"] = json::object{{"boundary_ms", s.measured.tail->boundary_ms},
                             {"canary", s.measured.tail->canary},
                             {"stable", s.measured.tail->stable},
                             {"allowed", s.measured.tail->allowed}};
  }
  return o;
}

// The result object of the seed's analyzer: one key a judged signal, over all requests.
json::object results_value(const judge::Judgement& judgement) {
  json::object results;
  for (const auto& s : judgement.signals) {
    const bool judged =
        s.verdict == judge::Verdict::pass || s.verdict == judge::Verdict::regression;
    if (!s.subject.route.empty() || !judged || !s.measured.canary || !s.measured.stable) continue;
    json::object o;
    if (s.subject.kind != judge::SignalKind::latency_quantile) {
      o["canary"] = json_number(s.measured.canary);
      o["stable"] = json_number(s.measured.stable);
      o["diff"] = json_number(s.measured.difference);
    } else {
      o["canary_ms"] = json_number(s.measured.canary);
      o["stable_ms"] = json_number(s.measured.stable);
      o["increase_pct"] = json_number(s.measured.relative);
    }
    o["passed"] = s.verdict == judge::Verdict::pass;
    results[json::string_view(s.subject.signal)] = std::move(o);
  }
  return results;
}

json::object trial_value(const judge::StableTrial& trial) {
  return {{"processes", trial.processes},
          {"minutes", trial.minutes},
          {"rolled_back", trial.rolled_back},
          {"asked", trial.asked},
          {"widen", trial.widen}};
}

json::object verdict_value(const judge::Judgement& judgement, const VerdictContext& context) {
  json::object o;
  o["schema"] = "coalmine.verdict/v1";
  o["decision"] = json_string(judge::to_string(judgement.decision));
  o["service"] = json_string(context.service);
  o["canary_version"] = json_string(context.canary_version);
  o["stable_version"] = json_string(context.stable_version);
  o["reason"] = json_string(judgement.reason);
  if (!context.beside_rollout.empty()) o["beside_rollout"] = json_string(context.beside_rollout);
  json::object window;
  window["from"] = json_string(rfc3339(context.from_ms));
  window["to"] = json_string(rfc3339(context.to_ms));
  o["window"] = std::move(window);
  json::object requests;
  requests["canary"] = nullptr;
  requests["stable"] = nullptr;
  json::array metrics;
  for (const auto& signal : judgement.signals) {
    if (signal.subject.route.empty() && !judge::is_metric(signal.subject.kind) &&
        requests["canary"].is_null()) {
      requests["canary"] = signal.requests.canary;
      requests["stable"] = signal.requests.stable;
    }
    metrics.push_back(metric_value(signal));
  }
  o["requests"] = std::move(requests);
  o["metrics"] = std::move(metrics);
  o["results"] = results_value(judgement);
  o["analysis_duration_minutes"] = judgement.analysis_duration_minutes;
  if (!judgement.guarantee.empty()) o["guarantee"] = json_string(judgement.guarantee);
  if (judgement.trial) o["trial"] = trial_value(*judgement.trial);
  return o;
}

json::array log_value(const SharedVector<LogEntry>& log) {
  json::array out;
  for (const auto& entry : log) {
    json::object o;
    o["sequence"] = entry.sequence;
    o["time_ms"] = entry.time_ms;
    o["kind"] = json_string(entry.kind);
    o["text"] = json_string(entry.text);
    o["actor"] = json_string(entry.actor);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace

std::string verdict_json(const judge::Judgement& judgement, const VerdictContext& context) {
  return json_text(verdict_value(judgement, context));
}

std::string rollout_json(const RolloutStatus& status, WithLog with_log) {
  json::object o;
  o["id"] = status.id.value;
  o["service"] = json_string(status.service);
  o["canary_version"] = json_string(status.canary_version);
  o["stable_version"] = json_string(status.stable_version);
  o["phase"] = json_string(to_string(status.phase));
  o["condition"] = json_string(to_string(status.condition));
  o["terminal"] = is_terminal(status.phase);
  o["step"] = status.step;
  o["steps"] = steps_value(status.steps);
  o["moves_traffic"] = status.moves_traffic;
  o["weight_asked"] = status.weight_asked;
  o["weight_applied"] = json_number(status.weight_applied);
  o["observed_split"] = json_number(status.observed_split);
  o["observed_valid_ms"] = status.observed_valid_ms;
  o["reason"] = json_string(status.reason);
  o["started_ms"] = status.started_ms;
  o["ended_ms"] = status.ended_ms;
  o["time_to_rollback_ms"] = status.time_to_rollback_ms;
  o["actor"] = json_string(status.actor);
  if (status.judgement) {
    o["judgement"] = verdict_value(*status.judgement, {.service = status.service,
                                                       .canary_version = status.canary_version,
                                                       .stable_version = status.stable_version,
                                                       .from_ms = status.judged_from_ms,
                                                       .to_ms = status.judged_ms});
  } else {
    o["judgement"] = nullptr;
  }
  if (status.advice) {
    json::object advice;
    advice["sentence"] = json_string(status.advice->sentence);
    if (!status.advice->steps.empty()) advice["steps"] = json_string(status.advice->steps);
    o["advice"] = std::move(advice);
  }
  if (with_log == WithLog::yes) o["log"] = log_value(status.log);
  return json_text(o);
}

} // namespace coalmine::rollout
