// The sequential judge's knowledge of stable: its counts before the canary, and how much more its
// errors vary than those of independent requests. Values of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "judge/stats/dispersion.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/tails.h"
#include "telemetry/cell.h"

namespace coalmine::judge {

inline constexpr std::size_t kMaxJudgedRoutes = 500;

// A row of a cell as the processes take it. Rounding of interpolated counts may leave a hair more
// errors than requests: they are cut off.
Cell errors_of(const RouteCounts& row);

// Stable before the canary: the service, or one route.
struct Past {
  double requests = 0;
  double errors = 0;
  MetricTrack client_errors; // of the requests whose HTTP status is known
  Buckets latency;

  void learn(const RouteCounts& row);
};

// Stable before the canary, with its routes. Margins, boundaries and stakes are chosen from it.
class StablePast {
 public:
  // critical: routes that are kept however many there are. Outlives this.
  explicit StablePast(const std::set<std::string>& critical) : critical_(critical) {}

  void learn(const CountCell& cell);
  bool known() const { return service_.requests > 0; }
  const Past& service() const { return service_; }
  const std::map<std::string, Past>& routes() const { return routes_; }
  const Past* route(const std::string& name) const; // null: stable did not have it
  double requests_per_minute() const { return minutes_ > 0 ? service_.requests / minutes_ : 0; }

 private:
  const std::set<std::string>& critical_;
  Past service_;
  double minutes_ = 0;
  std::map<std::string, Past> routes_;
};

// Dispersion: how much more errors and slow requests vary than independent ones would. At least 1.
struct Phi {
  double errors = 1;
  double tails = 1;
  double client_errors = 1;
};

// Measures the phi that tempers evidence. Learns from stable in every cell,
// also while the canary is judged, and always after the cell that it tempers.
class StableDispersion {
 public:
  void add(const CountCell& cell);
  Phi phi() const { return {errors_.phi(), tails_.phi(), client_errors_.phi()}; }

 private:
  void add_errors(const CountCell& cell);
  void add_tails(const CountCell& cell);
  void add_client_errors(const CountCell& cell);

  Dispersion errors_;
  Dispersion tails_;
  Dispersion client_errors_;
  double boundary_ms_ = 0;       // where tails_ compares; 0: not chosen yet
  Buckets seen_;                 // stable's latencies that the boundary is chosen from
  std::optional<Part> previous_; // stable in the cell before, when it had one instance
  std::optional<Part> previous_tail_;
  std::optional<Part> previous_client_errors_;
};

} // namespace coalmine::judge
