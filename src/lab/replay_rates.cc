// SPDX-License-Identifier: Apache-2.0
#include "lab/replay_rates.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <span>
#include <string>
#include <utility>

#include "lab/replay.h"
#include "lab/simulate.h"
#include "lab/stable_splits.h"

namespace coalmine::lab {
namespace {

void count(const std::vector<ReplayOutcome>& outcomes, double independent, SplitRate& out) {
  std::vector<double> minutes;
  for (const auto& outcome : outcomes) {
    if (outcome.end == ReplayEnd::promoted) ++out.promoted;
    if (outcome.end != ReplayEnd::rolled_back) continue;
    ++out.rolled_back;
    minutes.push_back(outcome.minutes);
  }
  out.runs = static_cast<int>(outcomes.size());
  std::ranges::sort(minutes);
  if (!minutes.empty()) out.median_minutes = minutes[minutes.size() / 2];
  const double share = out.runs > 0 ? static_cast<double>(out.rolled_back) / out.runs : 0;
  out.interval = share_interval(share, independent);
}

// Of the cells that are in any of these places.
double minutes_of(const std::vector<CountCell>& cells, const std::vector<Place>& places) {
  std::vector<int> change(cells.size() + 1);
  for (const auto& place : places) {
    ++change[place.past];
    --change[place.last];
  }
  double out = 0;
  int inside = 0;
  for (std::size_t i = 0; i < cells.size(); ++i) {
    inside += change[i];
    if (inside > 0) out += static_cast<double>(cells[i].to_ms - cells[i].from_ms) / kMsPerMinute;
  }
  return out;
}

std::span<const CountCell> window(const std::vector<CountCell>& cells, const Place& place) {
  return std::span(cells).subspan(place.past, place.last - place.past);
}

std::vector<SplitRate> rates_by_request(const RateQuestion& question) {
  const auto& [spec, cells, silences, canary, more, runs, seed] = question;
  const auto places = places_in(spec, cells, stretches_of_stable(cells, gap_ms(spec), silences));
  std::vector<SplitRate> out;
  if (places.empty()) return out;
  std::mt19937_64 random(seed);
  std::vector<double> injected = {0};
  injected.insert(injected.end(), more.begin(), more.end());
  for (const auto added : injected) {
    std::vector<ReplayOutcome> outcomes;
    for (int run = 0; run < runs; ++run) {
      const auto& place =
          places[std::uniform_int_distribution<std::size_t>(0, places.size() - 1)(random)];
      outcomes.push_back(replay_cells(
          spec,
          split_by_request(spec, window(cells, place), place.first - place.past, added, random)));
    }
    auto& rate = out.emplace_back();
    rate.injected = added;
    rate.minutes_with_data = minutes_of(cells, places);
    count(outcomes, runs, rate);
  }
  return out;
}

// Where releases can begin, and with which processes as the canary.
struct Beginning {
  struct Candidate {
    std::size_t process = 0;
    Place place{};
  };
  std::vector<Candidate> candidates{};
};

// A release of some processes, and how long there are data of them and of another one.
struct Drawn {
  Place place{};
  std::set<std::string> canary{};
};

Drawn draw_release(const Beginning& beginning, const std::vector<StableProcess>& processes,
                   std::size_t canary, std::mt19937_64& random) {
  auto candidates = beginning.candidates;
  std::ranges::shuffle(candidates, random);
  Drawn out;
  out.place = candidates[0].place;
  for (std::size_t i = 0; i < canary; ++i) {
    out.canary.insert(processes[candidates[i].process].name);
    out.place.last = std::min(out.place.last, candidates[i].place.last);
  }
  std::size_t rest = 0;
  for (auto i = canary; i < candidates.size(); ++i) rest = std::max(rest, candidates[i].place.last);
  out.place.last = std::min(out.place.last, rest);
  return out;
}

// As many as fit one after the other.
std::size_t separate_places(const std::vector<Place>& places) {
  std::size_t out = 0, free_from = 0;
  for (const auto& place : places) {
    if (place.first < free_from) continue;
    ++out;
    free_from = place.needed;
  }
  return out;
}

// From how much the shares of single processes differ: the variance of a mean of clusters.
double independent_releases(const std::vector<Drawn>& drawn,
                            const std::vector<ReplayOutcome>& outcomes, double at_most) {
  struct Cluster {
    double releases = 0;
    double rolled_back = 0;
  };
  std::map<std::string, Cluster> clusters;
  Cluster all;
  for (std::size_t i = 0; i < drawn.size(); ++i) {
    const double bad = outcomes[i].end == ReplayEnd::rolled_back ? 1 : 0;
    for (const auto& process : drawn[i].canary) {
      for (auto* cluster : {&clusters[process], &all}) {
        cluster->releases += 1;
        cluster->rolled_back += bad;
      }
    }
  }
  const double share = all.rolled_back / all.releases, n = static_cast<double>(clusters.size());
  if (!(share > 0) || !(share < 1) || n < 2) return at_most;
  double variance = 0;
  for (const auto& [process, of] : clusters) {
    const double difference = (of.rolled_back - of.releases * share) / all.releases;
    variance += difference * difference * n / (n - 1);
  }
  return variance > 0 ? std::clamp(share * (1 - share) / variance, 1.0, at_most) : at_most;
}

// Processes of stable with requests in the same cell.
std::ptrdiff_t most_at_once(const std::vector<CountCell>& cells) {
  std::ptrdiff_t out = 0;
  for (const auto& cell : cells) {
    const auto serves = [](const InstanceCounts& one) {
      return one.track == Track::stable && one.requests > 0;
    };
    out = std::max(out, std::ranges::count_if(cell.instances, serves));
  }
  return out;
}

ProcessRate rate_by_process(const RateQuestion& question) {
  const auto& [spec, cells, silences, asked, more, runs, seed] = question;
  ProcessRate out;
  const auto processes = processes_of_stable(cells, gap_ms(spec), silences);
  if (most_at_once(cells) == 1) out.known = ProcessesKnown::one_process;
  std::map<std::size_t, Beginning> at; // by first cell
  std::vector<std::vector<Place>> places;
  for (std::size_t i = 0; i < processes.size(); ++i) {
    places.push_back(places_in(spec, cells, processes[i].stretches));
    for (const auto& place : places.back()) at[place.first].candidates.push_back({i, place});
  }
  std::vector<Beginning> beginnings;
  out.canary = std::max<std::size_t>(1, asked) + 1;
  while (beginnings.empty() && --out.canary > 0) {
    for (const auto& [first, beginning] : at)
      if (beginning.candidates.size() > out.canary) beginnings.push_back(beginning);
  }
  if (beginnings.empty()) {
    out.canary = 1;
    return out;
  }
  out.known = ProcessesKnown::yes;

  std::mt19937_64 random(seed);
  std::vector<Drawn> drawn;
  for (int run = 0; run < runs; ++run) {
    const auto pick = std::uniform_int_distribution<std::size_t>(0, beginnings.size() - 1)(random);
    drawn.push_back(draw_release(beginnings[pick], processes, out.canary, random));
  }
  std::vector<ReplayOutcome> outcomes(drawn.size());
  for_each_run(drawn.size(), [&](std::size_t i) {
    const auto& [place, canary] = drawn[i];
    outcomes[i] = replay_cells(
        spec, split_by_process(spec, window(cells, place), place.first - place.past, canary));
  });

  std::vector<std::vector<Place>> possible(processes.size());
  std::vector<Place> all;
  for (const auto& beginning : beginnings) {
    for (const auto& [process, place] : beginning.candidates) {
      possible[process].push_back(place);
      all.push_back(place);
    }
  }
  std::size_t separate = 0;
  for (const auto& of : possible) {
    out.processes += !of.empty();
    separate += separate_places(of);
  }
  separate = std::max<std::size_t>(1, separate / out.canary);
  out.independent =
      independent_releases(drawn, outcomes, std::min<double>(runs, static_cast<double>(separate)));
  out.rate.minutes_with_data = minutes_of(cells, all);
  count(outcomes, out.independent, out.rate);
  return out;
}

} // namespace

SplitRates measure_rates(const RateQuestion& question) {
  return {.by_request = rates_by_request(question), .by_process = rate_by_process(question)};
}

} // namespace coalmine::lab
