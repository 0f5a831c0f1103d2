// Gives cells out: how far both tracks' telemetry has advanced, which source counts, and which
// growth falls into a cell.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iterator>
#include <utility>

#include "cohort/count_grid_impl.h"

namespace coalmine::cohort {
namespace {

constexpr std::array kBestFirst = {Source::sent, Source::histogram, Source::spans};
// The next source is used when the better one has been silent for this long and for three cells.
constexpr std::int64_t kSourceSilentMs = 60'000;
// An export this much after its due time is not late.
constexpr std::int64_t kJitterMs = 1'000;
// The length of a cell is a multiple of this.
constexpr std::int64_t kCellStepMs = 5'000;

void add_requests(TrackCounts& to, const TrackCounts& from) {
  to.requests += from.requests;
  to.errors += from.errors;
  to.warming_requests += from.warming_requests;
  to.warming_errors += from.warming_errors;
}

bool is_empty(const TrackCounts& counts) {
  return counts.requests <= 0 && counts.errors <= 0 && counts.timed <= 0;
}

} // namespace

// Telemetry is complete up to here: as far as the slowest live instance. An instance whose export
// is late by half an interval does not hold up the rest. cell: the length of the next cell.
std::optional<std::int64_t> CountGrid::Impl::watermark(Track track, Source source, bool durations,
                                                       std::int64_t cell) const {
  const auto fits = [&](const Instance& instance) {
    return instance.track == track && instance.source == source &&
           (durations ? instance.times_requests : instance.counts_requests);
  };
  std::int64_t newest = INT64_MIN;
  for (const auto& instance : instances) {
    if (fits(instance)) newest = std::max(newest, instance.known_until());
  }
  if (newest == INT64_MIN) return std::nullopt;
  std::int64_t out = newest;
  for (const auto& instance : instances) {
    if (!fits(instance) || instance.known_until() == INT64_MIN) continue;
    const auto interval = instance.interval_ms().value_or(cell);
    const bool overdue = instance.known_until() + interval + interval / 2 + kJitterMs < newest;
    if (!overdue)
      out = std::min(
          out, instance.exports_often(cell) ? instance.last_knot(cell) : instance.known_until());
  }
  return out;
}

std::optional<std::int64_t> CountGrid::Impl::both(Source source, bool durations,
                                                  std::int64_t cell) const {
  const auto canary = watermark(Track::canary, source, durations, cell);
  const auto stable = watermark(Track::stable, source, durations, cell);
  if (!canary || !stable) return std::nullopt;
  return std::min(*canary, *stable);
}

// The best source that both tracks have and that is not silent while another one reports. Durations
// come from the same source or, if it has none, from the next.
std::optional<CountGrid::Impl::Sources> CountGrid::Impl::choose() const {
  std::array<std::optional<std::int64_t>, kSources> until;
  std::int64_t furthest = INT64_MIN;
  for (std::size_t i = 0; i < kSources; ++i) {
    until[i] = both(kBestFirst[i], false, cell_ms);
    if (until[i]) furthest = std::max(furthest, *until[i]);
  }
  if (furthest == INT64_MIN) return std::nullopt;
  const auto oldest = furthest - 3 * cell_ms - kSourceSilentMs;
  std::size_t at = 0;
  while (!until[at] || *until[at] < oldest) ++at;
  Sources out{.counts = kBestFirst[at], .durations = std::nullopt};
  for (std::size_t i = at; i < kSources && !out.durations; ++i) {
    const auto durations = both(kBestFirst[i], true, cell_ms);
    if (durations && *durations >= oldest) out.durations = kBestFirst[i];
  }
  return out;
}

std::int64_t CountGrid::Impl::longest_interval(const Sources& sources) const {
  std::int64_t longest = 0;
  std::array<bool, kBothTracks.size()> known{};
  for (const auto& instance : instances) {
    const bool used = instance.source == sources.counts || instance.source == sources.durations;
    if (!used || instance.known_until() <= closed_ms) continue;
    const auto interval = instance.interval_ms();
    if (!interval) continue;
    known[static_cast<std::size_t>(instance.track)] = true;
    longest = std::max(longest, *interval);
  }
  if (!known[0] || !known[1]) longest = std::max(longest, kAssumedIntervalMs);
  // Exports jitter: an interval slightly over a step counts as that step.
  const auto steps = (longest - longest / 20 + kCellStepMs - 1) / kCellStepMs;
  return std::clamp(std::max<std::int64_t>(1, steps) * kCellStepMs, options.min_cell_ms,
                    options.max_cell_ms);
}

std::vector<CountCell> CountGrid::close(std::int64_t until_ms) {
  impl_->settle();
  std::vector<CountCell> out;
  while (auto cell = impl_->close_one(until_ms)) out.push_back(std::move(*cell));
  return out;
}

std::optional<CountCell> CountGrid::Impl::close_one(std::int64_t until_ms) {
  const auto sources = choose();
  if (!sources) return std::nullopt;
  const auto length = longest_interval(*sources);
  const auto to = closed_ms + length;
  auto complete = *both(sources->counts, false, length);
  if (sources->durations) complete = std::min(complete, *both(*sources->durations, true, length));
  if (to > std::min(complete, until_ms)) return std::nullopt;
  cell_ms = length;
  chosen = sources;
  return make_cell(to);
}

CountCell CountGrid::Impl::make_cell(std::int64_t to_ms) {
  CountCell cell;
  cell.from_ms = closed_ms;
  cell.to_ms = to_ms;
  cell.weight = weight_at(closed_ms);
  cell.mixed = split_moved(closed_ms, to_ms);
  cell.source = chosen->counts;
  std::vector<RouteCounts> by_route(routes.size());
  std::vector<Timed> timed;
  collect(to_ms, cell, by_route, timed);
  take_durations(timed, by_route, cell.total);
  gather_rows(by_route, cell);
  list_instances(cell);
  cell.warming = cell.total.canary.warming_requests > 0;
  closed_ms = to_ms;
  forget_before(to_ms);
  return cell;
}

// A cell is as long as the longest interval. Instances that export more often are spread as if they
// did not. Otherwise an incident that both tracks share would lie in one cell on one track and over
// two cells on the other, and look like a difference. (A/A false rollbacks of canaries that export
// four times as often: 1.5 % instead of less than alpha = 1 %.)
void CountGrid::Impl::spread(Line& line, const Instance& instance) const {
  const auto& exports = instance.exports;
  for (auto& piece : line.pieces) {
    const auto window = instance.window_of(piece.to_ms, cell_ms);
    const auto window_at = [&](std::int64_t at) { return instance.window_of(at, cell_ms); };
    const auto first = std::ranges::lower_bound(exports, window, {}, window_at);
    const auto behind = std::ranges::upper_bound(exports, window, {}, window_at);
    if (first != exports.begin())
      piece.from_ms = std::min(piece.from_ms, std::max(*(first - 1), closed_ms));
    if (behind != exports.begin()) piece.to_ms = std::max(piece.to_ms, *(behind - 1));
  }
}

// Takes every line's growth up to the edge. Growth of unused sources is thrown away.
void CountGrid::Impl::collect(std::int64_t until_ms, CountCell& cell,
                              std::vector<RouteCounts>& by_route, std::vector<Timed>& timed) {
  std::vector<bool> often;
  for (const auto& instance : instances) often.push_back(instance.exports_often(cell_ms));
  for (auto& line : lines) {
    auto& instance = instances[line.instance];
    if (often[line.instance]) spread(line, instance);
    std::size_t kept = 0;
    std::size_t next = 0;
    for (; next < line.pieces.size() && line.pieces[next].from_ms < until_ms; ++next) {
      GrowthPiece part;
      if (line.pieces[next].to_ms <= until_ms) {
        part = std::move(line.pieces[next]);
      } else {
        part = line.pieces[next].split(until_ms);
        if (kept != next) line.pieces[kept] = std::move(line.pieces[next]);
        ++kept;
      }
      if (!is_chosen(line) || routes[line.route].ignored) continue;
      const bool warm = !warming(instance, cell.from_ms);
      if (line.measure == Measure::duration) {
        if (warm) timed.push_back({line.route, instance.track, std::move(part)});
        continue;
      }
      auto& counts = by_route[line.route].of(instance.track);
      const bool bad = line.measure == Measure::bad;
      (bad ? counts.errors : counts.requests) += part.amount;
      (bad ? instance.errors : instance.requests) += part.amount;
      if (!warm) (bad ? counts.warming_errors : counts.warming_requests) += part.amount;
      if (!bad) counted += part.amount;
    }
    line.pieces.erase(line.pieces.begin() + static_cast<std::ptrdiff_t>(kept),
                      line.pieces.begin() + static_cast<std::ptrdiff_t>(next));
  }
}

void CountGrid::Impl::take_durations(const std::vector<Timed>& timed,
                                     std::vector<RouteCounts>& by_route, RouteCounts& total) {
  const auto narrow = [](RouteCounts& row, bool& first, const BucketBounds& bounds) {
    auto& common = row.stable.bounds_ms; // shared by the canary once all bounds are known
    common = first ? bounds : common_bounds(common, bounds);
    first = false;
  };
  bool total_first = true;
  std::vector<bool> first(by_route.size(), true);
  for (const auto& part : timed) {
    bool row_first = first[part.route];
    narrow(by_route[part.route], row_first, part.piece.bounds);
    first[part.route] = row_first;
    narrow(total, total_first, part.piece.bounds);
  }
  for (auto& row : by_route) row.share_bounds(row.stable.bounds_ms);
  total.share_bounds(total.stable.bounds_ms);
  const auto count = [](RouteCounts& row, const Timed& part) {
    auto& to = row.of(part.track);
    if (to.bounds_ms == nullptr) return;
    add_rebinned(part.piece.bounds, part.piece.counts, to.bounds_ms, to.bucket_counts);
    to.timed += part.piece.amount;
    to.sum_ms += part.piece.sum;
  };
  for (const auto& part : timed) {
    count(by_route[part.route], part);
    count(total, part);
  }
}

void CountGrid::Impl::gather_rows(std::vector<RouteCounts>& by_route, CountCell& cell) {
  RouteCounts pool;
  pool.route = kPooledRoute;
  std::vector<std::size_t> pooled;
  for (std::size_t i = 0; i < by_route.size(); ++i) {
    auto& row = by_route[i];
    auto& route = routes[i];
    if (is_empty(row.canary) && is_empty(row.stable)) continue;
    add_requests(cell.total.canary, row.canary);
    add_requests(cell.total.stable, row.stable);
    // Requests without a route count in the total, but "no route" is not an endpoint.
    if (route.name.empty()) continue;
    if (!route.own_row && always_own.contains(route.name)) {
      route.own_row = true; // named in the options, so it does not count in max_routes
    } else if (!route.own_row && route.requests >= options.min_route_requests &&
               own_rows < options.max_routes) {
      route.own_row = true;
      ++own_rows;
    }
    route.requests += row.canary.requests + row.stable.requests;
    if (!route.own_row) {
      pooled.push_back(i);
      continue;
    }
    row.route = route.name;
    cell.routes.push_back(std::move(row));
  }
  bool first = true;
  BucketBounds common;
  for (const auto i : pooled) {
    auto& row = by_route[i];
    add_requests(pool.canary, row.canary);
    add_requests(pool.stable, row.stable);
    const auto& bounds = row.stable.bounds_ms;
    if (bounds == nullptr) continue;
    common = first ? bounds : common_bounds(common, bounds);
    first = false;
  }
  pool.share_bounds(common);
  for (const auto i : pooled) {
    if (common == nullptr) break;
    for (const auto track : kBothTracks) {
      const auto& from = by_route[i].of(track);
      if (from.bucket_counts.empty()) continue;
      auto& to = pool.of(track);
      add_rebinned(from.bounds_ms, from.bucket_counts, common, to.bucket_counts);
      to.timed += from.timed;
      to.sum_ms += from.sum_ms;
    }
  }
  std::ranges::sort(cell.routes, {}, &RouteCounts::route);
  if (!pooled.empty()) cell.routes.push_back(std::move(pool));
}

void CountGrid::Impl::list_instances(CountCell& cell) {
  for (auto& instance : instances) {
    if (instance.requests > 0 || instance.errors > 0) {
      cell.instances.push_back({instance.name, instance.track, instance.requests, instance.errors,
                                warming(instance, cell.from_ms)});
    }
    instance.requests = 0;
    instance.errors = 0;
  }
}

double CountGrid::Impl::weight_at(std::int64_t time_ms) const {
  const WeightChange* last = nullptr;
  for (const auto& change : changes) {
    if (change.to_ms <= time_ms && (last == nullptr || change.to_ms >= last->to_ms)) last = &change;
  }
  return last == nullptr ? -1 : last->weight;
}

bool CountGrid::Impl::split_moved(std::int64_t from_ms, std::int64_t to_ms) const {
  // A change that is complete at the begin of the cell belongs to the cell before.
  return std::ranges::any_of(changes, [&](const WeightChange& change) {
    return change.from_ms < to_ms && change.to_ms > from_ms;
  });
}

// Forgets all exports that no later sample can refer to: all but the newest export before the edge.
void CountGrid::Impl::forget_before(std::int64_t time_ms) {
  for (auto& instance : instances) {
    const auto it = std::ranges::lower_bound(instance.exports, time_ms - 2 * cell_ms);
    const auto spare = std::distance(instance.exports.begin(), it) - 1;
    if (spare > 0)
      instance.exports.erase(instance.exports.begin(), instance.exports.begin() + spare);
  }
}

std::optional<std::int64_t> CountGrid::watermark_ms(Track track) const {
  impl_->settle();
  const auto sources = impl_->choose();
  std::optional<std::int64_t> out;
  for (const auto source : kBestFirst) {
    if (sources && source != sources->counts) continue;
    const auto until = impl_->watermark(track, source, false, impl_->cell_ms);
    if (until && (!out || *until > *out)) out = until;
  }
  return out;
}

} // namespace coalmine::cohort
