// The sequential judge's knowledge of stable: its counts before the canary, and how much more its
// errors vary than those of independent requests. Values of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "judge/metric_line.h"
#include "judge/stats/dispersion.h"
#include "judge/stats/linear_margin.h"
#include "judge/stats/tail_dispersion.h"
#include "judge/stats/tails.h"
#include "telemetry/cell.h"

namespace coalmine::judge {

inline constexpr std::size_t kMaxJudgedRoutes = 500;

// A row of a cell as the processes take it, without the canary's requests that are warming up.
// Rounding of interpolated counts may leave a hair more errors than requests: they are cut off.
Cell errors_of(const RouteCounts& row);
// Those that errors_of leaves out, beside all of stable's.
Cell warming_errors_of(const RouteCounts& row);

// Stable before the canary: the service, or one route.
struct Past {
  double requests = 0;
  double errors = 0;
  MetricPast client_errors; // of the requests whose HTTP status is known
  MetricPast share;         // of a route: its requests, of those of the service
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

// Measures the phi that tempers evidence. Learns from stable in every cell, also while the canary
// is judged, and always after the cell that it tempers. Processes of one time are compared with one
// another; where only one is known, neighbouring cells are.
class StableDispersion {
 public:
  void add(const CountCell& cell);
  double errors() const { return std::max(errors_.phi(), least_errors_); }
  // Of a route: its own, where stable's processes show it, else that of the service.
  double errors(const std::string& route) const;
  double client_errors() const { return client_errors_.phi(); }
  // How much stable's processes differ for good; see BlockDispersion. "": the service.
  double lasting_errors(const std::string& route) const;
  const TailDispersion& tails() const { return tails_; }
  // From now on phi of errors and of tails is at least factor times what it was there.
  void keep_above(const StableDispersion& there, double factor);

 private:
  using Members = std::vector<BlockDispersion::Member>;
  std::uint32_t slot_of(const std::string& instance);
  void add_errors(const CountCell& cell);
  void add_routes(const CountCell& cell);
  void add_tails(const CountCell& cell);

  BlockDispersion errors_;
  std::map<std::string, BlockDispersion> routes_;
  TailDispersion tails_;
  ShareDispersion client_errors_;
  void forget_members();
  std::map<std::string, std::uint32_t> slots_; // of stable's processes
  std::uint64_t cell_ = 0;
  double least_errors_ = 1;
};

// The processes of both tracks that served requests in a cell; 0: not known.
struct Processes {
  double canary = 0;
  double stable = 0;
};
Processes processes_of(const CountCell& cell);
// Requests of a process of the canary by those of a process of stable in the cell; 1: not known.
double load_of(const CountCell& cell);
// Whether a canary whose processes are as good as stable's would show such a difference, relative
// to stable's rate, in one of a thousand cases or more: stable's processes differ from one another
// by this variation, and nobody knows which of them the canary's are like.
bool processes_explain(double difference, double variation, const Processes& processes);

// What tempers one cell's evidence.
struct Phi {
  ArmPhi errors{};
  TailPhi tails{};
};

} // namespace coalmine::judge
