// SPDX-License-Identifier: Apache-2.0
#include "judge/sequential.h"

#include <algorithm>
#include <cmath>
#include <span>
#include <utility>

namespace coalmine::judge {
namespace {

// Signals that the service always has first: their lines are found by their index.
SequentialOptions whole_first(SequentialOptions options) {
  std::ranges::stable_partition(options.signals, can_show_good, &SignalSpec::kind);
  return options;
}

} // namespace

SignalSpec default_client_errors() {
  SignalSpec out;
  out.name = "client_error_rate";
  out.kind = SignalKind::client_error_rate;
  out.margin = {Margin::Unit::points, 0.10};
  return out;
}

SignalSpec default_restarts() {
  SignalSpec out;
  out.name = "restarts";
  out.kind = SignalKind::restarts;
  out.max = 2;
  out.per_route = false;
  return out;
}

SequentialOptions sequential_defaults() {
  SequentialOptions out;
  SignalSpec errors;
  errors.name = "error_rate";
  errors.margin = {Margin::Unit::points, 0.005};
  errors.automatic = true;
  SignalSpec p99;
  p99.name = "p99_latency";
  p99.kind = SignalKind::latency_quantile;
  p99.margin = {Margin::Unit::percent, 0.20};
  p99.if_decidable = true;
  SignalSpec p999 = p99;
  p999.name = "p999_latency";
  p999.quantile = 0.999;
  p999.margin = {Margin::Unit::percent, 0.30};
  p999.per_route = false;
  out.signals = {errors, p99, p999, default_client_errors(), default_restarts()};
  return out;
}

std::unique_ptr<Judge> make_sequential_judge(SequentialOptions options) {
  return std::make_unique<SequentialJudge>(std::move(options));
}

SequentialJudge::SequentialJudge(SequentialOptions options)
    : options_(whole_first(std::move(options))),
      critical_(options_.critical_routes.begin(), options_.critical_routes.end()),
      places_(options_.signals),
      past_(critical_),
      budget_(places_, critical_),
      plan_(options_, places_),
      metrics_(options_.signals, places_),
      routes_({.plan = plan_, .budget = budget_, .past = past_, .critical = critical_}) {}

void SequentialJudge::add(const CountCell& cell) {
  by_spans_ = cell.source == Source::spans;
  restarts_.add(cell);
  sampled_ = cell.total.sampled();
  if (!sampled_.empty()) return add_sampled(cell);
  if (cell.baseline) {
    learn(cell);
    return;
  }
  if (!begun_ && !begin()) {
    learn(cell); // nothing is known about stable yet: this cell is learnt from, not judged
    service_.see(cell.total);
    return;
  }
  service_.see(cell.total);
  const double minute = pace_.add(cell);
  metrics_.feed(cell, minute);
  if (cell.mixed) return;
  const double load = load_of(cell);
  service_.judge(cell.total, cell.total,
                 {.errors = ArmPhi::of(dispersion_.errors(), load),
                  .tails = {.of = &dispersion_.tails(), .load = load}},
                 minute);
  plan_.renew(service_, LinePlan::Reach::service);
  if (budget_.routes() > 0) routes_.feed(cell, dispersion_, minute);
  dispersion_.add(cell); // after the cell: it tempers what comes later
  load_ = load;
  processes_ = processes_of(cell);
}

// A sample of the requests is no evidence about them, and no past of stable. Metrics of the user's
// own count on.
void SequentialJudge::add_sampled(const CountCell& cell) {
  if (!cell.baseline) service_.see(cell.total);
  if (begun_ && !cell.baseline) {
    metrics_.feed(cell, pace_.add(cell));
  } else {
    metrics_.learn(cell);
  }
}

void SequentialJudge::learn(const CountCell& cell) {
  metrics_.learn(cell);
  past_.learn(cell);
  dispersion_.add(cell);
  if (options_.try_stable) trial_past_.keep(cell);
}

// The judge itself, on stable's processes. What the second half of the past adds to phi is not
// counted twice: the factor is on what the first half shows.
void SequentialJudge::try_stable() {
  const auto cells = trial_past_.take();
  if (!cells) return;
  auto options = options_;
  options.try_stable = false;
  const double from_nats = -std::log(trial_chance(options.alpha_rollback));
  trial_ = run_trial(*cells, options.alpha_rollback, [&](std::span<const CountCell> release) {
    SequentialJudge tried(options);
    tried.lasting_ = &dispersion_;
    std::vector<TrialReading> out;
    for (const auto& cell : release) {
      tried.add(cell);
      if (!cell.baseline) out.push_back(tried.trial_reading(from_nats));
    }
    return out;
  });
  if (!(trial_->widen > 1)) return;
  StableDispersion before;
  for (const auto& cell : std::span(cells->cells).first(cells->first)) before.add(cell);
  dispersion_.keep_above(before, trial_->widen);
}

// Fixes everything that is chosen from the past. False: there is no past to choose from.
bool SequentialJudge::begin() {
  if (!past_.known()) return false;
  begun_ = true;
  if (options_.try_stable) try_stable();
  plan_.fix_margin(past_, dispersion_);
  budget_.fix(past_);
  auto service = plan_.service(past_, budget_);
  service.canary = service_.canary;
  service.stable = service_.stable;
  service_ = std::move(service);
  metrics_.begin(plan_);
  // Routes that may never be seen again are added too: request_share must notice their absence.
  if (places_.share && budget_.routes() > 0) routes_.add_past();
  return true;
}

} // namespace coalmine::judge
