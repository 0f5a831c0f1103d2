// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/multiplicity.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "judge/stats/special.h"

namespace coalmine::judge {

std::vector<std::size_t> e_bh(std::span<const double> e_values, double alpha) {
  std::vector<std::size_t> order(e_values.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const auto value = [&](std::size_t i) { return std::isnan(e_values[i]) ? 0.0 : e_values[i]; };
  std::ranges::stable_sort(order,
                           [&](std::size_t a, std::size_t b) { return value(a) > value(b); });
  std::size_t found = 0;
  const auto all = static_cast<double>(e_values.size());
  for (std::size_t k = 1; k <= order.size(); ++k) {
    if (value(order[k - 1]) >= all / (alpha * static_cast<double>(k))) found = k;
  }
  order.resize(found);
  std::ranges::sort(order);
  return order;
}

double log_weighted_average(std::span<const double> log_e, std::span<const double> weights) {
  std::vector<double> terms;
  for (std::size_t i = 0; i < log_e.size() && i < weights.size(); ++i) {
    if (weights[i] > 0 && !std::isnan(log_e[i])) terms.push_back(std::log(weights[i]) + log_e[i]);
  }
  return log_sum_exp(terms);
}

double evidence_excess(std::vector<double> log_e, double chance) {
  std::ranges::replace_if(log_e, [](double value) { return std::isnan(value); }, -kInfinity);
  std::ranges::sort(log_e, std::greater());
  const auto n = static_cast<double>(log_e.size());
  double out = 1;
  for (std::size_t k = 0; k < log_e.size() && log_e[k] > 0; ++k)
    out = std::max(out, log_e[k] / std::log(n / (static_cast<double>(k + 1) * chance)));
  return out;
}

} // namespace coalmine::judge
