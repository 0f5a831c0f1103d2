// A rollout's configuration in plain sentences.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cstdint>

#include "base/check.h"
#include "config/config.h"
#include "config/config_fields.h"
#include "config/config_values.h"
#include "judge/reason.h"
#include "rollout/track_selection.h"
#include "rollout/validate.h"

namespace coalmine::config {
namespace {

constexpr std::int64_t kUsualExportMs = 60'000;

std::string selection_text(const rollout::TrackSelection& selection) {
  auto out = rollout::to_text(selection.with);
  if (selection.without) out += " but not " + rollout::to_text({*selection.without});
  return out;
}

std::string margin_text(const judge::SignalSpec& signal) {
  const auto& margin = signal.margin;
  const std::string_view side = margin.worse == judge::Worse::higher  ? "above stable"
                                : margin.worse == judge::Worse::lower ? "below stable"
                                                                      : "away from stable";
  switch (margin.unit) {
    case judge::Margin::Unit::points:
      return fmt::format("{:g} percentage points {}", margin.amount * 100, side);
    case judge::Margin::Unit::percent: return fmt::format("{:g}% {}", margin.amount * 100, side);
    case judge::Margin::Unit::millis: return fmt::format("{:g} ms {}", margin.amount, side);
    case judge::Margin::Unit::seconds: return fmt::format("{:g} s {}", margin.amount, side);
    case judge::Margin::Unit::bytes:
      return fmt::format("{} {}", judge::format_value(signal.kind, margin.amount, signal.unit),
                         side);
    case judge::Margin::Unit::per_second:
      return fmt::format("{:g} a second {}", margin.amount, side);
  }
  return "";
}

std::string signal_name(const judge::SignalSpec& signal) {
  if (signal.kind == judge::SignalKind::error_rate) return "the error rate";
  if (signal.kind == judge::SignalKind::latency_quantile)
    return fmt::format("the p{:g} latency", signal.quantile * 100);
  if (signal.kind == judge::SignalKind::request_share) return "the share of requests";
  if (signal.kind == judge::SignalKind::client_error_rate) return "the share of 4xx answers";
  return signal.name;
}

std::string max_text(const judge::SignalSpec& signal) {
  if (!signal.max) return "";
  const std::string limit = judge::unit_text(signal.kind, signal.unit) == "ratio"
                                ? percent_text(*signal.max)
                                : judge::format_value(signal.kind, *signal.max, signal.unit);
  return fmt::format(", or {} {} whatever stable does",
                     signal.margin.worse == judge::Worse::lower ? "below" : "above", limit);
}

std::string steps_text(const rollout::RolloutSpec& spec) {
  std::string out = "Steps: ";
  for (std::size_t i = 0; i < spec.steps.size(); ++i) {
    const auto& step = spec.steps[i];
    out += fmt::format("{}{}", i == 0 ? "" : ", then ", percent_text(step.weight));
    if (step.analyze_ms > 0) out += fmt::format(" for {}", duration_text(step.analyze_ms));
    if (step.analyze_ms > 0 && step.min_requests != spec.min_requests)
      out += fmt::format(" and {:g} requests", step.min_requests);
    if (step.approve_manually) out += " until a person promotes";
  }
  if (!rollout::watches_something(spec)) {
    return out +
           " at once. Nothing is watched before it, so a rollout waits from its start until a "
           "person promotes.\n";
  }
  if (const auto note = short_step_note(spec); !note.empty()) out += ". " + note;
  return out + fmt::format(
                   ". A gate opens only after the canary has served enough requests ({:g} unless "
                   "the step says otherwise).\n",
                   spec.min_requests);
}

std::string signals_text(const rollout::RolloutSpec& spec) {
  std::string_view action = "Roll back";
  if (spec.on_fail == rollout::PolicyAction::pause) action = "Pause and call a person";
  if (spec.on_fail == rollout::PolicyAction::notify) action = "Only notify";
  std::string out;
  for (const auto& signal : spec.signals) {
    const std::string where =
        judge::is_metric(signal.kind) || spec.judge == "mann_whitney" ? "of the whole service"
        : signal.kind == judge::SignalKind::request_share
            ? fmt::format("of any route with {:g} requests or more", spec.min_route_requests)
        : signal.per_route
            ? fmt::format("of the whole service or of any route with {:g} requests or more",
                          spec.min_route_requests)
            : "of the whole service";
    if (signal.kind == judge::SignalKind::restarts) {
      out += fmt::format(
          "{} when an instance of the canary restarts more than {:g} times in 10 minutes while "
          "none of stable's does.\n",
          signal.gate ? action : "Show, without deciding on it,", signal.max.value_or(0));
    } else if (signal.gate && spec.judge == "mann_whitney") {
      out += fmt::format("Score {} {} with a rank test.\n", signal_name(signal),
                         "of the whole service");
    } else if (signal.gate && spec.judge == "sequential") {
      const std::string margin = signal.automatic
                                     ? "half of stable's own rate (at least 0.2, at most 0.5 "
                                       "percentage points) or 20% of it above stable"
                                     : margin_text(signal);
      const std::string proof = spec.strict
                                    ? "is proven to be more than "
                                    : "is proven to be worse than stable, and is more than ";
      out += fmt::format(
          "{} when {} {} {}{}{}.{}\n", action, signal_name(signal), where, proof, margin,
          max_text(signal),
          signal.if_decidable ? " Promotion waits for it only when the traffic can decide it."
          : signal.kind == judge::SignalKind::client_error_rate ? " Promotion never waits for it."
                                                                : "");
    } else if (signal.gate) {
      out += fmt::format("{} when {} {} is more than {}{}.\n", action, signal_name(signal), where,
                         margin_text(signal), max_text(signal));
    } else {
      out += fmt::format("Show, without deciding on it, {} {}.\n", signal_name(signal), where);
    }
  }
  if (spec.judge == "mann_whitney") {
    out += fmt::format(
        "{} when the score is {:g} or less (after every {} intervals) or below {:g} at the end of "
        "a step; {:g} or more passes.\n",
        action, spec.rank.marginal, spec.rank.interval, spec.rank.marginal, spec.rank.pass);
  }
  return out;
}

std::string failures_text(const FailureRule& rule) {
  const auto joined = [](const std::vector<StatusRange>& ranges) {
    std::string out;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      if (i > 0) out += i + 1 == ranges.size() ? " and " : ", ";
      out += to_text(ranges[i]);
    }
    return out;
  };
  std::string out;
  if (!rule.also.empty())
    out += fmt::format("Answers of {} count as errors too.\n", joined(rule.also));
  if (!rule.except.empty())
    out += fmt::format("Answers of {} do not count as errors.\n", joined(rule.except));
  return out;
}

std::string router_text(const route::RouterOptions& router) {
  const auto* moves = std::get_if<route::HaproxyOptions>(&router);
  if (moves == nullptr) return "Traffic is only watched, not moved (router: observe).\n";
  const auto& haproxy = *moves;
  if (!haproxy.map.empty()) {
    return fmt::format("Traffic moves through HAProxy at {}: key {} of map {}.\n", haproxy.socket,
                       haproxy.map_key, haproxy.map);
  }
  return fmt::format(
      "Traffic moves through HAProxy at {}: weights of {} (stable) and {} (canary) in backend "
      "{}.\n",
      haproxy.socket, fmt::join(haproxy.stable_servers, ", "),
      fmt::join(haproxy.canary_servers, ", "), haproxy.backend);
}

std::string notify_text(const rollout::RolloutSpec& spec) {
  std::string out;
  for (const auto& notify : spec.notify) {
    const bool slack = notify.kind == notify::Target::Kind::slack;
    const std::string events = notify.events.empty()
                                   ? "every end and every pause"
                                   : fmt::format("{}", fmt::join(notify.events, ", "));
    out += fmt::format("Tell {} about: {}.\n",
                       slack                   ? "Slack"
                       : notify.secret.empty() ? "a webhook"
                                               : "a webhook (signed)",
                       events);
  }
  return out;
}

// The settings that no sentence speaks of. Those of the block `judge` are the sequential judge's.
std::string settings_text(const rollout::RolloutSpec& spec) {
  std::string out;
  for (const auto& field : rollout::rollout_fields()) {
    if (!field.in_list || (field.block == "judge" && spec.judge != "sequential")) continue;
    out += fmt::format("Setting {}{}{}: {} ({}).\n", field.block, field.block.empty() ? "" : ".",
                       field.key, value_text(field, spec), field.meaning);
  }
  return out;
}

} // namespace

std::string short_step_note(const rollout::RolloutSpec& spec) {
  if (spec.judge == "threshold" || !rollout::watches_something(spec)) return "";
  const auto shortest = std::ranges::min(spec.steps, {}, [](const auto& s) {
                          return s.analyze_ms > 0 ? s.analyze_ms : INT64_MAX;
                        }).analyze_ms;
  if (shortest <= 0 || shortest >= 3 * kUsualExportMs) return "";
  return fmt::format(
      "A step of {} is shorter than three exports of metrics of OpenTelemetry SDKs, which export "
      "every 60s unless configured otherwise (OTEL_METRIC_EXPORT_INTERVAL=5000): it may see too "
      "little to be decided, and is extended then",
      duration_text(shortest));
}

std::string explain(const rollout::RolloutSpec& spec) {
  std::string out =
      fmt::format("{}{}\n", spec.service,
                  spec.environment.empty() ? "" : fmt::format(" in {}", spec.environment));
  const auto tracks = rollout::select_tracks(spec);
  out += fmt::format("The canary is all telemetry with {}; stable is all telemetry with {}.\n",
                     selection_text(tracks.canary), selection_text(tracks.stable));
  out += steps_text(spec);
  out += signals_text(spec);
  out += failures_text(spec.failures);
  if (!spec.ignore_routes.empty())
    out += fmt::format("Routes left out: {}.\n", fmt::join(spec.ignore_routes, ", "));
  if (!spec.critical_routes.empty() && spec.judge == "sequential") {
    out += fmt::format(
        "Critical routes, judged on their own from the first request and with twice the share of "
        "the error budget: "
        "{}.\n",
        fmt::join(spec.critical_routes, ", "));
  }
  if (spec.max_extends == 0) {
    out += "Undecided at a gate: pause and call a person.\n";
  } else {
    out += fmt::format(
        "Undecided at a gate: wait {} more, at most {}, then pause and call a person.\n",
        spec.extend_ms > 0 ? duration_text(spec.extend_ms) : "the step's own time",
        spec.max_extends == 1 ? "once" : fmt::format("{} times", spec.max_extends));
  }
  if (route::moves_traffic(spec.router)) {
    out += fmt::format(
        "A canary that is sent requests and reports nothing for {} while stable reports, also in a "
        "pause: {}. One instance of several that stops is reported.\n",
        duration_text(spec.canary_silent_grace_ms),
        spec.on_canary_silent == rollout::PolicyAction::rollback ? "roll back"
                                                                 : "pause and call a person");
  }
  if (spec.judge == "sequential") {
    out += fmt::format(
        "A canary that is worse by no more than one of stable's instances lastingly is than "
        "another: {}.\n",
        spec.ask_about_pods ? "pause and ask a person" : "roll back");
  }
  if (const auto* haproxy = std::get_if<route::HaproxyOptions>(&spec.router);
      haproxy != nullptr && haproxy->map.empty()) {
    out += fmt::format("A rollback while every stable server is DOWN: {}.\n",
                       spec.keep_when_stable_down
                           ? "the canary keeps serving until one is up, and a person is called"
                           : "to 0% all the same, and nobody answers");
  }
  out += fmt::format(
      "No telemetry for {}: pause and call a person, {}. Missing data never promotes.\n",
      duration_text(spec.no_data_grace_ms),
      spec.resume_after_no_data ? "and go on by itself when both tracks report again"
                                : "who resumes it");
  out += router_text(spec.router);
  out += notify_text(spec);
  out += fmt::format(
      "A single `coalmine analyze` looks back {} and promotes only a canary that is at least {:g} "
      "minutes old.\n",
      duration_text(spec.analysis_window_ms), spec.min_analysis_minutes);
  out += settings_text(spec);
  return out + fmt::format("Config {}\n", spec.config_hash.substr(0, 12));
}

rollout::RolloutSpec plain_spec(const std::string& service) {
  Config config;
  const auto report = parse_config("defaults", "service: any", {}, config);
  CHECK(config.specs.size() == 1);
  auto& spec = config.specs.front();
  spec.service = service;
  return spec;
}

std::string explain_with_defaults(const rollout::RolloutSpec& spec) {
  auto plain = plain_spec(spec.service);
  // What moves the traffic is chosen; what is said because it does may be as usual.
  if (route::moves_traffic(spec.router)) plain.router = spec.router;
  const auto chosen = route::moves_traffic(spec.router) ? router_text(spec.router) : "";
  const auto usual = explain(plain);
  std::string out;
  const auto all = explain(spec);
  for (std::size_t at = 0, end = 0; at < all.size(); at = end) {
    end = all.find('\n', at) + 1;
    const auto line = all.substr(at, end - at);
    const bool heads = at == 0; // the name
    const bool is_default =
        !heads && line != chosen && usual.find("\n" + line) != std::string::npos;
    out += is_default ? line.substr(0, line.size() - 1) + " [default]\n" : line;
  }
  return out;
}

} // namespace coalmine::config
