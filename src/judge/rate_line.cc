// SPDX-License-Identifier: Apache-2.0
#include "judge/rate_line.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

const auto kHarm = [](const auto& process) { return process.log_e(); };

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

Cell against_known_zero(const Cell& cell) { return {cell.x1, cell.n1, 0, 1e15}; }

SafetyProcess safety_with(const LinearMargin& harm, double rate) {
  const double null = harm.at(rate);
  if (!(rate >= 0) || !(null > rate)) return SafetyProcess(harm.r0);
  return SafetyProcess(harm.r0, std::clamp(rate / null, 0.02, 0.98));
}

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

} // namespace coalmine::judge
