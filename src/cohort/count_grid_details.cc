// What each process of a track has in a cell: its durations and its parts of routes. They show how
// much processes differ, so a track with one process has none.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>

#include "cohort/count_grid_impl.h"

namespace coalmine::cohort {

// Chooses the processes of the cell that ends at until_ms, before its growth is taken.
void CountGrid::Impl::choose_details(std::int64_t until_ms, const CountCell& cell) {
  details.clear();
  for (auto& instance : instances) instance.detail.reset();
  std::array<std::size_t, kBothTracks.size()> counting{};
  for (const auto& instance : instances)
    counting[static_cast<std::size_t>(instance.track)] += instance.source == chosen->counts;
  if (std::ranges::all_of(counting, [](std::size_t n) { return n < 2; })) return;

  std::vector<bool> has_requests(instances.size());
  std::array<std::vector<std::size_t>, kBothTracks.size()> with_requests;
  for (const auto at : request_lines) {
    const auto& line = lines[at];
    if (has_requests[line.instance] || !is_chosen(line) || routes[line.route].ignored) continue;
    const auto is_in_cell = [&](const GrowthPiece& piece) {
      return piece.from_ms < until_ms && piece.amount > 0;
    };
    if (std::ranges::none_of(line.pieces, is_in_cell)) continue;
    has_requests[line.instance] = true;
    with_requests[static_cast<std::size_t>(instances[line.instance].track)].push_back(
        line.instance);
  }
  for (auto& found : with_requests) {
    if (found.size() < 2) continue;
    std::erase_if(found, [&](std::size_t at) { return warming(instances[at], cell); });
    // By a hash of the name: nothing that is measured decides who is looked at, and who comes or
    // goes changes the choice by one.
    std::ranges::sort(found, {}, [&](std::size_t at) {
      return std::tie(instances[at].phase, instances[at].name);
    });
    if (found.size() > kMostDetailedInstances) found.resize(kMostDetailedInstances);
    for (const auto at : found) {
      instances[at].detail = details.size();
      details.push_back({.instance = at, .place = {}, .durations = {}});
    }
  }
  if (!chosen->durations || chosen->durations == chosen->counts) return;
  for (std::size_t i = 0; i < details.size(); ++i) {
    const auto& of = instances[details[i].instance];
    const auto timed = instance_index.find({of.track, *chosen->durations, of.name});
    if (timed != instance_index.end()) instances[timed->second].detail = i;
  }
}

// Until settle_parts, a part says which detail it belongs to.
void CountGrid::Impl::note_part(const Line& line, std::size_t detail, double requests,
                                double errors, RouteCounts& to) const {
  if (routes[line.route].name.empty()) return; // it has no row
  to.parts.push_back({static_cast<std::uint32_t>(detail), requests, errors});
}

// When the instances of the cell are listed.
void CountGrid::Impl::place_details(const CountCell& cell) {
  if (details.empty()) return;
  for (std::size_t place = 0; place < cell.instances.size(); ++place) {
    const auto& listed = cell.instances[place];
    const auto& instance =
        instances[instance_index.at({listed.track, cell.source, listed.instance})];
    if (instance.detail) details[*instance.detail].place = place;
  }
}

void CountGrid::Impl::settle_parts(RouteCounts& row) const {
  auto& parts = row.parts;
  if (parts.empty()) return;
  std::erase_if(parts, [&](const InstancePart& part) { return !details[part.instance].place; });
  for (auto& part : parts)
    part.instance = static_cast<std::uint32_t>(*details[part.instance].place);
  std::ranges::stable_sort(parts, {}, &InstancePart::instance);
  std::size_t kept = 0;
  for (const auto& part : parts) {
    if (kept > 0 && parts[kept - 1].instance == part.instance) {
      parts[kept - 1].requests += part.requests;
      parts[kept - 1].errors += part.errors;
    } else {
      parts[kept++] = part;
    }
  }
  parts.resize(kept);
}

void CountGrid::Impl::put_details(const Part& total, CountCell& cell) const {
  for (const auto& detail : details) {
    if (!detail.place) continue;
    auto& to = cell.instances[*detail.place];
    to.bucket_counts = part_of_row(detail.durations, total.durations(to.track),
                                   cell.total.of(to.track).bounds_ms, to.track);
  }
}

} // namespace coalmine::cohort
