// A rollout's configuration in plain sentences.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "app/config.h"
#include "app/config_values.h"

namespace coalmine::app {
namespace {

std::string selector_text(const rollout::AttributeSelector& selector) {
  std::string out;
  for (const auto& [name, value] : selector) out += fmt::format("{}{}={}", out.empty() ? "" : " and ", name, value);
  return out;
}

std::string margin_text(const judge::SignalSpec& signal) {
  const auto& margin = signal.margin;
  switch (margin.unit) {
    case judge::Margin::Unit::points: return fmt::format("{:g} percentage points above stable", margin.amount * 100);
    case judge::Margin::Unit::percent: return fmt::format("{:g}% above stable", margin.amount * 100);
    case judge::Margin::Unit::millis: return fmt::format("{:g} ms above stable", margin.amount);
  }
  return "";
}

std::string signal_name(const judge::SignalSpec& signal) {
  if (signal.kind == judge::SignalKind::error_rate) return "the error rate";
  return fmt::format("the p{:g} latency", signal.quantile * 100);
}

std::string max_text(const judge::SignalSpec& signal) {
  if (!signal.max) return "";
  const bool ratio = signal.kind == judge::SignalKind::error_rate;
  return ratio ? fmt::format(", or above {} whatever stable does", percent_text(*signal.max))
               : fmt::format(", or above {:g} ms whatever stable does", *signal.max);
}

std::string steps_text(const rollout::RolloutSpec& spec) {
  std::string out = "Steps: ";
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const auto& step = spec.steps[i];
    out += fmt::format("{}{}", i == 0 ? "" : ", then ", percent_text(step.weight));
    if (step.analyze_ms > 0) out += fmt::format(" for {}", duration_text(step.analyze_ms));
    if (step.analyze_ms > 0 && step.min_requests != spec.min_requests) out += fmt::format(" and {:g} requests", step.min_requests);
    if (step.approve_manually) out += " until a person promotes";
  }
  return out + fmt::format(". A gate opens only after the canary has served enough requests ({:g} unless the step says otherwise).\n",
                           spec.min_requests);
}

std::string signals_text(const rollout::RolloutSpec& spec) {
  std::string_view action = "Roll back";
  if (spec.on_fail == rollout::PolicyAction::pause) action = "Pause and call a person";
  if (spec.on_fail == rollout::PolicyAction::notify) action = "Only notify";
  std::string out;
  for (const auto& signal : spec.signals) {
    const std::string where =
        signal.per_route ? fmt::format("of the whole service or of any route with {:g} requests or more", spec.min_route_requests)
                         : "of the whole service";
    if (signal.gate && spec.judge == "sequential") {
      const std::string margin = signal.automatic
                                     ? "half of stable's own rate (at least 0.2, at most 0.5 percentage points) or 20% of it above stable"
                                     : margin_text(signal);
      const std::string proof = spec.strict ? "is proven to be more than " : "is proven to be worse than stable, and is more than ";
      out += fmt::format("{} when {} {} {}{}{}.{}\n", action, signal_name(signal), where, proof, margin, max_text(signal),
                         signal.if_decidable ? " Promotion waits for it only when the traffic can decide it." : "");
    } else if (signal.gate) {
      out += fmt::format("{} when {} {} is more than {}{}.\n", action, signal_name(signal), where, margin_text(signal), max_text(signal));
    } else {
      out += fmt::format("Show, without deciding on it, {} {}.\n", signal_name(signal), where);
    }
  }
  return out;
}

std::string router_text(const rollout::RouterSpec& router) {
  if (router.kind == rollout::RouterSpec::Kind::observe) return "Traffic is only watched, not moved (router: observe).\n";
  const auto& haproxy = router.haproxy;
  if (!haproxy.map.empty()) {
    return fmt::format("Traffic moves through HAProxy at {}: key {} of map {}.\n", haproxy.socket, haproxy.map_key, haproxy.map);
  }
  return fmt::format("Traffic moves through HAProxy at {}: weights of {} (stable) and {} (canary) in backend {}.\n", haproxy.socket,
                     fmt::join(haproxy.stable_servers, ", "), fmt::join(haproxy.canary_servers, ", "), haproxy.backend);
}

std::string notify_text(const rollout::RolloutSpec& spec) {
  std::string out;
  for (const auto& notify : spec.notify) {
    const bool slack = notify.kind == rollout::NotifySpec::Kind::slack;
    const std::string events = notify.events.empty() ? "every end and every pause" : fmt::format("{}", fmt::join(notify.events, ", "));
    out += fmt::format("Tell {} about: {}.\n", slack ? "Slack" : notify.secret.empty() ? "a webhook" : "a webhook (signed)", events);
  }
  return out;
}

} // namespace

std::string explain(const rollout::RolloutSpec& spec) {
  std::string out = fmt::format("{}{}\n", spec.service, spec.environment.empty() ? "" : fmt::format(" in {}", spec.environment));
  out += fmt::format("Canary is what reports {}; stable is what reports {}.\n", selector_text(spec.canary), selector_text(spec.stable));
  out += steps_text(spec);
  out += signals_text(spec);
  if (!spec.ignore_routes.empty()) out += fmt::format("Routes left out: {}.\n", fmt::join(spec.ignore_routes, ", "));
  if (spec.max_extends == 0) {
    out += "Undecided at a gate: pause and call a person.\n";
  } else {
    out += fmt::format("Undecided at a gate: wait {} more, at most {}, then pause and call a person.\n",
                       spec.extend_ms > 0 ? duration_text(spec.extend_ms) : "the step's own time",
                       spec.max_extends == 1 ? "once" : fmt::format("{} times", spec.max_extends));
  }
  if (spec.router.kind != rollout::RouterSpec::Kind::observe) {
    out += fmt::format("A canary that is sent requests and reports nothing for {} while stable reports: {}.\n",
                       duration_text(spec.canary_silent_grace_ms),
                       spec.on_canary_silent == rollout::PolicyAction::rollback ? "roll back" : "pause and call a person");
  }
  out += fmt::format("No telemetry for {}: pause and call a person. Missing data never promotes.\n", duration_text(spec.no_data_grace_ms));
  out += router_text(spec.router);
  out += notify_text(spec);
  out += fmt::format("A single `coalmine analyze` looks back {} and promotes only a canary that is at least {:g} minutes old.\n",
                     duration_text(spec.analysis_window_ms), spec.min_analysis_minutes);
  return out + fmt::format("Config {}\n", spec.config_hash.substr(0, 12));
}

} // namespace coalmine::app
