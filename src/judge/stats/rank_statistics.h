// Kayenta's NetflixACAJudge-v1.0, operation by operation: transforms, Mann-Whitney test with a
// confidence interval of the shift, classification, effect sizes, scores. Its behaviour, including
// its weak spots, is kept as it is, so that a config carried over from Spinnaker decides here what
// it decided there. Facts: docs/concepts/judges.md. Pure functions; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::judge::rank {

enum class Direction { either, increase, decrease };
enum class NanStrategy { remove, replace };
enum class EffectMeasure { mean_ratio, common_language };
enum class Class { pass, high, low, nodata, nodata_fail, error };
std::string_view to_string(Class c); // Pass High Low Nodata NodataFailMetric Error

// What a metric allows. The four limits are 1.0 unless given, and 0.5 for the common language
// effect size.
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

// Order of the original: NaN first, then outliers, each array alone.
std::vector<double> remove_nan(std::span<const double> values);
std::vector<double> replace_nan(std::span<const double> values); // by 0
// Inside the fences p25 - factor IQR and p75 + factor IQR; reduced: the fences are never inside the
// 1st and 99th percentile.
std::vector<bool> iqr_outliers(std::span<const double> values, double factor, bool reduced);
std::vector<double> transform(std::span<const double> values, const MetricOptions& options);

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

struct Classification {
  Class label = Class::pass;
  double deviation = 1;  // the effect size
  bool critical = false; // fails the whole canary
  std::string reason;
  std::optional<Shift> shift; // where the test was made
};
// Of arrays that were transformed already.
Classification classify(const std::string& name, std::span<const double> control,
                        std::span<const double> experiment, const MetricOptions& options);

// One metric's result on its way to the score.
struct Scored {
  Class label = Class::pass;
  bool critical = false;
  std::vector<std::string> groups;
};
struct GroupScore {
  std::string name;
  double score = 0;
  bool no_data = false;
};
struct Score {
  double total = 0; // 0..100, two decimals
  std::vector<GroupScore> groups;
  std::string reason;
  bool no_data = false; // half of the metrics or more have none, or there is no metric
};
Score score(std::span<const Scored> metrics, const std::map<std::string, double>& group_weights);

enum class Mark { pass, marginal, fail };
Mark mark(double score, double pass, double marginal);
// A run of several judgements: every earlier one must be above marginal, the last at or above pass.
bool run_passes(std::span<const double> scores, std::optional<double> marginal,
                std::optional<double> pass);

} // namespace coalmine::judge::rank
