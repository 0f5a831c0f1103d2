// SPDX-License-Identifier: Apache-2.0
#include "lab/simulation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numbers>

#include "judge/stats/special.h"
#include "lab/latency_shares.h"

namespace coalmine::lab {
namespace {

// Inversion from the mode outwards: expected steps grow with the standard deviation only. up(k):
// p(k+1)/p(k); down(k): p(k-1)/p(k).
template <typename Up, typename Down>
double invert(double u, double mode, double log_p, double most, Up&& up, Down&& down) {
  const double p = std::exp(log_p);
  double low = mode, high = mode, p_low = p, p_high = p;
  u -= p;
  while (u > 0) {
    const double next_high = high < most ? p_high * up(high) : 0;
    const double next_low = low > 0 ? p_low * down(low) : 0;
    if (next_high <= 0 && next_low <= 0) break;
    if (next_high >= next_low) {
      p_high = next_high;
      u -= p_high;
      high += 1;
      if (u <= 0) return high;
    } else {
      p_low = next_low;
      u -= p_low;
      low -= 1;
      if (u <= 0) return low;
    }
  }
  return mode;
}

double quantile_of(std::vector<double> values, double q) {
  if (values.empty()) return 0;
  std::ranges::sort(values);
  const auto at = static_cast<std::size_t>(std::ceil(q * static_cast<double>(values.size())));
  return values[std::min(values.size() - 1, at > 0 ? at - 1 : 0)];
}

void add(TrackCounts& to, const TrackCounts& more) {
  to.requests += more.requests;
  to.errors += more.errors;
  if (to.bucket_counts.empty()) to.bucket_counts.assign(more.bucket_counts.size(), 0);
  for (std::size_t i = 0; i < more.bucket_counts.size(); ++i)
    to.bucket_counts[i] += more.bucket_counts[i];
}

} // namespace

SimulationRandom::SimulationRandom(std::uint64_t seed) {
  for (auto& word : state_) {
    seed += 0x9e3779b97f4a7c15u;
    std::uint64_t z = seed;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    word = z ^ (z >> 31);
  }
}

std::uint64_t SimulationRandom::next() {
  const auto rotate = [](std::uint64_t x, int k) { return (x << k) | (x >> (64 - k)); };
  const std::uint64_t out = rotate(state_[1] * 5, 7) * 9;
  const std::uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = rotate(state_[3], 45);
  return out;
}

double SimulationRandom::uniform() { return (static_cast<double>(next() >> 11) + 0.5) * 0x1p-53; }

double SimulationRandom::normal() {
  const double length = std::sqrt(-2 * std::log(uniform()));
  return length * std::cos(2 * std::numbers::pi * uniform());
}

double SimulationRandom::poisson(double mean) {
  if (!(mean > 0) || !std::isfinite(mean)) return 0;
  const double mode = std::floor(mean);
  const double log_p = mode * std::log(mean) - mean - judge::log_gamma(mode + 1);
  return invert(
      uniform(), mode, log_p, 1e15, [&](double k) { return mean / (k + 1); },
      [&](double k) { return k / mean; });
}

double SimulationRandom::binomial(double n, double p) {
  if (!(n >= 1) || !(p > 0)) return 0;
  if (p >= 1) return n;
  if (p > 0.5) return n - binomial(n, 1 - p);
  const double mode = std::floor((n + 1) * p);
  const double log_p = judge::log_gamma(n + 1) - judge::log_gamma(mode + 1) -
                       judge::log_gamma(n - mode + 1) + mode * std::log(p) +
                       (n - mode) * std::log1p(-p);
  const double odds = p / (1 - p);
  return invert(
      uniform(), mode, log_p, n, [&](double k) { return (n - k) / (k + 1) * odds; },
      [&](double k) { return k / (n - k + 1) / odds; });
}

// Marsaglia and Tsang.
double SimulationRandom::gamma(double shape) {
  if (!(shape > 0)) return 0;
  if (shape < 1) return gamma(shape + 1) * std::pow(uniform(), 1 / shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = normal();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(uniform()) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

SimulatedTraffic::SimulatedTraffic(TrafficModel model, CanaryChange change, std::uint64_t seed)
    : model_(std::move(model)), change_(change), random_(seed) {
  bounds_ = std::make_shared<const std::vector<double>>(
      model_.bounds_ms.empty() ? kOtelBoundsMs : model_.bounds_ms);
  stable_shares_ = shares(1, 0, 1);
}

std::vector<double> SimulatedTraffic::shares(double factor, double slow_share,
                                             double slow_factor) const {
  return latency_shares({.median_ms = model_.median_ms,
                         .sigma = model_.sigma,
                         .factor = factor,
                         .slow_share = slow_share,
                         .slow_factor = slow_factor},
                        *bounds_);
}

SimulatedTraffic::Counts SimulatedTraffic::draw(double mean_requests, double error_rate,
                                                const std::vector<double>& bucket_shares) {
  Counts out;
  out.requests = random_.poisson(mean_requests);
  const double rate = std::clamp(error_rate, 0.0, 1.0);
  // Clumps: groups fail together, with the same expected number of errors.
  out.errors = model_.clump > 1
                   ? std::min(out.requests,
                              model_.clump * random_.poisson(out.requests * rate / model_.clump))
                   : random_.binomial(out.requests, rate);
  double rest = out.requests, share = 1;
  for (std::size_t i = 0; i < bucket_shares.size(); ++i) {
    const bool last = i + 1 == bucket_shares.size();
    const double n =
        last ? rest
             : random_.binomial(rest, share > 0 ? std::min(1.0, bucket_shares[i] / share) : 0);
    out.buckets.push_back(n);
    rest -= n;
    share -= bucket_shares[i];
  }
  return out;
}

RouteCounts SimulatedTraffic::draw_route(const std::string& name, double requests, double weight,
                                         double common, double strength) {
  RouteCounts out;
  out.route = name;
  out.share_bounds(bounds_);
  const auto noise = [&] {
    if (!(model_.arm_noise > 0)) return 1.0;
    const double s2 = std::log1p(model_.arm_noise * model_.arm_noise);
    return std::exp(std::sqrt(s2) * random_.normal() - s2 / 2);
  };
  const auto put = [](TrackCounts& to, Counts from) {
    to.requests = from.requests;
    to.errors = from.errors;
    to.bucket_counts = std::move(from.buckets);
  };
  const double rate = model_.error_rate * common;
  put(out.stable, draw(requests * (1 - weight), rate * noise(), stable_shares_));
  if (!(weight > 0)) {
    out.canary.bucket_counts.assign(bounds_->size() + 1, 0);
    return out;
  }
  const bool other = strength > 0 && (change_.latency_factor != 1 || change_.slow_share > 0);
  const auto own = other ? shares(1 + (change_.latency_factor - 1) * strength,
                                  change_.slow_share * strength, change_.slow_factor)
                         : stable_shares_;
  put(out.canary,
      draw(requests * weight, (rate + change_.error_rate_added * strength) * noise(), own));
  return out;
}

CountCell SimulatedTraffic::next(double canary_weight) {
  CountCell cell;
  cell.from_ms = time_ms_;
  time_ms_ += static_cast<std::int64_t>(model_.cell_seconds * 1000);
  cell.to_ms = time_ms_;
  cell.baseline = !(canary_weight > 0);
  shared_ =
      model_.burst > 0 ? 0.9 * shared_ + std::sqrt(1 - 0.81) * model_.burst * random_.normal() : 0;
  const double common = std::exp(shared_ - model_.burst * model_.burst / 2);
  double strength = 0;
  if (!cell.baseline) {
    if (minute_ >= change_.from_minute) {
      strength = change_.ramp_minutes > 0
                     ? std::min(1.0, (minute_ - change_.from_minute) / change_.ramp_minutes)
                     : 1;
    }
    minute_ += model_.cell_seconds / 60;
  }
  const double requests = model_.rps * model_.cell_seconds;
  if (model_.routes <= 0) {
    cell.total = draw_route("", requests, canary_weight, common, strength);
  } else {
    cell.total.share_bounds(bounds_);
    for (int r = 0; r < model_.routes; ++r) {
      const bool changed = change_.only_route < 0 || change_.only_route == r;
      auto route = draw_route(fmt::format("/r{}", r), requests / model_.routes, canary_weight,
                              common, changed ? strength : 0);
      add(cell.total.canary, route.canary);
      add(cell.total.stable, route.stable);
      cell.routes.push_back(std::move(route));
    }
  }
  for (int i = 1; model_.stable_instances > 1 && i <= model_.stable_instances; ++i) {
    // Which instance served a request is chance.
    const double left = static_cast<double>(model_.stable_instances - i + 1);
    double n = cell.total.stable.requests,
           x = cell.total.stable.errors / std::max(1.0, model_.clump);
    for (const auto& done : cell.instances) {
      n -= done.requests;
      x -= done.errors / std::max(1.0, model_.clump);
    }
    const double own = i == model_.stable_instances ? n : random_.binomial(n, 1 / left);
    const double bad = i == model_.stable_instances ? x : random_.binomial(std::round(x), 1 / left);
    cell.instances.push_back({.instance = fmt::format("stable-{}", i),
                              .track = Track::stable,
                              .requests = own,
                              .errors = bad * std::max(1.0, model_.clump)});
  }
  hide_durations(cell);
  return cell;
}

// What the telemetry of the model does not tell.
void SimulatedTraffic::hide_durations(CountCell& cell) const {
  const bool stable_warms = static_cast<double>(cell.to_ms) <= model_.stable_warms_minutes * 60'000;
  const auto hide = [](TrackCounts& track) {
    track.bounds_ms = nullptr;
    track.bucket_counts.clear();
  };
  const auto row = [&](RouteCounts& counts) {
    if (!model_.durations) hide(counts.canary);
    if (!model_.durations || stable_warms) hide(counts.stable);
    if (stable_warms) counts.stable.warming_requests = counts.stable.requests;
  };
  if (model_.durations && !stable_warms) return;
  row(cell.total);
  for (auto& route : cell.routes) row(route);
}

std::vector<CountCell> SimulatedTraffic::baseline() {
  std::vector<CountCell> out;
  const double cells = model_.baseline_minutes * 60 / model_.cell_seconds;
  for (double i = 0; i < cells; ++i) out.push_back(next(0));
  return out;
}

std::vector<SimulatedStep> usual_steps() {
  return {{0.05, 10, 100}, {0.25, 10, 100}, {0.50, 15, 100}};
}

SimulatedRelease simulate_release(judge::Judge& judge, Traffic& traffic,
                                  const std::vector<SimulatedStep>& steps, double extend) {
  SimulatedRelease out;
  judge::Evidence evidence;
  evidence.cells = traffic.baseline();
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& step = steps[i];
    evidence.next_weight = i + 1 < steps.size() ? steps[i + 1].weight : 1;
    evidence.step_needed_minutes = step.minutes;
    evidence.step_min_requests = step.min_requests;
    evidence.step_minutes = 0;
    evidence.step_requests = 0;
    bool passed = false;
    while (!passed && evidence.step_minutes < step.minutes * extend - 1e-9) {
      const double before = traffic.minute();
      evidence.cells.push_back(traffic.next(step.weight));
      evidence.step_minutes += traffic.minute() - before;
      evidence.step_requests += evidence.cells.back().total.canary.requests;
      out.canary_requests += evidence.cells.back().total.canary.requests;
      auto judgement = judge.judge(evidence);
      evidence.cells.clear();
      out.minutes = traffic.minute();
      out.dispersion = judgement.dispersion;
      if (judgement.decision == judge::Decision::rollback) {
        out.outcome = Outcome::rolled_back;
        out.reason = std::move(judgement.reason);
        return out;
      }
      passed = judgement.decision == judge::Decision::promote;
      out.reason = std::move(judgement.reason);
    }
    if (!passed) return out;
  }
  out.outcome = Outcome::promoted;
  return out;
}

SimulationSummary summarize(const std::vector<SimulatedRelease>& releases,
                            const std::vector<SimulatedStep>& steps) {
  SimulationSummary out;
  out.runs = releases.size();
  if (releases.empty()) return out;
  double schedule = 0;
  for (const auto& s : steps) schedule += s.minutes;
  std::vector<double> rolled, promoted, dispersions;
  for (const auto& r : releases) {
    if (r.dispersion) dispersions.push_back(*r.dispersion);
    if (r.outcome == Outcome::rolled_back) rolled.push_back(r.minutes);
    if (r.outcome == Outcome::promoted) promoted.push_back(r.minutes);
    if (r.outcome == Outcome::promoted && r.minutes <= 1.5 * schedule + 1e-9)
      out.promoted_in_time += 1;
  }
  const auto all = static_cast<double>(releases.size());
  out.promoted = static_cast<double>(promoted.size()) / all;
  out.rolled_back = static_cast<double>(rolled.size()) / all;
  out.inconclusive = std::max(0.0, 1 - out.promoted - out.rolled_back);
  out.promoted_in_time /= all;
  out.rollback_median = quantile_of(rolled, 0.5);
  out.rollback_p95 = quantile_of(rolled, 0.95);
  out.promote_median = quantile_of(promoted, 0.5);
  out.promote_p95 = quantile_of(promoted, 0.95);
  out.dispersion_median = quantile_of(dispersions, 0.5);
  return out;
}

} // namespace coalmine::lab
