// Gives cells out: how far both tracks' telemetry has advanced, which source counts, and which
// growth falls into a cell.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <iterator>
#include <map>
#include <tuple>
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

bool is_empty(const TrackCounts& counts) { return counts.requests <= 0 && counts.errors <= 0; }

} // namespace

// Telemetry is complete up to here: as far as the slowest live instance. An instance whose export
// is late by half an interval does not hold up the rest. cell: the length of the next cell.
std::optional<std::int64_t> CountGrid::Impl::watermark(Track track, Source source, What what,
                                                       std::int64_t cell) const {
  const auto fits = [&](const Instance& instance) {
    return instance.track == track && instance.source == source &&
           (what == What::durations ? instance.times_requests : instance.counts_requests);
  };
  std::int64_t newest = INT64_MIN;
  for (const auto& instance : instances) {
    if (fits(instance)) newest = std::max(newest, instance.known_until());
  }
  if (newest == INT64_MIN) return std::nullopt;
  std::int64_t out = newest;
  for (const auto& instance : instances) {
    if (!fits(instance) || instance.known_until() == INT64_MIN) continue;
    if (!has_ended(instance, newest, cell))
      out = std::min(
          out, instance.exports_often(cell) ? instance.last_knot(cell) : instance.known_until());
  }
  return out;
}

// newest_ms: of the instances of its track and source.
bool CountGrid::Impl::has_ended(const Instance& instance, std::int64_t newest_ms,
                                std::int64_t cell) const {
  const auto interval = instance.interval_ms().value_or(cell);
  return heard_until(instance.known_until()) + interval + interval / 2 + kJitterMs < newest_ms;
}

// From when on silence counts: for what reported before a restart, not before it could again.
std::int64_t CountGrid::Impl::heard_until(std::int64_t until_ms) const {
  return until_ms >= kept_until_ms ? std::max(until_ms, resumed_ms) : until_ms;
}

std::optional<std::int64_t> CountGrid::Impl::both(Source source, What what,
                                                  std::int64_t cell) const {
  const auto canary = watermark(Track::canary, source, what, cell);
  const auto stable = watermark(Track::stable, source, what, cell);
  if (!canary || !stable) return std::nullopt;
  return std::min(*canary, *stable);
}

// The best source that both tracks have and that is not silent while another one reports. Durations
// come from the same source or, if it has none, from the next.
std::optional<CountGrid::Impl::Sources> CountGrid::Impl::choose() const {
  std::array<std::optional<std::int64_t>, kSources> until;
  std::int64_t furthest = INT64_MIN;
  for (std::size_t i = 0; i < kSources; ++i) {
    until[i] = both(kBestFirst[i], What::requests, cell_ms);
    if (until[i]) furthest = std::max(furthest, *until[i]);
  }
  if (furthest == INT64_MIN) return std::nullopt;
  const auto oldest = furthest - 3 * cell_ms - kSourceSilentMs;
  std::size_t at = 0;
  while (!until[at] || heard_until(*until[at]) < oldest) ++at;
  Sources out{.counts = kBestFirst[at], .durations = std::nullopt};
  for (std::size_t i = at; i < kSources && !out.durations; ++i) {
    const auto durations = both(kBestFirst[i], What::durations, cell_ms);
    if (durations && heard_until(*durations) >= oldest) out.durations = kBestFirst[i];
  }
  return out;
}

// Of the instances that will export on. One that has ended sets the length only of cells that its
// last interval covers, so that a cell is as long when the past is read later.
std::int64_t CountGrid::Impl::longest_interval(const Sources& sources) const {
  std::int64_t longest = 0;
  std::array<bool, kBothTracks.size()> known{};
  std::map<std::pair<Track, Source>, std::int64_t> newest;
  for (const auto& instance : instances) {
    auto& to = newest.try_emplace({instance.track, instance.source}, INT64_MIN).first->second;
    to = std::max(to, instance.known_until());
  }
  for (const auto& instance : instances) {
    const bool used = instance.source == sources.counts || instance.source == sources.durations;
    if (!used || instance.known_until() <= closed_ms) continue;
    const auto interval = instance.interval_ms();
    if (!interval) continue;
    const bool covers = instance.known_until() >= closed_ms + *interval;
    if (!covers && has_ended(instance, newest.at({instance.track, instance.source}), *interval))
      continue;
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
  impl_->pass_kept(until_ms);
  std::vector<CountCell> out;
  if (!impl_->kept_cells.empty()) return out;
  impl_->settle();
  while (auto cell = impl_->close_one(until_ms)) out.push_back(std::move(*cell));
  return out;
}

std::optional<CountCell> CountGrid::Impl::close_one(std::int64_t until_ms) {
  const auto sources = choose();
  if (!sources) return std::nullopt;
  const auto length = longest_interval(*sources);
  const auto to = closed_ms + length;
  auto complete = *both(sources->counts, What::requests, length);
  if (sources->durations)
    complete = std::min(complete, *both(*sources->durations, What::durations, length));
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
  std::vector<Part> parts(routes.size());
  learn_births(to_ms);
  collect(to_ms, cell, parts);
  list_instances(cell);
  gather_rows(parts, cell);
  details.clear();
  judge_sampling(cell);
  cell.warming = cell.total.canary.warming_requests > 0;
  closed_ms = to_ms;
  forget_before(to_ms);
  forget_silent();
  return cell;
}

// Growth over a change of weight is not even: what it holds of each side follows the weights. Else
// the first cell of a step would show traffic that nobody asked for. (Of 60 s exports and a step
// from 10 % to 50 %, up to 10 points less than was asked for.)
std::vector<GrowthPiece> CountGrid::Impl::parts_by_weight(GrowthPiece piece, Track track) const {
  std::vector<GrowthPiece> out;
  const auto rate = [&](double weight) { return track == Track::canary ? weight : 1 - weight; };
  double before = 0; // the canary's part of the traffic
  for (const auto& change : changes) {
    const double after = std::clamp(change.weight, 0.0, 1.0);
    if (piece.from_ms < change.to_ms && piece.to_ms > change.to_ms) {
      const double part = piece.even_part(change.to_ms);
      const double first = rate(before) * part;
      const double both = first + rate(after) * (1 - part);
      out.push_back(piece.split(change.to_ms, both > 0 ? first / both : part));
    }
    before = after;
  }
  out.push_back(std::move(piece));
  return out;
}

// What was admitted before the change was known.
void CountGrid::Impl::cut_at_changes(Line& line, Track track) const {
  const auto is_cut = [&](const GrowthPiece& piece) {
    return std::ranges::any_of(changes, [&](const WeightChange& change) {
      return piece.from_ms < change.to_ms && piece.to_ms > change.to_ms;
    });
  };
  if (std::ranges::none_of(line.pieces, is_cut)) return;
  auto whole = std::exchange(line.pieces, {});
  for (auto& piece : whole)
    std::ranges::move(parts_by_weight(std::move(piece), track), std::back_inserter(line.pieces));
}

// A cell is as long as the longest interval. Instances that export more often are spread as if they
// did not. Otherwise an incident that both tracks share would lie in one cell on one track and over
// two cells on the other, and look like a difference. (A/A false rollbacks of canaries that export
// four times as often: 1.5 % instead of less than alpha = 1 %.)
// Windows behind the cell wait for their own, so that a cell does not depend on what had come when
// the one before it was closed. Nothing is spread over a change of weight.
void CountGrid::Impl::spread(Line& line, const Instance& instance, std::int64_t until_ms) const {
  const auto& exports = instance.exports;
  for (auto& piece : line.pieces) {
    const auto window = instance.window_of(piece.to_ms, cell_ms);
    const auto window_at = [&](std::int64_t at) { return instance.window_of(at, cell_ms); };
    const auto first = std::ranges::lower_bound(exports, window, {}, window_at);
    const auto behind = std::ranges::upper_bound(exports, window, {}, window_at);
    auto earliest = INT64_MIN;
    auto latest = INT64_MAX;
    for (const auto& change : changes) {
      if (change.to_ms <= piece.from_ms) earliest = std::max(earliest, change.to_ms);
      if (change.to_ms >= piece.to_ms) latest = std::min(latest, change.to_ms);
    }
    auto from_ms = piece.from_ms;
    if (first != exports.begin())
      from_ms = std::min(from_ms, std::max({*(first - 1), closed_ms, earliest}));
    if (from_ms >= until_ms) continue;
    piece.from_ms = from_ms;
    if (behind != exports.begin())
      piece.to_ms = std::max(piece.to_ms, std::min(*(behind - 1), latest));
  }
}

// Instances and routes whose durations in the cell were also counted in exponential buckets.
std::set<std::pair<std::size_t, std::size_t>> CountGrid::Impl::measured_finely(
    std::int64_t until_ms) const {
  std::set<std::pair<std::size_t, std::size_t>> out;
  for (const auto& line : lines) {
    if (line.is_exponential && !line.pieces.empty() && line.pieces.front().from_ms < until_ms)
      out.emplace(line.instance, line.route);
  }
  return out;
}

// Takes every line's growth up to the edge. Growth of unused sources is thrown away, and so are
// durations that the same instance has more finely.
void CountGrid::Impl::collect(std::int64_t until_ms, const CountCell& cell,
                              std::vector<Part>& parts) {
  std::vector<bool> often;
  for (const auto& instance : instances) often.push_back(instance.exports_often(cell_ms));
  for (auto& line : lines) {
    cut_at_changes(line, instances[line.instance].track);
    if (often[line.instance]) spread(line, instances[line.instance], until_ms);
  }
  choose_details(until_ms, cell);
  const auto finely = measured_finely(until_ms);
  std::vector<bool> warms;
  for (const auto& instance : instances) warms.push_back(warming(instance, cell));
  for (auto& line : lines) {
    auto& instance = instances[line.instance];
    const bool coarse = line.measure == Measure::duration && !line.is_exponential &&
                        finely.contains({line.instance, line.route});
    const bool used = is_chosen(line) && !routes[line.route].ignored && !coarse;
    const bool warm = !warms[line.instance];
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
      if (used) take(line, instance, part, warm, parts[line.route]);
    }
    line.pieces.erase(line.pieces.begin() + static_cast<std::ptrdiff_t>(kept),
                      line.pieces.begin() + static_cast<std::ptrdiff_t>(next));
  }
}

void CountGrid::Impl::take(const Line& line, Instance& instance, const GrowthPiece& piece,
                           bool warm, Part& to) {
  if (line.measure == Measure::duration) {
    if (!warm) return;
    const auto add = [&](DurationCounts& durations) {
      if (piece.exponential) {
        durations.add(*piece.exponential, piece.counts, piece.sum);
      } else {
        durations.add(piece.bounds, piece.counts, piece.sum);
      }
    };
    add(to.durations(instance.track));
    if (instance.detail) add(details[*instance.detail].durations);
    return;
  }
  auto& counts = to.row.of(instance.track);
  switch (line.measure) {
    case Measure::requests:
      if (instance.detail) note_part(line, *instance.detail, piece.amount, 0, to.row);
      return take_requests(line, instance, piece.amount, warm, counts);
    case Measure::client_errors: counts.client_errors += piece.amount; return;
    case Measure::witness:
    case Measure::tail_sampled: return; // see note_sampling
    default: break;
  }
  if (instance.detail) note_part(line, *instance.detail, 0, piece.amount, to.row);
  counts.errors += piece.amount;
  instance.errors += piece.amount;
  if (!warm) counts.warming_errors += piece.amount;
}

void CountGrid::Impl::take_requests(const Line& line, Instance& instance, double amount, bool warm,
                                    TrackCounts& to) {
  to.requests += amount;
  instance.requests += amount;
  counted += amount;
  if (!warm) to.warming_requests += amount;
  if (!instance.knows_statuses) return;
  to.answered += amount;
  if (line.answer == Answer::client_error) to.client_errors += amount;
}

// Learnt in every cell, also while a metric is there that is counted by.
void CountGrid::Impl::judge_sampling(CountCell& cell) {
  std::array<SamplingCounts, kBothTracks.size()> tracks;
  for (std::size_t i = 0; i < tracks.size(); ++i) {
    tracks[i] = arrived[i].spans;
    tracks[i].metrics = std::ranges::max(arrived[i].metrics);
  }
  arrived = {};
  // Everything may come at once, when the past is read.
  const auto from_ms =
      std::exchange(sampling_until_ms, std::max(sampling_until_ms, arrived_until_ms));
  sampling.add(sampling_until_ms - from_ms, tracks[static_cast<std::size_t>(Track::canary)],
               tracks[static_cast<std::size_t>(Track::stable)]);
  if (cell.source == Source::spans)
    cell.total.canary.sampled = cell.total.stable.sampled = sampling.problem();
}

// Whether the route is out of the pool. Only cells before this one decide.
bool CountGrid::Impl::has_own_row(std::size_t at, const RouteCounts& row) {
  auto& route = routes[at];
  if (!route.own_row && always_own.contains(route.name)) {
    route.own_row = true; // named in the options, so it does not count in max_routes
  } else if (!route.own_row && route.requests >= options.min_route_requests &&
             own_rows < options.max_routes) {
    route.own_row = true;
    ++own_rows;
  }
  route.requests += row.canary.requests + row.stable.requests;
  return route.own_row;
}

void CountGrid::Impl::gather_rows(std::vector<Part>& parts, CountCell& cell) {
  Part total;
  Part pool;
  bool pooled = false;
  const auto add = [](Part& to, const Part& from) {
    to.row.canary.add_requests(from.row.canary);
    to.row.stable.add_requests(from.row.stable);
    to.canary.add(from.canary);
    to.stable.add(from.stable);
  };
  for (std::size_t i = 0; i < parts.size(); ++i) {
    auto& part = parts[i];
    const bool timed = !part.canary.empty() || !part.stable.empty();
    if (is_empty(part.row.canary) && is_empty(part.row.stable) && !timed) continue;
    add(total, part);
    // Requests without a route count in the total, but "no route" is not an endpoint.
    if (routes[i].name.empty()) continue;
    if (!has_own_row(i, part.row)) {
      pooled = true;
      add(pool, part);
      pool.row.parts.insert(pool.row.parts.end(), part.row.parts.begin(), part.row.parts.end());
      continue;
    }
    part.row.route = routes[i].name;
    settle_parts(part.row);
    put_row(part.canary, part.stable, part.row);
    cell.routes.push_back(std::move(part.row));
  }
  put_row(total.canary, total.stable, total.row);
  cell.total = std::move(total.row);
  put_details(total, cell);
  std::ranges::sort(cell.routes, {}, &RouteCounts::route);
  if (!pooled) return;
  pool.row.route = kPooledRoute;
  settle_parts(pool.row);
  put_row(pool.canary, pool.stable, pool.row);
  cell.routes.push_back(std::move(pool.row));
}

void CountGrid::Impl::list_instances(CountCell& cell) {
  for (auto& instance : instances) {
    const bool counts = instance.source == cell.source;
    const auto restarts = counts ? instance.process->restarts : 0;
    if (instance.requests > 0 || instance.errors > 0 || restarts > 0) {
      cell.instances.push_back({.instance = instance.name,
                                .track = instance.track,
                                .requests = instance.requests,
                                .errors = instance.errors,
                                .warming = warming(instance, cell),
                                .bucket_counts = {},
                                .restarts = restarts});
    }
    instance.requests = 0;
    instance.errors = 0;
  }
  for (auto& process : processes) process.restarts = 0;
  // Not in the order in which they were first seen, which a restart changes.
  std::ranges::stable_sort(cell.instances, {}, [](const InstanceCounts& one) {
    return std::tie(one.track, one.instance);
  });
  place_details(cell);
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
  for (auto& line : lines)
    std::erase_if(line.lives, [&](const Life& life) { return life.until_ms <= time_ms; });
}

// What remains of a process that is over is when it exported last: whether it ended is asked for.
void CountGrid::Impl::forget_silent() {
  std::vector<bool> silent;
  for (auto& instance : instances) {
    const auto until = instance.known_until();
    silent.push_back(until != INT64_MIN && until < closed_ms - options.forget_ms);
    if (silent.back()) instance.forgotten_until_ms = until;
  }
  const bool any =
      std::ranges::any_of(lines, [&](const Line& line) { return silent[line.instance]; });
  if (any) drop_lines(silent);
}

// Nothing of these lines waits: all they have is behind the closed edge.
void CountGrid::Impl::drop_lines(const std::vector<bool>& of_instances) {
  std::vector<std::optional<std::size_t>> now_at(lines.size());
  std::vector<Line> left;
  for (std::size_t i = 0; i < lines.size(); ++i) {
    if (of_instances[lines[i].instance]) continue;
    now_at[i] = left.size();
    left.push_back(std::move(lines[i]));
  }
  lines = std::move(left);
  std::erase_if(line_index, [&](const auto& entry) { return !now_at[entry.second]; });
  for (auto& [id, at] : line_index) at = *now_at[at];
  std::erase_if(request_lines, [&](std::size_t at) { return !now_at[at]; });
  for (auto& at : request_lines) at = *now_at[at];
}

std::optional<std::int64_t> CountGrid::watermark_ms(Track track) const {
  impl_->settle();
  const auto sources = impl_->choose();
  std::optional<std::int64_t> out;
  for (const auto source : kBestFirst) {
    if (sources && source != sources->counts) continue;
    const auto until = impl_->watermark(track, source, Impl::What::requests, impl_->cell_ms);
    if (until && (!out || *until > *out)) out = until;
  }
  return out;
}

} // namespace coalmine::cohort
