// SPDX-License-Identifier: Apache-2.0
#include "judge/sequential.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "judge/estimate.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

constexpr std::array<double, 8> kServiceTails = {0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001};
constexpr std::array<double, 4> kRouteTails = {0.5, 0.1, 0.01, 0.001};
constexpr double kExactFrom = 0.1;     // rates above: the Bernoulli process
constexpr double kChooseFrom = 200;    // observations
constexpr double kRateShare = 4.0 / 7; // of a route's weight that its errors get; latency the rest

constexpr double kShareShare =
    0.25; // of a route's weight that its share of the requests gets, beside errors or latency

// Signals of the service first: their lines are found by their index.
SequentialOptions whole_first(SequentialOptions options) {
  std::ranges::stable_partition(
      options.signals, [](const SignalSpec& s) { return s.kind != SignalKind::request_share; });
  return options;
}

double sane(double v) { return std::isfinite(v) && v > 0 ? v : 0; }

// Rounding of interpolated counts may leave a hair more errors than requests.
Cell cell_of(const CellRoute& c) {
  const auto errors = [](const CellCounts& side) {
    return std::isfinite(side.errors) ? std::min(side.errors, side.requests)
                                      : side.errors; // what is no number stays none
  };
  return {errors(c.canary), c.canary.requests, errors(c.stable), c.stable.requests};
}

std::vector<double> scales(const std::vector<SequentialOptions::PlannedStep>& plan) {
  std::vector<double> out = {1};
  for (std::size_t i = 1; i < plan.size(); ++i) {
    if (plan[i].weight > 0 && plan[i].weight <= 1) out.push_back(1 / plan[i].weight);
  }
  std::ranges::sort(out);
  out.erase(std::ranges::unique(out).begin(), out.end());
  constexpr std::size_t kMost =
      8; // the strictest ones are kept: a missing one is judged by the next stricter
  if (out.size() > kMost) out.resize(kMost);
  return out;
}

// Whether an equal canary passes every step of the plan in one and a half times its minutes,
// nineteen times out of twenty: the expected evidence reaches kNatsToPass.
bool plan_can_show(double rate, double margin,
                   const std::vector<SequentialOptions::PlannedStep>& plan, double rps,
                   double phi) {
  constexpr double kNatsToPass = 13; // ln 20 for alpha, the stake on other bets, and chance
  double requests = 0;
  for (std::size_t i = 0; i < plan.size(); ++i) {
    const double next = i + 1 < plan.size() ? plan[i + 1].weight : 1;
    const double harm = margin / next;
    requests += plan[i].weight * rps * 60 * plan[i].minutes;
    const double growth = rate > 0 ? harm - rate * std::log1p(harm / rate) : harm;
    if (1.5 * requests * growth / phi < kNatsToPass) return false;
  }
  return true;
}

} // namespace

Margin default_error_margin(double stable_rate,
                            const std::vector<SequentialOptions::PlannedStep>& plan, double rps,
                            double phi) {
  const double usual = std::max(std::clamp(stable_rate / 2, 0.002, 0.005), 0.2 * stable_rate);
  const double most = std::max({0.005, std::min(0.8 * stable_rate, 0.008), 0.5 * stable_rate});
  double margin = usual;
  constexpr double kStep = 0.0005;
  if (rps > 0) {
    while (margin < most && !plan_can_show(stable_rate, margin, plan, rps, phi))
      margin = std::min(most, margin + kStep);
  }
  if (margin > 0.005) return {Margin::Unit::percent, std::round(margin / stable_rate * 100) / 100};
  return {Margin::Unit::points,
          std::round(margin * 1e4) / 1e4}; // as people read it: hundredths of a point
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
  SignalSpec p999 = p99;
  p999.name = "p999_latency";
  p999.quantile = 0.999;
  p999.margin = {Margin::Unit::percent, 0.30};
  p999.if_decidable = true;
  p999.per_route = false;
  out.signals = {errors, p99, p999};
  return out;
}

std::unique_ptr<Judge> make_sequential_judge(SequentialOptions options) {
  return std::make_unique<SequentialJudge>(std::move(options));
}

SequentialJudge::SequentialJudge(SequentialOptions options)
    : options_(whole_first(std::move(options))),
      critical_(options_.critical_routes.begin(), options_.critical_routes.end()),
      harms_(scales(options_.plan)) {
  bool routes = false;
  for (std::size_t i = 0; i < options_.signals.size(); ++i) {
    const auto& signal = options_.signals[i];
    whole_signals_ += signal.kind == SignalKind::request_share ? 0 : 1;
    routes = routes || (signal.per_route && signal.gate && !is_metric(signal.kind));
    if (is_metric(signal.kind)) {
      metrics_.push_back({.signal = i, .past = {}, .line = std::nullopt, .problem = ""});
    } else if (signal.kind == SignalKind::latency_quantile) {
      tail_signals_.push_back(i);
    } else if (signal.kind == SignalKind::request_share) {
      if (!share_signal_) share_signal_ = i;
    } else if (!rate_signal_) {
      rate_signal_ = i;
    }
  }
  // What is not configured leaves its share to the rest.
  const double rate = rate_signal_ ? 0.4 : 0, tail = tail_signals_.empty() ? 0 : 0.3,
               pool = routes ? 0.2 : 0;
  const double own = metrics_.empty() ? 0 : 0.1;
  const double whole = std::max(rate + tail + pool + own, 1e-9);
  class_rate_ = rate / whole;
  class_tail_ = tail / whole;
  class_routes_ = pool / whole;
  metric_weight_ = metrics_.empty() ? 0 : own / whole / static_cast<double>(metrics_.size());
  if (rate_signal_) margin_ = options_.signals[*rate_signal_].margin;
}

LineOptions SequentialJudge::line_options(bool whole) const {
  LineOptions out;
  if (!options_.restarts) {
    out.plan = {kOneStart, kOneLogStake};
  } else if (whole) {
    out.plan = {kServiceStarts, kServiceLogStakes};
  } else {
    out.plan = {kRouteStarts, kRouteLogStakes};
  }
  out.strict = options_.strict;
  return out;
}

void SequentialJudge::add(const EvidenceCell& cell) {
  if (cell.baseline) {
    learn(cell);
    return;
  }
  warming_ = cell.warming;
  if (!begun_ && !begin()) {
    learn(cell); // nothing is known of stable yet: this cell teaches, and is not judged
    service_.canary += sane(cell.total.canary.requests);
    service_.stable += sane(cell.total.stable.requests);
    return;
  }
  const double length =
      std::max<double>(0, static_cast<double>(cell.to_ms - cell.from_ms)) / 60'000.0;
  minutes_ += length;
  if (length > 0) {
    const double keep = std::exp(-length / 3); // a memory of about three minutes
    per_minute_ = per_minute_ * keep + sane(cell.total.canary.requests) / length * (1 - keep);
  }
  service_.canary += sane(cell.total.canary.requests);
  service_.stable += sane(cell.total.stable.requests);
  feed_metrics(cell, minutes_ - length);
  if (cell.mixed) return;
  feed(service_, cell.total, minutes_ - length);
  if (class_routes_ > 0) feed_routes(cell, minutes_ - length);
  add_dispersion(cell); // after the cell: it tempers what comes later
}

void SequentialJudge::feed_routes(const EvidenceCell& cell, double minute) {
  std::vector<bool> counted(routes_.size());
  const auto feed_share = [&](Scope& scope, double canary, double stable) {
    if (!scope.share) return;
    const MetricTrack on_canary{true, canary, cell.total.canary.requests},
        on_stable{true, stable, cell.total.stable.requests};
    scope.share->add({"", on_canary, on_stable, ""}, minute);
  };
  for (const auto& route : cell.routes) {
    const auto known = route_index_.find(route.route);
    if (known == route_index_.end() && routes_.size() >= kMaxJudgedRoutes &&
        !is_critical(route.route))
      continue;
    const auto place = known == route_index_.end() ? route_place(route.route) : known->second;
    auto& scope = routes_[place].scope;
    scope.canary += sane(route.canary.requests);
    scope.stable += sane(route.stable.requests);
    feed(scope, route, minute);
    feed_share(scope, route.canary.requests, route.stable.requests);
    counted.resize(routes_.size());
    counted[place] = true;
  }
  // Cells without a request of the route count as well: to leave them out would be to choose cells
  // by what is tested.
  for (std::size_t i = 0; i < counted.size(); ++i) {
    if (!counted[i]) feed_share(routes_[i].scope, 0, 0);
  }
}

void SequentialJudge::feed(Scope& scope, const CellRoute& counts, double minute) {
  if (rate_signal_) scope.rate.add(cell_of(counts), errors_.phi(), minute);
  if (!scope.tail.empty()) scope.tail.add(counts, tails_.phi(), minute);
}

void SequentialJudge::feed_metrics(const EvidenceCell& cell, double minute) {
  for (const auto& numbers : cell.metrics) {
    for (auto& metric : metrics_) {
      if (options_.signals[metric.signal].name != numbers.signal) continue;
      metric.problem = numbers.problem;
      if (numbers.problem.empty() && metric.line) metric.line->add(numbers, minute);
    }
  }
}

void SequentialJudge::learn(const EvidenceCell& cell) {
  for (const auto& numbers : cell.metrics) {
    for (auto& metric : metrics_) {
      if (options_.signals[metric.signal].name != numbers.signal || !numbers.stable.has_data)
        continue;
      metric.past.has_data = true;
      metric.past.amount += numbers.stable.amount;
      metric.past.count += numbers.stable.count;
    }
  }
  const auto learn_one = [&](Past& past, const CellRoute& counts) {
    if (!usable(cell_of(counts))) return;
    past.requests += counts.stable.requests;
    past.errors += std::min(counts.stable.errors, counts.stable.requests);
    if (counts.bounds_ms != nullptr)
      past.latency.add(*counts.bounds_ms, counts.stable.bucket_counts);
  };
  past_.minutes += std::max<double>(0, static_cast<double>(cell.to_ms - cell.from_ms)) / 60'000.0;
  learn_one(past_, cell.total);
  for (const auto& route : cell.routes) {
    const bool place = past_routes_.size() < kMaxJudgedRoutes || is_critical(route.route);
    if (place || past_routes_.contains(route.route)) learn_one(past_routes_[route.route], route);
  }
  add_dispersion(cell);
}

void SequentialJudge::add_dispersion(const EvidenceCell& cell) {
  std::vector<Part> parts;
  for (const auto& i : cell.stable_instances)
    parts.push_back({std::min(i.errors, i.requests), i.requests});
  if (parts.size() > 1) {
    errors_.add_group(parts);
    previous_.clear();
  } else {
    // One instance, or unknown ones: two cells that follow each other are compared, each cell used
    // once.
    const Part now{std::min(cell.total.stable.errors, cell.total.stable.requests),
                   cell.total.stable.requests};
    if (previous_.empty()) {
      previous_ = {now};
    } else {
      const Part pair[] = {previous_[0], now};
      errors_.add_group(pair);
      previous_.clear();
    }
  }
  if (cell.total.bounds_ms == nullptr ||
      !usable(*cell.total.bounds_ms, cell.total.stable.bucket_counts))
    return;
  const auto& bounds = *cell.total.bounds_ms;
  if (!(dispersion_boundary_ > 0)) {
    // Chosen once: two cells are compared at the same boundary.
    const auto tenth = nearest_boundary(past_.latency, past_.latency.bounds_ms, 0.1);
    if (!tenth || past_.latency.total() < kChooseFrom) return;
    dispersion_boundary_ = past_.latency.bounds_ms[*tenth];
  }
  const auto above = tail_count(bounds, cell.total.stable.bucket_counts, dispersion_boundary_);
  if (!above) return;
  double all = 0;
  for (const double n : cell.total.stable.bucket_counts) all += n;
  if (!previous_tail_) {
    previous_tail_ = Part{*above, all};
    return;
  }
  const Part pair[] = {*previous_tail_, {*above, all}};
  tails_.add_group(pair);
  previous_tail_.reset();
}

// Fixes everything that is chosen from the past. False: there is no past to choose from.
bool SequentialJudge::begin() {
  if (!(past_.requests > 0)) return false;
  begun_ = true;
  if (rate_signal_ && options_.signals[*rate_signal_].automatic) {
    // A rate from few requests is taken with a grain of salt: half an error more.
    const double rps = past_.minutes > 0 ? past_.requests / past_.minutes / 60 : 0;
    margin_ = default_error_margin((past_.errors + 0.5) / (past_.requests + 1), options_.plan, rps,
                                   errors_.phi());
  }
  const double canary = service_.canary, stable = service_.stable;
  service_ = make_scope(past_, true, 1);
  service_.canary = canary;
  service_.stable = stable;
  for (auto& metric : metrics_)
    metric.line.emplace(options_.signals[metric.signal], line_options(true), harms_, metric.past);
  past_root_ = 0;
  for (const auto& [name, past] : past_routes_)
    past_root_ += stake_of(name) * std::sqrt(past.requests);
  if (share_signal_ && class_routes_ > 0) {
    for (const auto& [name, past] : past_routes_)
      (void)route_place(name); // one that never comes again is what a share is about
  }
  return true;
}

SequentialJudge::Scope SequentialJudge::make_scope(const Past& past, bool whole,
                                                   double weight) const {
  Scope out;
  out.tail = make_tails(past, whole);
  const bool rate_counts = rate_signal_ && (whole || options_.signals[*rate_signal_].per_route);
  if (whole) {
    out.rate_weight = class_rate_;
    out.tail_weight = class_tail_;
  } else {
    if (share_signal_ && past.requests > 0) {
      auto signal = options_.signals[*share_signal_];
      signal.kind = SignalKind::ratio; // the requests of the route are a part of all
      const double now = 1; // a route's share is not held to what a later step would make of it
      out.share.emplace(signal, line_options(false), std::span(&now, 1),
                        MetricTrack{true, past.requests, past_.requests});
      out.share_weight = weight * (rate_counts || !out.tail.empty() ? kShareShare : 1);
    }
    const double part = out.tail.empty() ? 1 : rate_counts ? kRateShare : 0;
    out.rate_weight = (weight - out.share_weight) * part;
    out.tail_weight = (weight - out.share_weight) * (1 - part);
  }
  if (!rate_signal_) return out;
  const auto& signal = options_.signals[*rate_signal_];
  std::vector<LinearMargin> harms;
  for (const double scale : harms_) harms.push_back(linear_margin(margin_, signal.floor, scale));
  const double rate = past.requests > 0 ? past.errors / past.requests : 0;
  out.rate = RateLine(line_options(whole), linear_margin(margin_, signal.floor, 1), harms,
                      rate >= kExactFrom, signal.max, past.errors, past.requests);
  return out;
}

TailLine SequentialJudge::make_tails(const Past& past, bool whole) const {
  if (past.latency.empty() || !(past.latency.total() > 0)) return {};
  auto chosen = whole ? choose_boundaries(past.latency, kServiceTails)
                      : choose_boundaries(past.latency, kRouteTails);
  auto& boundaries = chosen.bounds_ms;
  std::vector<TailLine::Mark> marks;
  for (const auto index : tail_signals_) {
    const auto& signal = options_.signals[index];
    if (!whole && !signal.per_route) continue;
    const auto at = nearest_boundary(past.latency, boundaries, 1 - signal.quantile);
    if (!at) return {};
    TailLine::Mark mark;
    mark.boundary = *at;
    const double here = boundaries[*at];
    const auto quantile = latency_quantile(
        {true, 1, 0, past.latency.bounds_ms, past.latency.counts}, signal.quantile);
    const double value = quantile ? std::max(quantile->value, 1e-9) : here;
    const auto ratio = [&](double scale) {
      double more = signal.margin.amount * scale; // percent of the value
      if (signal.margin.unit != Margin::Unit::percent) more /= value;
      more = std::max(more, signal.floor / value);
      return tail_ratio(past.latency, here, 1 + more).value_or(1);
    };
    mark.allowed_ratio = ratio(1);
    for (const double scale : harms_) mark.harms.push_back(ratio(scale));
    if (whole && signal.max) {
      // The first boundary at or above the limit; without one the limit cannot be told from these
      // buckets.
      const auto above = std::ranges::lower_bound(past.latency.bounds_ms, *signal.max);
      if (above != past.latency.bounds_ms.end()) {
        const auto known = std::ranges::find(boundaries, *above);
        if (known == boundaries.end()) { // at the end: indexes so far keep their meaning
          boundaries.push_back(*above);
          chosen.stakes.push_back(0);
        }
        mark.limit_boundary =
            static_cast<std::size_t>(std::ranges::find(boundaries, *above) - boundaries.begin());
        mark.limit_share = 1 - signal.quantile;
      }
    }
    marks.push_back(std::move(mark));
  }
  if (marks.empty()) return {};
  return TailLine(line_options(whole), past.latency, std::move(chosen), std::move(marks));
}

// One of the series of weights that adds up to a tenth of the pool. With critical routes two thirds
// of it are theirs, in a series of their own: the number of other new routes cannot take it away.
double SequentialJudge::late_route_weight(bool critical) {
  const double part = critical_.empty() ? 1 : critical ? 2.0 / 3 : 1.0 / 3;
  const auto j = static_cast<double>(critical ? ++late_critical_routes_ : ++late_routes_);
  return 0.1 * class_routes_ * part * 6 / (std::numbers::pi * std::numbers::pi * j * j);
}

// Routes that stable had before share nine tenths of the pool by the square root of their traffic,
// critical ones twice; later ones get a series of weights that adds up to the rest.
std::size_t SequentialJudge::route_place(const std::string& name) {
  if (const auto it = route_index_.find(name); it != route_index_.end()) return it->second;
  const auto past = past_routes_.find(name);
  double weight = 0;
  if (past != past_routes_.end() && past_root_ > 0) {
    weight = 0.9 * class_routes_ * stake_of(name) * std::sqrt(past->second.requests) / past_root_;
  } else {
    weight = late_route_weight(is_critical(name));
  }
  route_index_[name] = routes_.size();
  // A route without a past of its own is measured with the service's boundaries.
  Past unknown;
  unknown.latency = past_.latency;
  routes_.push_back(
      {name, make_scope(past != past_routes_.end() ? past->second : unknown, false, weight)});
  return routes_.size() - 1;
}

std::size_t SequentialJudge::harm_index(double next_weight) const {
  const double wanted = next_weight > 0 && next_weight <= 1 ? 1 / next_weight : 1;
  // The largest scale that does not exceed what may be borne.
  std::size_t best = 0;
  for (std::size_t i = 0; i < harms_.size(); ++i) {
    if (harms_[i] <= wanted * (1 + 1e-9)) best = i;
  }
  return best;
}

} // namespace coalmine::judge
