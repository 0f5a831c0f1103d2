// SPDX-License-Identifier: Apache-2.0
#include "rollout/json.h"

#include <boost/json.hpp>

#include "base/json_text.h"
#include "base/rfc3339.h"
#include "judge/reason.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

json::string text(std::string_view value) { return json::string(value.data(), value.size()); }

json::object metric_value(const judge::SignalVerdict& s) {
  json::object o;
  o["name"] = text(s.signal);
  o["route"] = text(s.route);
  o["stable"] = json_number(s.stable);
  o["canary"] = json_number(s.canary);
  o["difference"] = json_number(s.difference);
  o["relative"] = json_number(s.relative);
  if (s.lower && s.upper) {
    json::array interval;
    interval.push_back(json_number(s.lower));
    interval.push_back(json_number(s.upper));
    o["interval"] = std::move(interval);
  } else {
    o["interval"] = nullptr;
  }
  o["margin"] = text(judge::to_string(s.margin));
  o["kind"] = text(judge::to_string(s.kind));
  o["unit"] = text(judge::unit_text(s.kind, s.unit));
  if (s.approximate) o["approximate"] = true;
  o["verdict"] = text(judge::to_string(s.verdict));
  o["cause"] = text(judge::to_string(s.cause));
  o["gate"] = s.gate;
  o["canary_requests"] = s.canary_requests;
  o["stable_requests"] = s.stable_requests;
  o["reason"] = text(judge::line_sentence(s));
  if (s.evidence) {
    o["evidence"] = *s.evidence;
    o["needed_evidence"] = json_number(s.needed_evidence);
    o["detectable"] = json_number(s.detectable);
    o["minutes_left"] = json_number(s.minutes_left);
  }
  if (s.tail) {
    o["tail"] = json::object{{"boundary_ms", s.tail->boundary_ms},
                             {"canary", s.tail->canary},
                             {"stable", s.tail->stable},
                             {"allowed", s.tail->allowed}};
  }
  return o;
}

// The result object of the seed's analyzer: one key a judged signal, over all requests.
json::object results_value(const judge::Judgement& judgement) {
  json::object results;
  for (const auto& s : judgement.signals) {
    const bool judged =
        s.verdict == judge::Verdict::pass || s.verdict == judge::Verdict::regression;
    if (!s.route.empty() || !judged || !s.canary || !s.stable) continue;
    json::object o;
    if (s.kind != judge::SignalKind::latency_quantile) {
      o["canary"] = json_number(s.canary);
      o["stable"] = json_number(s.stable);
      o["diff"] = json_number(s.difference);
    } else {
      o["canary_ms"] = json_number(s.canary);
      o["stable_ms"] = json_number(s.stable);
      o["increase_pct"] = json_number(s.relative);
    }
    o["passed"] = s.verdict == judge::Verdict::pass;
    results[json::string_view(s.signal)] = std::move(o);
  }
  return results;
}

json::object verdict_value(const judge::Judgement& judgement, const VerdictContext& context) {
  json::object o;
  o["schema"] = "coalmine.verdict/v1";
  o["decision"] = text(judge::to_string(judgement.decision));
  o["service"] = text(context.service);
  o["canary_version"] = text(context.canary_version);
  o["stable_version"] = text(context.stable_version);
  o["reason"] = text(judgement.reason);
  json::object window;
  window["from"] = text(rfc3339(context.from_ms));
  window["to"] = text(rfc3339(context.to_ms));
  o["window"] = std::move(window);
  json::object requests;
  requests["canary"] = nullptr;
  requests["stable"] = nullptr;
  json::array metrics;
  for (const auto& signal : judgement.signals) {
    if (signal.route.empty() && !judge::is_metric(signal.kind) && requests["canary"].is_null()) {
      requests["canary"] = signal.canary_requests;
      requests["stable"] = signal.stable_requests;
    }
    metrics.push_back(metric_value(signal));
  }
  o["requests"] = std::move(requests);
  o["metrics"] = std::move(metrics);
  o["results"] = results_value(judgement);
  o["analysis_duration_minutes"] = judgement.analysis_duration_minutes;
  return o;
}

json::array steps_value(const std::vector<StepState>& steps) {
  json::array out;
  for (const auto& step : steps) {
    json::object o;
    o["weight"] = step.spec.weight;
    o["analyze_ms"] = step.spec.analyze_ms;
    o["min_requests"] = step.spec.min_requests;
    o["approve_manually"] = step.spec.approve_manually;
    o["started_ms"] = step.started_ms;
    o["ended_ms"] = step.ended_ms;
    o["outcome"] = text(step.outcome);
    out.push_back(std::move(o));
  }
  return out;
}

json::array log_value(const std::vector<LogEntry>& log) {
  json::array out;
  for (const auto& entry : log) {
    json::object o;
    o["sequence"] = entry.sequence;
    o["time_ms"] = entry.time_ms;
    o["kind"] = text(entry.kind);
    o["text"] = text(entry.text);
    o["actor"] = text(entry.actor);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace

std::string verdict_json(const judge::Judgement& judgement, const VerdictContext& context) {
  return json_text(verdict_value(judgement, context));
}

std::string rollout_json(const RolloutStatus& status, bool with_log) {
  json::object o;
  o["id"] = status.id.value;
  o["service"] = text(status.service);
  o["canary_version"] = text(status.canary_version);
  o["stable_version"] = text(status.stable_version);
  o["phase"] = text(to_string(status.phase));
  o["terminal"] = is_terminal(status.phase);
  o["step"] = status.step;
  o["steps"] = steps_value(status.steps);
  o["weight_asked"] = status.weight_asked;
  o["weight_applied"] = json_number(status.weight_applied);
  o["observed_split"] = json_number(status.observed_split);
  o["observed_valid_ms"] = status.observed_valid_ms;
  o["reason"] = text(status.reason);
  o["started_ms"] = status.started_ms;
  o["ended_ms"] = status.ended_ms;
  o["time_to_rollback_ms"] = status.time_to_rollback_ms;
  o["actor"] = text(status.actor);
  if (status.judgement) {
    o["judgement"] = verdict_value(*status.judgement, {.service = status.service,
                                                       .canary_version = status.canary_version,
                                                       .stable_version = status.stable_version,
                                                       .from_ms = status.judged_from_ms,
                                                       .to_ms = status.judged_ms});
  } else {
    o["judgement"] = nullptr;
  }
  if (with_log) o["log"] = log_value(status.log);
  return json_text(o);
}

} // namespace coalmine::rollout
