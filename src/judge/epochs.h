// One e-process bet on several beginnings: half of the stake from the first cell, the rest on restarts later. A regression that
// sets in late is then not diluted by the good time before it; the mixture is still one e-process. Values; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cmath>
#include <span>
#include <vector>

#include "judge/linear_margin.h"
#include "judge/special.h"

namespace coalmine::judge {

// Minutes of observed time at which a process begins, and its share of the stake.
struct EpochPlan {
  std::span<const double> starts;
  std::span<const double> stakes; // add up to 1
};
inline constexpr std::array<double, 7> kServiceStarts = {0, 5, 10, 20, 30, 40, 50};
inline constexpr std::array<double, 7> kServiceStakes = {0.5, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12, 1.0 / 12};
inline constexpr std::array<double, 3> kRouteStarts = {0, 10, 30};
inline constexpr std::array<double, 3> kRouteStakes = {0.5, 0.25, 0.25};
inline constexpr std::array<double, 1> kOneStart = {0};
inline constexpr std::array<double, 1> kOneStake = {1};

// What both arms did since an epoch began. stable_expected: what stable's rates would have given on the canary's requests, cell
// by cell: the fair comparison when the split changes while the common rate moves.
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
  double stable_rate() const { return compared > 0 ? stable_expected / compared : n0 > 0 ? x0 / n0 : 0; }
};

// Process: anything with add(cell, phi) and a default copy that has seen nothing.
template <typename Process>
class Epochs {
 public:
  Epochs() = default;
  Epochs(EpochPlan plan, const Process& fresh) : plan_(plan), processes_(plan.starts.size(), fresh) {}

  void add(const Cell& cell, double phi, double minute) {
    if constexpr (requires(Process p) { p.add_growth(p.growth(cell, phi)); }) {
      if (processes_.empty()) return;
      const auto growth = processes_.front().growth(cell, phi);
      for (std::size_t i = 0; i < processes_.size(); ++i) {
        if (minute >= plan_.starts[i]) processes_[i].add_growth(growth);
      }
      return;
    }
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      if (minute >= plan_.starts[i]) processes_[i].add(cell, phi);
    }
  }
  // ln of the mixture; log_e maps a process to its ln E.
  template <typename F>
  double log_e(F&& of) const {
    if (processes_.empty()) return 0;
    double terms[16];
    for (std::size_t i = 0; i < processes_.size(); ++i) terms[i] = std::log(plan_.stakes[i]) + of(processes_[i]);
    return log_sum_exp(std::span(terms, processes_.size()));
  }
  // The epoch that carries most of the evidence, of those that have begun.
  template <typename F>
  std::size_t driver(F&& of, double minute) const {
    std::size_t best = 0;
    double most = -kInfinity;
    for (std::size_t i = 0; i < processes_.size(); ++i) {
      const double share = std::log(plan_.stakes[i]) + of(processes_[i]);
      if (share > most && (i == 0 || plan_.starts[i] <= minute)) {
        most = share;
        best = i;
      }
    }
    return best;
  }
  std::vector<Process>& processes() { return processes_; }
  const std::vector<Process>& processes() const { return processes_; }
  const EpochPlan& plan() const { return plan_; }

 private:
  EpochPlan plan_;
  std::vector<Process> processes_;
};

} // namespace coalmine::judge
