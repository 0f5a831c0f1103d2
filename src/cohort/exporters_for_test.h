// Series of exporters for the tests of the grid. Times are in seconds after the origin.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cmath>
#include <cstdint>
#include <functional>
#include <numeric>
#include <string>
#include <vector>

#include "cohort/count_grid.h"

namespace coalmine::cohort {

inline constexpr std::int64_t kOrigin = 1'000'000'000;
inline constexpr std::int64_t kFar = INT64_MAX;

inline std::int64_t at(double seconds) {
  return kOrigin + static_cast<std::int64_t>(std::llround(seconds * 1000));
}

// {seconds after the origin, value, start in seconds after the origin}
struct At {
  double second;
  double value;
  double start = -3600;
};

inline std::uint64_t id_of(const std::string& text) { return std::hash<std::string>()(text); }

inline CountSeries series(Track track, Measure measure, const std::string& instance,
                          const std::string& route, const std::vector<At>& points,
                          Source source = Source::sent) {
  CountSeries out;
  out.id =
      id_of(std::to_string(static_cast<int>(track)) + std::to_string(static_cast<int>(measure)) +
            instance + "|" + route + "|" + std::to_string(static_cast<int>(source)));
  out.track = track;
  out.measure = measure;
  out.source = source;
  out.instance = instance;
  out.route = route;
  for (const auto& p : points)
    out.floats.push_back({at(p.second), p.start == 0 ? 0 : at(p.start), p.value});
  return out;
}

// A steady exporter: one export every `every` seconds from `from`, with `rate` requests a second
// since one hour before the origin.
inline CountSeries steady(Track track, const std::string& instance, double from, double every,
                          double until, double rate, Measure measure = Measure::requests,
                          const std::string& route = "/pay") {
  std::vector<At> points;
  for (double t = from; t <= until; t += every) points.push_back({t, rate * (t + 3600)});
  return series(track, measure, instance, route, points);
}

inline GridOptions options() {
  GridOptions out;
  out.origin_ms = kOrigin;
  out.min_route_requests = 0;
  return out;
}

inline double total(const std::vector<CountCell>& cells,
                    const std::function<double(const CountCell&)>& of) {
  return std::accumulate(cells.begin(), cells.end(), 0.0,
                         [&](double sum, const CountCell& cell) { return sum + of(cell); });
}

} // namespace coalmine::cohort
