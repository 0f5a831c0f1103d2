// The statistics of Kayenta's NetflixACAJudge-v1.0, operation by operation: cleaning of values,
// Mann-Whitney test with a confidence interval of the shift, effect sizes. The original's rules on
// them: judge/rank_rules.h. Facts: docs/concepts/judges.md. Pure functions; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <span>
#include <vector>

namespace coalmine::judge::rank {

std::vector<double> remove_nan(std::span<const double> values);
std::vector<double> replace_nan(std::span<const double> values); // by 0
// Inside the fences p25 - factor IQR and p75 + factor IQR; reduced: the fences are never inside the
// 1st and 99th percentile.
enum class Fences { usual, reduced };
std::vector<bool> iqr_outliers(std::span<const double> values, double factor, Fences fences);
struct Summary {
  double min = 0, max = 0, mean = 0, std = 0; // std: of a sample
  std::size_t count = 0;
};
Summary summarize(std::span<const double> values); // all 0 when empty
// Percentile p (0..100) by linear interpolation between order statistics (R's type 7). NaN when
// empty.
double percentile(std::span<const double> values, double p);

// Normal score of the rank sum of (x - mu) against y, tie and continuity corrected, minus quantile.
// Nothing where it is not defined (all values tied).
std::optional<double> wilcoxon_score(std::span<const double> x, std::span<const double> y,
                                     double mu, double quantile);

struct Shift {
  double low = 0, high = 0,
         estimate = 0; // of x over y: confidence interval, and Hodges-Lehmann's estimate
};
// Nothing where the original fails (all values tied at some shift). Arrays that are two different
// constants get noise of a hundred-thousandth of their value, from a generator with a fixed seed.
std::optional<Shift> mann_whitney(std::span<const double> x, std::span<const double> y,
                                  double confidence);

double mean_ratio(std::span<const double> experiment,
                  std::span<const double> control); // NaN when a mean is 0
double common_language(std::span<const double> experiment,
                       std::span<const double> control); // P(experiment > control), ties half

} // namespace coalmine::judge::rank
