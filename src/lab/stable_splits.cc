// SPDX-License-Identifier: Apache-2.0
#include "lab/stable_splits.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "judge/trial/process_split.h"
#include "lab/replay.h"
#include "rollout/evidence/evidence_feed.h"

namespace coalmine::lab {
namespace {

// Also the longest cell.
constexpr std::int64_t kLongestSilenceMs = 5 * 60'000;

// Binomials of more trials are drawn as normals, which is quick and exact enough.
constexpr double kLargeCount = 1e7;

// Draws each of count (a fraction counts as one with its own chance) with the given chance.
double draw(double count, double chance, std::mt19937_64& random) {
  if (!(count > 0) || !(chance > 0)) return 0;
  const double whole = std::floor(count);
  const double rest = std::bernoulli_distribution(count - whole)(random) ? 1 : 0;
  const double n = whole + rest;
  if (chance >= 1) return n;
  if (n > kLargeCount) {
    const double drawn =
        std::normal_distribution<double>(n * chance, std::sqrt(n * chance * (1 - chance)))(random);
    return std::clamp(std::round(drawn), 0.0, n);
  }
  return static_cast<double>(
      std::binomial_distribution<std::int64_t>(static_cast<std::int64_t>(n), chance)(random));
}

// Splits one row of stable in two.
RouteCounts split_row(const RouteCounts& from, double share, double more_errors,
                      std::mt19937_64& random) {
  RouteCounts out;
  out.route = from.route;
  out.share_bounds(from.stable.bounds_ms);
  const auto& all = from.stable;
  const double bad = draw(all.errors, share, random);
  const double good = draw(std::max(0.0, all.requests - all.errors), share, random);
  const double broken = draw(good, more_errors, random);
  out.canary.requests = good + bad;
  out.canary.errors = bad + broken;
  out.stable.errors = std::max(0.0, all.errors - bad);
  out.stable.requests = std::max(out.stable.errors, all.requests - out.canary.requests);
  if (all.answered > 0 && all.requests > 0) {
    const double known = std::min(1.0, all.answered / all.requests);
    out.canary.answered = out.canary.requests * known;
    out.stable.answered = out.stable.requests * known;
    const double drawn = draw(all.client_errors, share, random);
    out.canary.client_errors = std::min(drawn, out.canary.answered);
    out.stable.client_errors =
        std::min(std::max(0.0, all.client_errors - drawn), out.stable.answered);
  }
  for (const auto count : all.bucket_counts) {
    const double drawn = std::min(count, draw(count, share, random));
    out.canary.bucket_counts.push_back(drawn);
    out.stable.bucket_counts.push_back(count - drawn);
  }
  return out;
}

double share_at(const rollout::RolloutSpec& spec, double minutes) {
  for (const auto& step : spec.steps) {
    const double length = static_cast<double>(step.analyze_ms) / kMsPerMinute;
    if (minutes < length || step.weight >= 1) return std::min(step.weight, 0.5);
    minutes -= length;
  }
  return 0.5;
}

// What a cell says of a process or of stable as a whole.
enum class Seen { nothing, requests, unknown };

std::vector<Stretch> stretches(const std::vector<CountCell>& cells, std::int64_t gap,
                               const std::vector<Seen>& seen) {
  std::vector<Stretch> out;
  bool open = false;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    if (seen[i] == Seen::unknown) open = false;
    if (seen[i] != Seen::requests) continue;
    if (!open || cells[i].from_ms - cells[out.back().last - 1].to_ms >= gap) out.push_back({i, i});
    open = true;
    out.back().last = i + 1;
  }
  return out;
}

// The details of a process are there or not, all together; durations may not be sent at all.
Seen seen_of(const CountCell& cell, std::size_t at) {
  const auto& one = cell.instances[at];
  if (one.warming) return Seen::unknown;
  if (!one.bucket_counts.empty()) return Seen::requests;
  const auto is_its = [&](const InstancePart& part) { return part.instance == at; };
  const bool has_part = std::ranges::any_of(
      cell.routes, [&](const RouteCounts& row) { return std::ranges::any_of(row.parts, is_its); });
  const bool no_details = cell.total.stable.bucket_counts.empty() && cell.routes.empty();
  return has_part || no_details ? Seen::requests : Seen::unknown;
}

// The end of the shortest course of the plan; none: the cells end before.
std::optional<std::size_t> end_of_course(const rollout::RolloutSpec& spec,
                                         const std::vector<CountCell>& cells, std::size_t first) {
  for (const auto& step : spec.steps) {
    if (step.weight >= 1) break;
    if (first >= cells.size()) return std::nullopt;
    const auto until = cells[first].from_ms + step.analyze_ms;
    const auto end = std::ranges::lower_bound(cells, until, {}, &CountCell::to_ms);
    if (end == cells.end()) return std::nullopt;
    first = static_cast<std::size_t>(end - cells.begin()) + 1;
  }
  return first;
}

} // namespace

std::int64_t gap_ms(const rollout::RolloutSpec& spec) {
  auto out = kLongestSilenceMs;
  for (const auto& step : spec.steps) {
    if (step.weight < 1 && step.analyze_ms > 0) out = std::min(out, step.analyze_ms);
  }
  return out;
}

std::vector<Stretch> stretches_of_stable(const std::vector<CountCell>& cells, std::int64_t gap,
                                         const Silences& silences) {
  std::vector<Seen> seen;
  for (const auto& cell : cells) {
    const auto counted = cell.total.stable.requests > 0 ? Seen::requests : Seen::nothing;
    seen.push_back(is_silent(cell, silences.stable) ? Seen::unknown : counted);
  }
  return stretches(cells, gap, seen);
}

std::vector<StableProcess> processes_of_stable(const std::vector<CountCell>& cells,
                                               std::int64_t gap, const Silences& silences) {
  std::map<std::string, std::vector<Seen>> seen;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    const auto& instances = cells[i].instances;
    const bool alone = std::ranges::count_if(instances, judge::is_of_stable) < 2;
    for (std::size_t at = 0; at < instances.size(); ++at) {
      const auto& one = instances[at];
      if (!judge::is_of_stable(one) || !(one.requests > 0)) continue;
      auto& of = seen.try_emplace(one.instance, cells.size(), Seen::nothing).first->second;
      of[i] = alone ? Seen::unknown : seen_of(cells[i], at);
    }
  }
  std::vector<StableProcess> out;
  for (auto& [name, of] : seen) {
    const auto silent = silences.processes.find(name);
    for (std::size_t i = 0; i < cells.size() && silent != silences.processes.end(); ++i)
      if (is_silent(cells[i], silent->second)) of[i] = Seen::unknown;
    out.push_back({name, stretches(cells, gap, of)});
  }
  return out;
}

std::vector<Place> places_in(const rollout::RolloutSpec& spec, const std::vector<CountCell>& cells,
                             const std::vector<Stretch>& stretches) {
  std::vector<Place> out;
  for (const auto& stretch : stretches) {
    std::size_t past = stretch.first;
    for (auto first = past; first < stretch.last; ++first) {
      const auto begin = cells[first].from_ms - rollout::kBaselineMs;
      if (cells[past].from_ms > begin) continue;
      while (cells[past + 1].from_ms <= begin) ++past;
      const auto needed = end_of_course(spec, cells, first);
      if (!needed || *needed > stretch.last) break;
      out.push_back({.past = past, .first = first, .needed = *needed, .last = stretch.last});
    }
  }
  std::ranges::sort(out, {}, &Place::first);
  return out;
}

std::size_t canary_processes(const std::vector<CountCell>& release) {
  std::vector<std::size_t> counts;
  for (const auto& cell : release) {
    const auto is_there = [](const InstanceCounts& one) {
      return !judge::is_of_stable(one) && one.requests > 0;
    };
    const auto n = std::ranges::count_if(cell.instances, is_there);
    if (!cell.baseline && n > 0) counts.push_back(static_cast<std::size_t>(n));
  }
  if (counts.empty()) return 0;
  std::ranges::sort(counts);
  return counts[counts.size() / 2];
}

std::vector<CountCell> split_by_request(const rollout::RolloutSpec& spec,
                                        std::span<const CountCell> stable, std::size_t first,
                                        double more_errors, std::mt19937_64& random) {
  std::vector<CountCell> out;
  double minutes = 0;
  const double longest = static_cast<double>(longest_ms(spec)) / kMsPerMinute;
  for (std::size_t i = 0; i < stable.size() && minutes <= longest; ++i) {
    auto cell = stable[i];
    cell.mixed = cell.warming = false;
    cell.baseline = i < first;
    if (!cell.baseline) {
      const double share = share_at(spec, minutes);
      minutes += static_cast<double>(cell.to_ms - cell.from_ms) / kMsPerMinute;
      // Requests outside the routes are split by themselves; the whole is the sum.
      RouteCounts rest = cell.total;
      RouteCounts total;
      for (auto& row : cell.routes) {
        rest.stable.requests -= row.stable.requests;
        rest.stable.errors -= row.stable.errors;
        rest.stable.answered -= row.stable.answered;
        rest.stable.client_errors -= row.stable.client_errors;
        row = split_row(row, share, more_errors, random);
        total.canary.add_requests(row.canary);
        total.stable.add_requests(row.stable);
      }
      rest.stable.requests = std::max(0.0, rest.stable.requests);
      rest.stable.errors = std::clamp(rest.stable.errors, 0.0, rest.stable.requests);
      rest.stable.client_errors = std::max(0.0, rest.stable.client_errors);
      auto split = split_row(rest, share, more_errors, random);
      total.canary.add_requests(split.canary);
      total.stable.add_requests(split.stable);
      // Of a sample nothing is concluded in a real release either.
      total.canary.sampled = total.stable.sampled = cell.total.stable.sampled;
      total.share_bounds(cell.total.stable.bounds_ms);
      total.canary.bucket_counts = std::move(split.canary.bucket_counts);
      total.stable.bucket_counts = std::move(split.stable.bucket_counts);
      cell.total = std::move(total);
    } else {
      cell.total.canary = {};
      for (auto& row : cell.routes) row.canary = {};
    }
    out.push_back(std::move(cell));
  }
  return out;
}

std::vector<CountCell> split_by_process(const rollout::RolloutSpec& spec,
                                        std::span<const CountCell> stable, std::size_t first,
                                        const std::set<std::string>& canary) {
  std::vector<CountCell> out;
  const auto longest = longest_ms(spec);
  for (std::size_t i = 0; i < stable.size(); ++i) {
    if (i > first && stable[i].from_ms - stable[first].from_ms > longest) break;
    auto cell = stable[i];
    cell.baseline = i < first;
    judge::play_canary(cell, canary);
    out.push_back(std::move(cell));
  }
  return out;
}

} // namespace coalmine::lab
