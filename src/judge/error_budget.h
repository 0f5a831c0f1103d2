// Splits alpha_rollback: one budget for all signals, routes, looks and steps of a rollout. Values
// of one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/sequential_past.h"

namespace coalmine::judge {

// Where each kind of signal stands in SequentialOptions::signals. Constant.
struct SignalPlaces {
  explicit SignalPlaces(const std::vector<SignalSpec>& signals);

  std::optional<std::size_t> rate;   // the error rate
  std::optional<std::size_t> share;  // the request share
  std::optional<std::size_t> client; // the client error rate
  std::optional<std::size_t> restarts;
  std::vector<std::size_t> tails; // latencies, in the order of a TailLine's marks
  std::vector<std::size_t> metrics;
  std::size_t whole = 0; // the number of signals, from the first on, that the service always has
  bool routes = false;   // some signal can decide on a route
};

class ErrorBudget {
 public:
  // critical outlives this.
  ErrorBudget(const SignalPlaces& signals, const std::set<std::string>& critical);

  // Shares of the whole. A signal that is not configured leaves its share to the others.
  double rate() const { return rate_; }
  double tail() const { return tail_; }
  double client() const { return client_; }
  double routes() const { return routes_; }
  double metric() const { return metric_; } // of each metric

  // Call once, when the canary begins: what stable had by then decides what its routes get.
  void fix(const StablePast& past);
  // The share of one route, from that of all routes. Each call for a route that stable did not have
  // takes the next of a falling series.
  double take_route(const std::string& name, const Past* past);

 private:
  double take_late_route(bool critical);
  double stake(const std::string& route) const { return critical_.contains(route) ? 2 : 1; }

  const std::set<std::string>& critical_;
  double rate_ = 0;
  double tail_ = 0;
  double client_ = 0;
  double routes_ = 0;
  double metric_ = 0;
  double past_root_ = 0; // sum over the past's routes of stake times the square root of traffic
  std::size_t late_routes_ = 0;
  std::size_t late_critical_routes_ = 0;
};

} // namespace coalmine::judge
