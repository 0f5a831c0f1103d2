// SPDX-License-Identifier: Apache-2.0
#include "serve/rollout_metrics.h"

#include <fmt/format.h>

#include <set>
#include <string>
#include <string_view>

namespace coalmine::serve {
namespace {

using Samples = std::vector<std::pair<MetricLabels, double>>;

// Old rollouts are left out, so that the number of series does not grow with every release.
std::vector<rollout::StatusPointer> current(const rollout::Controller& rollouts) {
  std::vector<rollout::StatusPointer> out;
  std::set<std::string_view> seen;  // into what `all` holds
  const auto all = rollouts.list(); // newest first
  for (const auto& one : all) {
    const bool newest = seen.insert(one->service).second;
    if (newest || !rollout::is_terminal(one->phase)) out.push_back(one);
  }
  return out;
}

MetricLabels identity(const rollout::RolloutStatus& r) {
  return {{"service_name", r.service}, {"rollout", fmt::format("{}", r.id.value)}};
}

// A few fixed words, never the sentence: the signal that fails, else the missing evidence.
std::string short_reason(const rollout::RolloutStatus& r) {
  if (!r.judgement) return "";
  for (const auto& signal : r.judgement->signals) {
    if (signal.subject.gate && signal.verdict == judge::Verdict::regression)
      return signal.subject.signal;
  }
  for (const auto& signal : r.judgement->signals) {
    if (signal.subject.gate && signal.cause != judge::Cause::none)
      return std::string(to_string(signal.cause));
  }
  return "";
}

Samples infos(const rollout::Controller& rollouts) {
  Samples out;
  for (const auto& one : current(rollouts)) {
    const auto& r = *one;
    auto labels = identity(r);
    labels.emplace_back("canary_version", r.canary_version);
    labels.emplace_back("stable_version", r.stable_version);
    labels.emplace_back("phase", to_string(r.phase));
    labels.emplace_back("decision", r.judgement ? to_string(r.judgement->decision) : "");
    labels.emplace_back("reason", short_reason(r));
    out.emplace_back(std::move(labels), 1);
  }
  return out;
}

Samples steps(const rollout::Controller& rollouts) {
  Samples out;
  for (const auto& r : current(rollouts))
    out.emplace_back(identity(*r), static_cast<double>(r->step));
  return out;
}

Samples weights(const rollout::Controller& rollouts) {
  Samples out;
  const auto add = [&](const rollout::RolloutStatus& r, std::string kind, double ratio) {
    auto labels = identity(r);
    labels.emplace_back("kind", std::move(kind));
    out.emplace_back(std::move(labels), ratio);
  };
  for (const auto& one : current(rollouts)) {
    const auto& r = *one;
    add(r, "desired", r.weight_asked);
    if (r.weight_applied) add(r, "applied", *r.weight_applied);
    if (r.observed_split) add(r, "observed", *r.observed_split);
  }
  return out;
}

} // namespace

void register_rollout_metrics(SelfMetrics& metrics, const rollout::Controller& rollouts) {
  metrics.family("coalmine_rollout_info",
                 "One series per rollout, with its versions, phase and newest decision.", "gauge",
                 [&rollouts] { return infos(rollouts); });
  metrics.family("coalmine_rollout_step", "Current step of a rollout, counted from 0.", "gauge",
                 [&rollouts] { return steps(rollouts); });
  metrics.family("coalmine_rollout_weight_ratio",
                 "The canary's share of traffic: asked for (desired), read back from the router "
                 "(applied), seen in telemetry (observed).",
                 "gauge", [&rollouts] { return weights(rollouts); });
}

} // namespace coalmine::serve
