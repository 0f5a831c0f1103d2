// One e-process bet on several beginnings: half of the stake from the first cell, the rest on
// restarts later. A regression that sets in late is then not diluted by the good time before it;
// the mixture is still one e-process. Values; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "judge/stats/linear_margin.h"
#include "judge/stats/special.h"

namespace coalmine::judge {

// The evidence of a process, for the mixtures below.
inline constexpr auto kLogE = [](const auto& process) { return process.log_e(); };

// Minutes of observed time at which a process begins, ascending from 0, and the logarithm of its
// share of the stake.
struct EpochPlan {
  std::span<const double> starts;
  std::span<const double> log_stakes; // of shares that add up to 1
};
template <std::size_t N>
std::array<double, N> log_of(std::array<double, N> stakes) {
  for (double& stake : stakes) stake = std::log(stake);
  return stakes;
}
inline constexpr std::array<double, 7> kServiceStarts = {0, 5, 10, 20, 30, 40, 50};
inline const auto kServiceLogStakes =
    log_of<7>({0.5, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12});
inline constexpr std::array<double, 3> kRouteStarts = {0, 10, 30};
inline const auto kRouteLogStakes = log_of<3>({0.5, 0.25, 0.25});
inline constexpr std::array<double, 1> kOneStart = {0};
inline const auto kOneLogStake = log_of<1>({1});

// Counts of both arms since an epoch began. stable_expected: bad events that stable's rates would
// have given on the canary's requests, cell by cell. It keeps the comparison fair when the split
// changes while the common rate moves.
struct Totals {
  double x1 = 0, n1 = 0, x0 = 0, n0 = 0;
  double compared = 0; // canary requests in cells where stable had some
  double compared_bad = 0;
  double stable_expected = 0;
  void add(const Cell& cell) {
    if (!usable(cell)) return;
    x1 += cell.x1;
    n1 += cell.n1;
    x0 += cell.x0;
    n0 += cell.n0;
    if (!(cell.n0 > 0)) return;
    compared += cell.n1;
    compared_bad += cell.x1;
    stable_expected += cell.n1 * cell.x0 / cell.n0;
  }
  double canary_rate() const { return compared > 0 ? compared_bad / compared : 0; }
  double stable_rate() const {
    return compared > 0 ? stable_expected / compared : n0 > 0 ? x0 / n0 : 0;
  }
};

// Process: anything with add(cell, phi) and a default copy that has seen nothing, of which ln E is
// 0.
template <typename Process>
class Epochs {
 public:
  struct Weight {
    double log_e = 0;       // of the mixture
    std::size_t driver = 0; // the epoch that carries most of it
  };

  Epochs() = default;
  Epochs(EpochPlan plan, const Process& fresh)
      : plan_(plan), processes_(plan.starts.size(), fresh) {}

  // minute: never falls.
  void add(const Cell& cell, double phi, double minute) {
    while (begun_ < processes_.size() && minute >= plan_.starts[begun_]) ++begun_;
    const std::span begun(processes_.data(), begun_);
    if constexpr (requires(Process p) { p.add_growth(p.growth(cell, phi)); }) {
      if (begun.empty()) return;
      const auto growth = begun.front().growth(cell, phi);
      for (auto& process : begun) process.add_growth(growth);
    } else {
      for (auto& process : begun) process.add(cell, phi);
    }
  }
  // of maps a process to its ln E.
  template <typename F>
  Weight weight(F&& of) const {
    Weight out;
    if (processes_.empty()) return out;
    double terms[16];
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      terms[i] = plan_.log_stakes[i] + (i < begun_ ? of(processes_[i]) : 0);
      if (i < begun_ && terms[i] > terms[out.driver]) out.driver = i;
    }
    out.log_e = log_sum_exp(std::span(terms, processes_.size()));
    return out;
  }
  template <typename F>
  double log_e(F&& of) const {
    return weight(of).log_e;
  }
  std::vector<Process>& processes() { return processes_; }
  const std::vector<Process>& processes() const { return processes_; }
  const EpochPlan& plan() const { return plan_; }

 private:
  EpochPlan plan_;
  std::vector<Process> processes_;
  std::size_t begun_ = 0; // the number of epochs, from the first on, that have begun
};

} // namespace coalmine::judge
