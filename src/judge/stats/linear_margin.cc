// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/linear_margin.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

// ln 1e9: ratios are searched between 1e-9 and 1e9.
constexpr double kLogRatioLimit = 20.723265836946414;

ExcessProcess excess_of(std::span<const Cell> cells, double r0, double phi) {
  ExcessProcess out(r0);
  for (const auto& cell : cells) out.add(cell, phi);
  return out;
}

// The largest ratio r with "p1 <= r p0" rejected at the bar; 0 when there is none.
double rejected_ratio(std::span<const Cell> cells, double bar, double phi) {
  const auto rejected = [&](double log_r) {
    return excess_of(cells, std::exp(log_r), phi).log_e() >= bar;
  };
  if (!rejected(-kLogRatioLimit)) return 0;
  return std::exp(increasing_root([&](double z) { return rejected(z) ? -1.0 : 1.0; },
                                  -kLogRatioLimit, kLogRatioLimit));
}

} // namespace

bool usable(const Cell& cell) {
  const auto is_count = [](double n) { return std::isfinite(n) && n >= 0; };
  return is_count(cell.x1) && is_count(cell.n1) && is_count(cell.x0) && is_count(cell.n0);
}

ExcessProcess::Sums ExcessProcess::growth(const Cell& cell, double phi) const {
  Sums out;
  if (!usable(cell) || !(phi >= 1) || cell.n1 + cell.n0 <= 0) return out;
  const double scaled = cell.n1 * r0_;
  for (std::size_t i = 0; i < kRatioBets.size(); ++i) {
    const double bet = kRatioBets[i];
    const double whole = scaled * bet + cell.n0;
    if (!(whole > 0)) continue;
    // a = R S / D and b = S / D, written as 1 + something so that huge counts keep their digits.
    const double up = cell.n0 * (bet - 1) / whole;
    const double down = -scaled * (bet - 1) / whole;
    double gain = 0;
    if (cell.x1 > 0) gain += cell.x1 * std::log1p(up);
    if (cell.x0 > 0) gain += cell.x0 * std::log1p(down);
    out.gain[i] = gain / phi;
    out.cost[i] = cell.n1 * up / phi;
  }
  return out;
}

void ExcessProcess::add_growth(const Sums& growth) {
  for (std::size_t i = 0; i < kRatioBets.size(); ++i) {
    sums_.gain[i] += growth.gain[i];
    sums_.cost[i] += growth.cost[i];
  }
}

double ExcessProcess::log_e(double delta) const {
  return log_sum_at(delta).log_sum - std::log(static_cast<double>(kRatioBets.size()));
}

ExcessProcess::Slope ExcessProcess::log_sum_at(double delta) const {
  std::array<double, kRatioBets.size()> terms;
  double top = -kInfinity;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    terms[i] = sums_.gain[i] - delta * sums_.cost[i];
    top = std::max(top, terms[i]);
  }
  if (!std::isfinite(top)) return {top, 0};
  double sum = 0, weighted = 0;
  for (std::size_t i = 0; i < terms.size(); ++i) {
    if (terms[i] - top < -45) continue; // has no digit in the sum
    const double share = std::exp(terms[i] - top);
    sum += share;
    weighted += share * sums_.cost[i];
  }
  return {top + std::log(sum), weighted / sum};
}

double SafetyProcess::gain_of(const Cell& cell, double bet, double log_bet) const {
  double gain = 0;
  if (cell.x1 > 0) gain += cell.x1 * log_bet;
  if (cell.x0 > 0) gain += cell.x0 * std::log1p(r0_ * (cell.n1 / cell.n0) * (1 - bet));
  return gain;
}

void SafetyProcess::add(const Cell& cell, double phi) {
  if (!usable(cell) || !(phi >= 1) || !(cell.n1 > 0) || !(cell.n0 > 0)) return;
  static const auto log_bets = [] {
    std::array<double, kShrinkBets.size()> out{};
    for (std::size_t i = 0; i < out.size(); ++i)
      out[i] = kShrinkBets[i] > 0 ? std::log(kShrinkBets[i]) : -kInfinity;
    return out;
  }();
  for (std::size_t i = 0; i < kShrinkBets.size(); ++i)
    sums_.gain[i] += gain_of(cell, kShrinkBets[i], log_bets[i]) / phi;
  if (bet_ >= 0)
    sums_.own_gain += gain_of(cell, bet_, bet_ > 0 ? std::log(bet_) : -kInfinity) / phi;
  sums_.requests += cell.n1 / phi;
}

double SafetyProcess::log_e(double delta) const {
  std::array<double, kShrinkBets.size()> terms;
  for (std::size_t i = 0; i < terms.size(); ++i)
    terms[i] = sums_.gain[i] + (1 - kShrinkBets[i]) * sums_.requests * delta;
  if (bet_ < 0) return log_mean_exp(terms);
  const double both[] = {std::log(0.25) + log_mean_exp(terms),
                         std::log(0.75) + sums_.own_gain + (1 - bet_) * sums_.requests * delta};
  return log_sum_exp(both);
}

LinearMargin null_of(const RateMargin& margin, double rate) {
  const auto& [relative, amount, floor] = margin;
  if (!relative) return {1, std::max(amount, floor)};
  return amount * rate >= floor ? LinearMargin{1 + amount, 0} : LinearMargin{1, floor};
}

SafetyProcess safety_with(const LinearMargin& harm, double rate) {
  const double null = harm.at(rate);
  if (!(rate >= 0) || !(null > rate)) return SafetyProcess(harm.r0);
  return SafetyProcess(harm.r0, std::clamp(rate / null, 0.02, 0.98));
}

double safety_growth(const LinearMargin& harm, double rate, double odds) {
  const double null = harm.at(rate);
  if (!(rate >= 0) || !(null > rate) || !(odds > 0)) return 0;
  const double bet = rate / null;
  const double of_canary = rate > 0 ? rate * std::log(bet) : 0;
  const double of_stable = rate / odds * std::log1p(harm.r0 * odds * (1 - bet));
  return std::max(0.0, of_canary + of_stable + harm.delta * (1 - bet));
}

double difference_lower(const ExcessProcess& process, double bar) {
  return increasing_root([&](double d) { return process.log_e(d) >= bar ? -1.0 : 1.0; }, -1, 1);
}

double difference_upper(const SafetyProcess& process, double bar) {
  return increasing_root([&](double d) { return process.log_e(d) < bar ? -1.0 : 1.0; }, -1, 1);
}

Interval ratio_interval(std::span<const Cell> cells, double alpha, double phi) {
  const double bar = std::log(2 / alpha);
  std::vector<Cell> swapped;
  swapped.reserve(cells.size());
  for (const auto& c : cells) swapped.push_back({c.x0, c.n0, c.x1, c.n1});
  const double other = rejected_ratio(swapped, bar, phi);
  return {rejected_ratio(cells, bar, phi), other > 0 ? 1 / other : kInfinity};
}

Interval difference_interval(std::span<const Cell> cells, double alpha, double phi) {
  ExcessProcess worse;
  SafetyProcess better;
  for (const auto& cell : cells) {
    worse.add(cell, phi);
    better.add(cell, phi);
  }
  const double bar = std::log(2 / alpha);
  return {difference_lower(worse, bar), difference_upper(better, bar)};
}

double requests_to_exclude(double p, double delta, double alpha) {
  if (!(delta > 0) || !(alpha > 0) || !(p >= 0)) return kInfinity;
  const double growth = p > 0 ? delta - p * std::log1p(delta / p) : delta;
  return growth > 0 ? (std::log(1 / alpha) + 1.2) / growth : kInfinity;
}

double detectable_excess(double p, double n1, double n0, double bar) {
  if (!(n1 > 0) || !(n0 > 0) || !(p >= 0)) return 1;
  // ln E of the best bet when the canary's rate is p + d is a Poisson likelihood ratio against the
  // pooled rate: its mean, less what it falls short of that in two of ten runs.
  const auto growth = [&](double d) {
    constexpr double kTwoOfTen = 0.8416; // standard deviations
    const double pooled = (n1 * (p + d) + n0 * p) / (n1 + n0);
    const double up = std::log((p + d) / pooled), down = p > 0 ? std::log(p / pooled) : 0;
    const double mean = n1 * (p + d) * up + n0 * p * down;
    const double variance = n1 * (p + d) * up * up + n0 * p * down * down;
    return mean - kTwoOfTen * std::sqrt(variance) - bar;
  };
  if (growth(1) < 0) return 1;
  return increasing_root(growth, 1e-12, 1);
}

} // namespace coalmine::judge
