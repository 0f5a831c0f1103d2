// What a rollout is to do: the config file's `service:` block, parsed. app/ makes it; a running
// rollout keeps its own copy.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "judge/judge.h"
#include "notify/outbox.h"
#include "route/router.h"
#include "telemetry/failure_rule.h"

namespace coalmine::rollout {

struct StepSpec {
  double weight = 0;             // 0..1
  std::int64_t analyze_ms = 0;   // gate at its end; 0 only for the last step
  double min_requests = 100;     // of the canary in the step before the gate may open
  bool approve_manually = false; // the gate also waits for `promote`
};

// Resource attributes that tell a track's telemetry: {"deployment.track", "canary"}.
using AttributeSelector = std::vector<std::pair<std::string, std::string>>;

// Where the numbers of a signal of kind ratio, mean or value come from; name is the signal's.
struct MetricSpec {
  std::string name;
  std::string part;   // ratio: a counter; mean: the sum of what was observed
  std::string whole;  // ratio: a counter; mean: how many were observed
  std::string promql; // value
};

// Judge mann_whitney.
struct RankSpec {
  std::map<std::string, judge::RankSignal> metrics;
  std::map<std::string, double> group_weights;
  double pass = 95;
  double marginal = 75;
  int interval = 10; // cells
};

enum class PolicyAction { rollback, pause, notify };

struct RolloutSpec {
  std::string service;
  std::string environment; // "" any
  AttributeSelector canary = {{"deployment.track", "canary"}};
  AttributeSelector stable = {{"deployment.track", "stable"}};
  std::vector<StepSpec> steps;     // ends at weight 1
  std::string judge = "threshold"; // sequential, threshold, mann_whitney
  std::vector<judge::SignalSpec> signals;
  std::vector<MetricSpec> metrics; // one for each signal that is not of requests
  RankSpec rank;
  // sequential: the chance of rolling back a canary that is no worse, over the whole rollout; of
  // promoting one that is too bad.
  double false_rollback_budget = 0.01;
  double false_promote_risk = 0.05;
  bool strict = false;
  double min_analysis_minutes = 10; // for one-shot analyze; a rollout's steps carry their own
  double min_requests = 100;
  double min_route_requests = 100;
  std::int64_t analysis_window_ms = 10 * 60 * 1000;
  std::int64_t look_interval_ms = 5000;
  PolicyAction on_fail = PolicyAction::rollback;
  std::int64_t no_data_grace_ms = 5 * 60 * 1000; // then paused and a person called; never promoted
  // A pause for no data ends by itself when both tracks report again.
  bool resume_after_no_data = true;
  // A canary that is sent requests and reports nothing while stable reports: after this long it is
  // taken as broken.
  PolicyAction on_canary_silent = PolicyAction::rollback; // pause, rollback
  std::int64_t canary_silent_grace_ms = 3 * 60 * 1000;
  bool guard_split = true; // a split that is not as asked suspends the comparison; only where
                           // coalmine moves the traffic
  // A rollback while every stable server is DOWN and the canary answers: the canary keeps its
  // weight until a stable server is up; false: it goes to 0, and nobody answers.
  bool keep_when_stable_down = true;
  // A difference that lasting differences between stable's processes would explain is left to a
  // person; false: it is rolled back.
  bool ask_about_pods = true;
  std::int64_t extend_ms = 0; // gate not decided: extend by this much (0: the step's own length)
  int max_extends = 2;        // then pause
  // Which statuses count as errors. Where the embedded store counts, those of the server's config
  // hold (store::Options::failures).
  FailureRule failures;
  std::vector<std::string> ignore_routes; // /healthz …
  std::vector<std::string>
      critical_routes; // judged on their own from the first request; judge::SequentialOptions
  route::RouterOptions router;
  std::vector<notify::Target> notify;
  std::string config_hash; // sha256 of the text it came from, hex
};

// The router's options with what the policy says to them.
route::RouterOptions router_of(const RolloutSpec& spec);

// Steps 5% 10m, 25% 10m, 50% 15m, 100% and the threshold judge with the seed's margins.
RolloutSpec default_spec(std::string service);

} // namespace coalmine::rollout
