// Goes on behind cells that were closed before: cuts off the growth that they have counted.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <iterator>
#include <utility>

#include "cohort/count_grid_impl.h"

namespace coalmine::cohort {

void CountGrid::go_on_behind(GridPast past) {
  auto& impl = *impl_;
  if (!past.cells.empty()) impl.kept_until_ms = past.cells.back().to_ms;
  impl.kept_cells = std::move(past.cells);
  impl.kept_routes = std::move(past.routes);
  for (const auto track : kBothTracks) {
    for (const auto born_ms : past.first_births[static_cast<std::size_t>(track)])
      impl.first_births[static_cast<std::size_t>(track)].push_back({born_ms, nullptr});
    for (const auto& one : past.instances[static_cast<std::size_t>(track)]) {
      impl.kept_instances.insert_or_assign({track, one.name}, one);
      assume_clock(track, one.name, one.clock_offset_ms);
      auto& process = impl.process_of(track, one.name);
      process.youngest_ms = one.least_age_ms;
      process.reads = one.reads;
      process.was_known = true;
      if (one.born_ms == 0) continue;
      process.born_ms = one.born_ms;
      process.lowest_start_ms = one.start_ms != 0 ? one.start_ms : one.born_ms;
    }
  }
}

void CountGrid::resumed(std::int64_t now_ms) { impl_->resumed_ms = now_ms; }

std::vector<RouteSoFar> CountGrid::routes(std::size_t most) const {
  std::vector<RouteSoFar> out;
  for (const auto& route : impl_->routes) {
    if (route.requests > 0 || route.own_row)
      out.push_back({route.name, route.requests, route.own_row});
  }
  const auto behind = std::min(out.size(), most);
  std::ranges::partial_sort(out, out.begin() + static_cast<std::ptrdiff_t>(behind),
                            std::ranges::greater(), &RouteSoFar::requests);
  out.resize(behind);
  return out;
}

// All samples up to until_ms have been added, so what lies in a kept cell is there to be cut off.
void CountGrid::Impl::pass_kept(std::int64_t until_ms) {
  if (kept_cells.empty() || kept_cells.back().to_ms > until_ms) return;
  const auto cells = std::exchange(kept_cells, {});
  auto later = hold_later();
  settle();
  for (const auto& [of, one] : kept_instances) { // an older coalmine kept no first births
    if (one.born_ms != 0) add_birth(of.first, {one.born_ms, process_index.at(of)});
  }
  for (const auto& cell : cells) pass(cell);
  end_of_kept();
  release(std::move(later));
}

// Takes out the samples that had not come when the kept cells were closed.
std::vector<CountGrid::Impl::Held> CountGrid::Impl::hold_later() {
  std::vector<Held> out;
  if (kept_instances.empty()) return out;
  for (const auto index : dirty) {
    auto& line = lines[index];
    const auto& instance = instances[line.instance];
    const auto known = kept_instances.find({instance.track, instance.name});
    const auto newest = known == kept_instances.end() ? INT64_MIN : known->second.newest_ms;
    const auto take_later = [&](auto& from, auto& to) {
      const auto later = std::ranges::find_if(from, [&](const auto& sample) {
        return sample.time_ms + instance.process->offset_ms > newest;
      });
      to.assign(std::make_move_iterator(later), std::make_move_iterator(from.end()));
      from.erase(later, from.end());
    };
    auto& held = out.emplace_back();
    held.line = index;
    take_later(line.new_floats, held.floats);
    take_later(line.new_classic, held.classic);
    take_later(line.new_exponential, held.exponential);
  }
  return out;
}

void CountGrid::Impl::release(std::vector<Held> held) {
  for (auto& one : held) {
    auto& line = lines[one.line];
    line.new_floats = std::move(one.floats);
    line.new_classic = std::move(one.classic);
    line.new_exponential = std::move(one.exponential);
    if (!line.is_clean()) dirty.push_back(one.line);
  }
}

// As collect() does, at the edges of the kept cell.
void CountGrid::Impl::pass(const CountCell& cell) {
  cell_ms = cell.to_ms - cell.from_ms;
  learn_births(cell.to_ms);
  for (auto& process : processes) process.restarts = 0; // the kept cell has them
  for (auto& line : lines) {
    const auto& instance = instances[line.instance];
    cut_at_changes(line, instance.track);
    if (instance.exports_often(cell_ms)) spread(line, instance, cell.to_ms);
    std::erase_if(line.pieces, [&](const auto& piece) { return piece.to_ms <= cell.to_ms; });
    for (auto& piece : line.pieces) {
      if (piece.from_ms < cell.to_ms) (void)piece.split(cell.to_ms);
    }
  }
  closed_ms = cell.to_ms;
  chosen = Sources{.counts = cell.source, .durations = std::nullopt};
  forget_before(closed_ms);
}

void CountGrid::Impl::end_of_kept() {
  if (const auto now = choose()) chosen->durations = now->durations;
  for (const auto& so_far : kept_routes) {
    auto& route = routes[route_of(so_far.route)];
    route.requests = so_far.requests;
    route.own_row = so_far.own_row;
    if (so_far.own_row && !always_own.contains(so_far.route)) ++own_rows;
  }
  kept_routes.clear();
}

} // namespace coalmine::cohort
