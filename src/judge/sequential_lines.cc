// SPDX-License-Identifier: Apache-2.0
#include "judge/sequential_lines.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

const auto kHarm = [](const auto& process) { return process.log_e(); };

// A limit is a margin over a stable arm that is known to have no bad events: then n0 goes to
// infinity and x0 is 0.
Cell against_known_zero(const Cell& cell) { return {cell.x1, cell.n1, 0, 1e15}; }

// The best bet when the canary's rate is what stable's was: p / null. Kept off 0, where one bad
// event would end it.
SafetyProcess safety_with(const LinearMargin& harm, double rate) {
  const double null = harm.at(rate);
  if (!(rate >= 0) || !(null > rate)) return SafetyProcess(harm.r0);
  return SafetyProcess(harm.r0, std::clamp(rate / null, 0.02, 0.98));
}

// Where a convex function that falls from the left reaches 0; from: a point left of it.
template <typename F>
double falling_root(F&& f, double from, double to) {
  double x = from;
  for (int i = 0; i < 60; ++i) {
    const auto [value, slope] = f(x);
    if (!(slope < 0) || std::abs(value) < 1e-9) break;
    const double step = -value / slope; // Newton's steps stay left of the root
    if (!(step > 1e-12)) break;
    x = std::min(to, x + step);
  }
  return x;
}

} // namespace

LinearMargin linear_margin(const Margin& margin, double floor, double scale) {
  const double amount = std::isfinite(margin.amount) ? margin.amount : 0;
  switch (margin.unit) {
    case Margin::Unit::percent: return {1 + amount * scale, floor};
    case Margin::Unit::points: return {1, std::max(amount * scale, floor)};
    default: break; // no unit of a rate
  }
  return {1, floor};
}

RateLine::RateLine(const LineOptions& options, const LinearMargin& margin,
                   std::span<const LinearMargin> harms, bool exact, std::optional<double> limit,
                   double past_bad, double past_requests)
    : margin_(margin),
      harms_(harms.begin(), harms.end()),
      strict_(options.strict),
      exact_(exact && !options.strict),
      limit_(limit),
      excess_(options.plan, ExcessProcess()),
      totals_(options.plan, TotalsProcess()) {
  if (strict_ && margin_.r0 != 1)
    beyond_ = Epochs<ExcessProcess>(options.plan, ExcessProcess(margin_.r0));
  if (exact_)
    bernoulli_ = Epochs<BernoulliProcess>(options.plan, BernoulliProcess(past_bad, past_requests));
  past_rate_ = past_requests > 0 ? past_bad / past_requests : 0;
  for (const auto& harm : harms_) safety_.push_back(safety_with(harm, past_rate_));
}

void RateLine::add(const Cell& cell, double phi, double minute) {
  excess_.add(cell, phi, minute);
  totals_.add(cell, phi, minute);
  if (!beyond_.processes().empty()) beyond_.add(cell, phi, minute);
  if (exact_) bernoulli_.add(cell, phi, minute);
  for (auto& process : safety_) process.add(cell, phi);
  width_.add(cell, phi);
  if (limit_ && usable(cell)) over_limit_.add(against_known_zero(cell), phi);
  weigh();
}

void RateLine::weigh() {
  const auto take = [&](const auto& weight) { harm_ = {weight.log_e, weight.driver}; };
  if (exact_) {
    take(bernoulli_.weight(kHarm));
  } else {
    take(excess_.weight(kHarm));
  }
  if (strict_) {
    const auto at_margin = [&](const ExcessProcess& p) { return p.log_e(margin_.delta); };
    harm_.log_e = (beyond_.processes().empty() ? excess_ : beyond_).log_e(at_margin);
  }
  if (limit_) {
    const double both[] = {harm_.log_e, over_limit_.log_e(*limit_)};
    harm_.log_e = log_mean_exp(both);
  }
}

double RateLine::log_safety(std::size_t harm) const {
  return harm < safety_.size() ? safety_[harm].log_e(harms_[harm].delta) : 0;
}

std::optional<Interval> RateLine::difference(double bar_low, double bar_high) const {
  const auto& totals = all();
  if (!(totals.compared > 0)) return std::nullopt;
  const auto& plan = excess_.plan();
  const double bets = std::log(static_cast<double>(kRatioBets.size()));
  const auto harm = [&](double delta) {
    double terms[16], slope = 0;
    const auto& processes = excess_.processes();
    double slopes[16];
    for (std::size_t i = 0; i < processes.size(); ++i) {
      const auto at = processes[i].log_sum_at(delta);
      terms[i] = plan.log_stakes[i] + at.log_sum - bets;
      slopes[i] = at.slope;
    }
    const double whole = log_sum_exp(std::span(terms, processes.size()));
    for (std::size_t i = 0; i < processes.size(); ++i)
      slope -= std::exp(terms[i] - whole) * slopes[i];
    return std::pair(whole - bar_low, slope);
  };
  Interval out{-1, 1};
  if (harm(-1).first > 0) out.lower = falling_root(harm, -1, 1);
  // Safety rises with delta: mirrored, it falls from the left.
  const auto safe = [&](double mirrored) {
    double terms[kShrinkBets.size()], slope = 0;
    const auto& sums = width_.sums();
    for (std::size_t i = 0; i < kShrinkBets.size(); ++i)
      terms[i] = sums.gain[i] - (1 - kShrinkBets[i]) * sums.requests * mirrored;
    const double whole = log_sum_exp(terms);
    for (std::size_t i = 0; i < kShrinkBets.size(); ++i)
      slope -= std::exp(terms[i] - whole) * (1 - kShrinkBets[i]) * sums.requests;
    return std::pair(whole - std::log(static_cast<double>(kShrinkBets.size())) - bar_high, slope);
  };
  if (safe(-1).first > 0) out.upper = -falling_root(safe, -1, 1);
  if (out.lower > out.upper) return std::nullopt;
  return out;
}

TailLine::TailLine(const LineOptions& options, const Buckets& past, Boundaries boundaries,
                   std::vector<Mark> marks) {
  std::vector<double> rates;
  const double total = past.empty() ? 0 : past.total();
  for (const double b : boundaries.bounds_ms) {
    rates.push_back(total > 0 ? tail_count(past.bounds_ms, past.counts, b).value_or(0) / total : 0);
  }
  *this = TailLine(options, std::move(boundaries), std::move(marks), std::move(rates), total);
}

TailLine::TailLine(const LineOptions& options, Boundaries boundaries, std::vector<Mark> marks,
                   std::vector<double> past_rates, double past_total)
    : boundaries_(std::move(boundaries.bounds_ms)),
      marks_(std::move(marks)),
      strict_(options.strict),
      past_rates_(std::move(past_rates)) {
  for (const double stake : boundaries.stakes) log_stakes_.push_back(std::log(stake));
  for (std::size_t i = 0; i < boundaries_.size(); ++i) {
    if (!strict_)
      worse_.emplace_back(options.plan, BernoulliProcess(past_rates_[i] * past_total, past_total));
    totals_.emplace_back(options.plan, TotalsProcess());
  }
  for (const auto& mark : marks_) {
    if (strict_) beyond_.emplace_back(options.plan, ExcessProcess(mark.allowed_ratio));
    over_limit_.emplace_back();
    auto& list = safety_.emplace_back();
    for (const double ratio : mark.harms)
      list.push_back(safety_with({ratio, 0}, past_rates_[mark.boundary]));
  }
}

void TailLine::add(const RouteCounts& counts, double phi, double minute) {
  if (counts.shared_bounds() == nullptr) return;
  const auto& bounds = *counts.shared_bounds();
  const auto& canary = counts.canary.bucket_counts;
  const auto& stable = counts.stable.bucket_counts;
  if (!judge::usable(bounds, canary) || !judge::usable(bounds, stable)) return;
  double n1 = 0, n0 = 0;
  for (const double n : canary) n1 += n;
  for (const double n : stable) n0 += n;
  for (std::size_t i = 0; i < boundaries_.size(); ++i) {
    const auto x1 = tail_count(bounds, canary, boundaries_[i]),
               x0 = tail_count(bounds, stable, boundaries_[i]);
    if (!x1 || !x0) continue; // the cell lacks this boundary
    const Cell cell{std::min(*x1, n1), n1, std::min(*x0, n0), n0};
    if (!strict_) worse_[i].add(cell, phi, minute);
    totals_[i].add(cell, phi, minute);
    for (std::size_t m = 0; m < marks_.size(); ++m) {
      if (marks_[m].limit_boundary == i) over_limit_[m].add(against_known_zero(cell), phi);
      if (marks_[m].boundary != i) continue;
      if (strict_) beyond_[m].add(cell, phi, minute);
      for (auto& process : safety_[m]) process.add(cell, phi);
    }
  }
  canary_.add(bounds, canary);
  stable_.add(bounds, stable);
  weigh();
}

void TailLine::weigh() {
  if (strict_) return;
  double terms[kMaxBoundaries];
  std::size_t n = 0;
  double most = -kInfinity;
  harm_.epoch = 0; // the epoch of the boundary with the most evidence
  for (std::size_t i = 0; i < worse_.size(); ++i) {
    if (std::isinf(log_stakes_[i])) continue;
    const auto weight = worse_[i].weight(kHarm);
    terms[n] = log_stakes_[i] + weight.log_e;
    if (terms[n] > most) {
      most = terms[n];
      harm_.epoch = weight.driver;
    }
    ++n;
  }
  harm_.log_e = log_sum_exp(std::span(terms, n));
}

double TailLine::log_harm(std::size_t mark) const {
  const double out = strict_ ? beyond_[mark].log_e(kHarm) : worse_.empty() ? 0 : harm_.log_e;
  if (!marks_[mark].limit_boundary) return out;
  const double both[] = {out, over_limit_[mark].log_e(marks_[mark].limit_share)};
  return log_mean_exp(both);
}

std::optional<double> TailLine::share_over_limit(std::size_t mark) const {
  const auto at = marks_[mark].limit_boundary;
  if (!at) return std::nullopt;
  const auto& totals = totals_[*at].processes().front().totals;
  return totals.n1 > 0 ? std::optional(totals.x1 / totals.n1) : std::nullopt;
}

double TailLine::log_safety(std::size_t mark, std::size_t harm) const {
  return mark < safety_.size() && harm < safety_[mark].size() ? safety_[mark][harm].log_e() : 0;
}

const Totals& TailLine::driver(std::size_t mark) const {
  const auto epoch = strict_ ? beyond_[mark].weight(kHarm).driver : harm_.epoch;
  return totals_[marks_[mark].boundary].processes()[epoch].totals;
}

const Totals& TailLine::all(std::size_t mark) const {
  return totals_[marks_[mark].boundary].processes().front().totals;
}

} // namespace coalmine::judge
