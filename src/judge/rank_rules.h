// The rules of Kayenta's NetflixACAJudge-v1.0 on rank statistics: transforms, classification,
// scores. Its behaviour is kept, weak spots included, so that a config carried over from Spinnaker
// decides here as it did there. Facts: docs/concepts/judges.md. Pure functions; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "judge/rank_options.h"
#include "judge/stats/rank_statistics.h"

namespace coalmine::judge::rank {

// Order of the original: NaN first, then outliers, each array alone.
std::vector<double> transform(std::span<const double> values, const MetricOptions& options);

enum class Class { pass, high, low, nodata, nodata_fail, error };
std::string_view to_string(Class c); // Pass High Low Nodata NodataFailMetric Error

struct Classification {
  Class label = Class::pass;
  double deviation = 1;  // the effect size
  bool critical = false; // fails the whole canary
  std::string reason;
  std::optional<Shift> shift; // where the test was made
};
// The arrays must have been transformed already.
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
