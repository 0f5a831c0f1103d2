// The rank judge's options for one metric, in the words of Kayenta's canary config. Plain values.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>

namespace coalmine::judge::rank {

enum class Direction { either, increase, decrease };
enum class NanStrategy { remove, replace };
enum class EffectMeasure { mean_ratio, common_language };
// The allowances of one metric. The four limits are 1.0 unless given, and 0.5 for the common
// language effect size.
struct MetricOptions {
  Direction direction = Direction::either;
  NanStrategy nan_strategy = NanStrategy::remove;
  bool remove_outliers = false;
  double outlier_factor = 3.0;
  bool critical = false;
  bool must_have_data = false;
  EffectMeasure measure = EffectMeasure::mean_ratio;
  std::optional<double> allowed_increase;
  std::optional<double> allowed_decrease;
  std::optional<double> critical_increase;
  std::optional<double> critical_decrease;
  double tolerance = 0.25;  // times the estimated shift; a constant of the original
  double confidence = 0.98; // likewise
};

} // namespace coalmine::judge::rank
