// The routes that a sequential judge weighs one by one, beside the service as a whole. A part of
// one judge; one thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "judge/error_budget.h"
#include "judge/scope_lines.h"
#include "judge/sequential_past.h"

namespace coalmine::judge {

class JudgedRoutes {
 public:
  struct Route {
    std::string name;
    Scope scope;
  };
  // The parts that set up a new route. They outlive the routes.
  struct Sources {
    const LinePlan& plan;
    ErrorBudget& budget;
    const StablePast& past;
    const std::set<std::string>& critical;
  };
  explicit JudgedRoutes(Sources sources) : from_(sources) {}

  // Takes in every route that stable had before, seen again or not.
  void add_past();
  // dispersion: as it was known before the cell.
  void feed(const CountCell& cell, const StableDispersion& dispersion, double minute);
  const std::vector<Route>& all() const { return routes_; }

 private:
  // The route's place in routes_. Adds a new route.
  std::size_t place(const std::string& name);

  const Sources from_;
  std::vector<Route> routes_;
  std::map<std::string, std::size_t> index_;
};

} // namespace coalmine::judge
