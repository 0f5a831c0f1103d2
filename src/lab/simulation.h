// Simulated releases: traffic with a known truth, for measuring a judge's decisions. Deterministic:
// the same seed gives the same releases. Pure; one object, one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "judge/judge.h"

namespace coalmine::lab {

// xoshiro256** seeded by splitmix64, and exact samplers by inversion from the mode.
class SimulationRandom {
 public:
  explicit SimulationRandom(std::uint64_t seed);
  std::uint64_t next();
  double uniform(); // in (0, 1)
  double normal();
  double poisson(double mean);
  double binomial(double n, double p);
  double gamma(double shape); // of scale 1

 private:
  std::array<std::uint64_t, 4> state_;
};

// The properties that both tracks share. Latency is lognormal, counted in buckets.
struct TrafficModel {
  double rps = 200; // both tracks together
  double error_rate = 0.01;
  double median_ms = 80;
  double sigma = 0.6;
  std::vector<double> bounds_ms; // empty: OpenTelemetry's default boundaries
  double cell_seconds = 15;
  double baseline_minutes = 30; // of stable, before the canary
  double clump = 1;             // errors come in groups of this size
  // Standard deviation of ln of the rate that both tracks share, from cell to cell (first order,
  // 0.9).
  double burst = 0;
  // Coefficient of variation of each track's own error rate, from cell to cell.
  double arm_noise = 0;
  int stable_instances = 1; // reported for the dispersion; 1: not known
  int routes = 0;           // of equal traffic; 0: none
  bool durations = true;    // false: requests and errors are counted, durations are not sent
  // From the beginning of the baseline: stable's instances warm up, their durations do not count.
  double stable_warms_minutes = 0;
};
// The canary's differences, from from_minute on.
struct CanaryChange {
  double error_rate_added = 0; // 0.01: one percentage point more
  double latency_factor = 1;   // all requests
  double slow_share = 0;       // this share of requests takes slow_factor times as long
  double slow_factor = 1;
  double from_minute = 0;
  double ramp_minutes = 0; // grows from nothing to all of it
  int only_route = -1;     // one route alone
};

// Makes the cells of one release.
class Traffic {
 public:
  virtual ~Traffic() = default;
  virtual CountCell next(double canary_weight) = 0; // 0: before the canary
  virtual std::vector<CountCell> baseline() = 0;    // all cells before the canary
  virtual double minute() const = 0;                // since the canary began
};

// Both tracks are drawn as a whole: their requests do not depend on each other.
class SimulatedTraffic final : public Traffic {
 public:
  SimulatedTraffic(TrafficModel model, CanaryChange change, std::uint64_t seed);
  std::vector<CountCell> baseline() override;
  CountCell next(double canary_weight) override;
  double minute() const override { return minute_; }

 private:
  struct Counts {
    double requests = 0;
    double errors = 0;
    std::vector<double> buckets;
  };
  Counts draw(double mean_requests, double error_rate, const std::vector<double>& shares);
  std::vector<double> shares(double factor, double slow_share, double slow_factor) const;
  void hide_durations(CountCell& cell) const;
  RouteCounts draw_route(const std::string& name, double requests, double weight, double common,
                         double strength);

  TrafficModel model_;
  CanaryChange change_;
  SimulationRandom random_;
  std::shared_ptr<const std::vector<double>> bounds_;
  std::vector<double> stable_shares_;
  double shared_ = 0; // ln of the common factor
  double minute_ = 0;
  std::int64_t time_ms_ = 0;
};

struct SimulatedStep {
  double weight = 0.05;
  double minutes = 10;
  double min_requests = 100;
};
std::vector<SimulatedStep> usual_steps(); // 5% 10m, 25% 10m, 50% 15m

enum class Outcome { promoted, rolled_back, inconclusive };
struct SimulatedRelease {
  Outcome outcome = Outcome::inconclusive;
  double minutes = 0; // until it ended
  double canary_requests = 0;
  std::string reason;
  std::optional<double> dispersion{}; // phi that the judge used at the end
};
// One release through all steps: each step ends when the judge promotes, or is inconclusive after
// extend times its minutes.
SimulatedRelease simulate_release(judge::Judge& judge, Traffic& traffic,
                                  const std::vector<SimulatedStep>& steps, double extend);

// Shares of many releases, and how long they took.
struct SimulationSummary {
  std::size_t runs = 0;
  double promoted = 0, rolled_back = 0, inconclusive = 0;
  double rollback_median = 0, rollback_p95 = 0; // minutes, of those rolled back
  double promote_median = 0, promote_p95 = 0;
  double promoted_in_time = 0;  // share of all releases, within one and a half times the schedule
  double dispersion_median = 0; // of those in which the judge knew one
};
SimulationSummary summarize(const std::vector<SimulatedRelease>& releases,
                            const std::vector<SimulatedStep>& steps);

inline const std::vector<double> kOtelBoundsMs = {0,   5,   10,   25,   50,   75,   100,  250,
                                                  500, 750, 1000, 2500, 5000, 7500, 10000};

} // namespace coalmine::lab
