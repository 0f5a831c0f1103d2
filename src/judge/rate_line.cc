// SPDX-License-Identifier: Apache-2.0
#include "judge/rate_line.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

using HarmProcess = std::variant<OnsetProcess<ExcessBets>, OnsetProcess<OddsBets>>;

HarmProcess harm_process(const LineOptions& options, const LinearMargin& margin, bool exact,
                         const Part& past) {
  if (options.strict) return OnsetProcess(options.onset, ExcessBets(margin.r0, margin.delta));
  if (exact) return OnsetProcess(options.onset, OddsBets(past.bad, past.requests));
  return OnsetProcess(options.onset, ExcessBets());
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

Cell against_known_zero(const Cell& cell) { return {cell.x1, cell.n1, 0, 1e15}; }

LinearMargin linear_margin(const Margin& margin, double floor, double scale, double rate) {
  const double amount = std::isfinite(margin.amount) ? margin.amount * scale : 0;
  switch (margin.unit) {
    case Margin::Unit::percent: return null_of({true, amount, floor}, rate);
    case Margin::Unit::points: return null_of({false, amount, floor}, rate);
    default: break; // no unit of a rate
  }
  return {1, floor};
}

RateLine::RateLine(const LineOptions& options, const LinearMargin& margin,
                   std::span<const LinearMargin> harms, bool exact, std::optional<double> limit,
                   const Part& past)
    : margin_(margin),
      harms_(harms.begin(), harms.end()),
      limit_(limit),
      harm_(harm_process(options, margin, exact, past)) {
  const double rate = past.requests > 0 ? past.bad / past.requests : 0;
  for (const auto& harm : harms_) safety_.push_back(safety_with(harm, rate));
  safety_with_warm_up_ = safety_;
}

void RateLine::add(const Cell& cell, const Cell& with_warm_up, const ArmPhi& phi, double minute) {
  const auto tempered = phi.temper(cell);
  std::visit([&](auto& process) { process.add(tempered, cell, minute); }, harm_);
  for (auto& process : safety_) process.add(tempered);
  for (auto& process : safety_with_warm_up_) process.add(phi.temper(with_warm_up));
  difference_.add(tempered);
  with_warm_up_.add(with_warm_up);
  if (limit_ && usable(with_warm_up)) over_limit_.add(against_known_zero(phi.temper(with_warm_up)));
}

double RateLine::log_harm() const {
  const double worse = std::visit([](const auto& process) { return process.log_e(); }, harm_);
  if (!limit_) return worse;
  const double both[] = {worse, over_limit_.log_e(*limit_)};
  return log_mean_exp(both);
}

const Totals& RateLine::driver() const {
  return std::visit([](const auto& process) -> const Totals& { return process.since(); }, harm_);
}

const Totals& RateLine::all() const {
  return std::visit([](const auto& process) -> const Totals& { return process.all(); }, harm_);
}

bool RateLine::from_start() const {
  return std::visit([](const auto& process) { return process.from_start(); }, harm_);
}

double RateLine::log_safety(std::size_t harm) const {
  if (harm >= safety_.size()) return 0;
  const double delta = harms_[harm].delta;
  const double both[] = {safety_[harm].log_e(delta), safety_with_warm_up_[harm].log_e(delta)};
  return log_mean_exp(both);
}

std::optional<Interval> RateLine::difference(double bar_low, double bar_high) const {
  if (!(all().compared > 0)) return std::nullopt;
  return difference_.at(bar_low, bar_high);
}

void RateDifference::add(const Cell& tempered) {
  more_.add(tempered);
  fewer_.add(tempered);
}

std::optional<Interval> RateDifference::at(double bar_low, double bar_high) const {
  const double bets = std::log(static_cast<double>(kRatioBets.size()));
  const auto harm = [&](double delta) {
    const auto at = more_.log_sum_at(delta);
    return std::pair(at.log_sum - bets - bar_low, -at.slope);
  };
  Interval out{-1, 1};
  if (harm(-1).first > 0) out.lower = falling_root(harm, -1, 1);
  // Safety rises with delta: mirrored, it falls from the left.
  const auto safe = [&](double mirrored) {
    double terms[kShrinkBets.size()], slope = 0;
    const auto& sums = fewer_.sums();
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
