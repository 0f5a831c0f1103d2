// Takes samples in: clocks, instances, pieces of growth. Cells are closed in count_grid_close.cc.
// SPDX-License-Identifier: Apache-2.0
#include "cohort/count_grid.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "cohort/count_grid_impl.h"

namespace coalmine::cohort {
namespace {

// An export cannot be read before it was made. A clock further ahead than this is wrong.
constexpr std::int64_t kAheadToleranceMs = 2'000;
// Exports are delayed by collectors, all by about the same time. An instance this much older than
// the quickest has a wrong clock.
constexpr std::int64_t kBehindToleranceMs = 30'000;
constexpr int kReadsForBehind = 3;
constexpr std::size_t kGapsKept = 5;

} // namespace

CountGrid::CountGrid(GridOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}
CountGrid::~CountGrid() = default;
CountGrid::CountGrid(CountGrid&&) noexcept = default;
CountGrid& CountGrid::operator=(CountGrid&&) noexcept = default;

CountGrid::Impl::Impl(GridOptions given) : options(std::move(given)) {
  options.min_cell_ms = std::max<std::int64_t>(1, options.min_cell_ms);
  options.max_cell_ms = std::max(options.min_cell_ms, options.max_cell_ms);
  options.forget_ms = std::max({options.forget_ms, 4 * options.max_cell_ms, options.warm_up_ms});
  closed_ms = options.origin_ms;
  sampling_until_ms = options.origin_ms;
  cell_ms = std::clamp(kAssumedIntervalMs, options.min_cell_ms, options.max_cell_ms);
  ignored.insert(options.ignore_routes.begin(), options.ignore_routes.end());
  always_own.insert(options.own_routes.begin(), options.own_routes.end());
}

std::optional<std::int64_t> CountGrid::Impl::Instance::interval_ms() const {
  return source == Source::spans ? kSpanIntervalMs : usual_gap;
}

std::optional<std::int64_t> CountGrid::Impl::Instance::export_before(std::int64_t time_ms) const {
  const auto it = std::ranges::lower_bound(exports, time_ms - kSameExportMs);
  if (it == exports.begin()) return std::nullopt;
  return *(it - 1);
}

bool CountGrid::Impl::Instance::exports_often(std::int64_t cell_ms) const {
  if (source == Source::spans) return false; // spans arrive alike from all instances
  const auto interval = interval_ms();
  return interval && *interval + *interval / 4 < cell_ms;
}

// (begin, end] of window n: begin = n * cell_ms + phase % cell_ms.
std::int64_t CountGrid::Impl::Instance::window_of(std::int64_t time_ms,
                                                  std::int64_t cell_ms) const {
  const auto since =
      time_ms - static_cast<std::int64_t>(phase % static_cast<std::uint64_t>(cell_ms)) - 1;
  return since >= 0 ? since / cell_ms : -((-since + cell_ms - 1) / cell_ms);
}

std::int64_t CountGrid::Impl::Instance::last_knot(std::int64_t cell_ms) const {
  const auto present = window_of(known_until() + 1, cell_ms);
  const auto it = std::ranges::lower_bound(exports, present, {},
                                           [&](std::int64_t at) { return window_of(at, cell_ms); });
  return it == exports.begin() ? exports.front() : *(it - 1);
}

void CountGrid::Impl::Instance::exported(std::int64_t time_ms) {
  if (!first_ms || time_ms < *first_ms) first_ms = time_ms;
  if (exports.empty() || time_ms > exports.back() + kSameExportMs) {
    if (!exports.empty()) {
      gaps.push_back(time_ms - exports.back());
      if (gaps.size() > kGapsKept) gaps.erase(gaps.begin());
      std::vector<std::int64_t> sorted(gaps.begin(), gaps.end());
      std::ranges::sort(sorted);
      usual_gap = sorted[(sorted.size() - 1) / 2];
    }
    exports.push_back(time_ms);
    return;
  }
  const auto it = std::ranges::lower_bound(exports, time_ms);
  if (it != exports.end() && *it - time_ms <= kSameExportMs) return;
  if (it != exports.begin() && time_ms - *(it - 1) <= kSameExportMs) return;
  exports.insert(it, time_ms);
}

std::size_t CountGrid::Impl::instance_of(Track track, Source source, const std::string& name) {
  const auto [it, added] = instance_index.try_emplace({track, source, name}, instances.size());
  if (!added) return it->second;
  auto& instance = instances.emplace_back();
  instance.track = track;
  instance.source = source;
  instance.name = name;
  instance.phase = XXH3_64bits(name.data(), name.size());
  instance.process = &process_of(track, name);
  if (const auto known = kept_instances.find({track, name}); known != kept_instances.end()) {
    instance.was_known = true;
    instance.unseen_until_ms = known->second.first_ms;
  }
  return it->second;
}

CountGrid::Impl::Process& CountGrid::Impl::process_of(Track track, const std::string& name) {
  auto& process = process_index[{track, name}];
  if (process == nullptr) {
    process = &processes.emplace_back();
    process->track = track;
  }
  return *process;
}

std::size_t CountGrid::Impl::route_of(const std::string& name) {
  const auto [it, added] = route_index.try_emplace(name, routes.size());
  if (added) routes.push_back({.name = name, .ignored = ignored.contains(name)});
  return it->second;
}

CountGrid::Impl::Line& CountGrid::Impl::line_of(const CountSeries& series) {
  const auto [it, added] = line_index.try_emplace(series.id, lines.size());
  if (added) {
    auto& line = lines.emplace_back();
    line.instance = instance_of(series.track, series.source, series.instance);
    line.route = route_of(series.route);
    line.measure = series.measure;
    line.answer = series.answer;
    line.unseen_begins_at_zero =
        series.unseen_begins_at_zero || options.unseen_instances_begin_at_zero;
    if (line.measure == Measure::requests) request_lines.push_back(it->second);
  }
  return lines[it->second];
}

BucketBounds CountGrid::Impl::interned(Line& line, const BucketBounds& raw) {
  if (raw == line.raw_bounds) return line.bounds;
  line.raw_bounds = raw;
  const auto it = std::ranges::find_if(
      known_bounds, [&](const BucketBounds& known) { return same_bounds(known, raw); });
  line.bounds = it == known_bounds.end() ? raw : *it;
  if (it == known_bounds.end()) known_bounds.push_back(raw);
  return line.bounds;
}

void CountGrid::add(const CountSeries& series, std::int64_t read_ms) {
  auto& line = impl_->line_of(series);
  const bool clean = line.is_clean();
  const auto before = line.newest_raw_ms;
  for (const auto& sample : series.floats) {
    if (!std::isfinite(sample.value) || sample.time_ms < before) continue;
    line.new_floats.push_back(sample);
    line.newest_raw_ms = std::max(line.newest_raw_ms, sample.time_ms);
  }
  for (const auto& sample : series.classic) {
    if (sample.stale || sample.time_ms < before) continue;
    line.new_classic.push_back(sample);
    line.newest_raw_ms = std::max(line.newest_raw_ms, sample.time_ms);
  }
  for (const auto& sample : series.exponential) {
    if (sample.stale || sample.time_ms < before) continue;
    line.new_exponential.push_back(sample);
    line.is_exponential = true;
    line.newest_raw_ms = std::max(line.newest_raw_ms, sample.time_ms);
  }
  if (clean && !line.is_clean())
    impl_->dirty.push_back(static_cast<std::size_t>(&line - impl_->lines.data()));
  if (line.newest_raw_ms == before) return;
  auto& instance = impl_->instances[line.instance];
  // A counter without errors counts until better telemetry of its process comes: the newest read
  // says which of the two it is.
  if (line.measure == Measure::requests) instance.counts_requests = true;
  if (line.measure == Measure::witness) instance.counts_requests = false;
  if (read_ms == 0) return;
  impl_->read_clock(*instance.process, {line.newest_raw_ms, read_ms, before != INT64_MIN});
}

bool CountGrid::knows(std::uint64_t series_id) const {
  return impl_->line_index.contains(series_id);
}

std::size_t CountGrid::series() const { return impl_->lines.size(); }

void CountGrid::add(const InstanceSeen& seen) {
  if (seen.until_ms < impl_->resumed_ms) return;
  auto& instance = impl_->instances[impl_->instance_of(seen.track, seen.source, seen.instance)];
  instance.seen_until_ms = std::max(instance.seen_until_ms, seen.until_ms);
}

// What was there when a series was first read may be as old as an export interval, or of a process
// that is over. Its age tells nothing but a clock that is ahead.
void CountGrid::Impl::read_clock(Process& process, const Reading& reading) {
  if (reading.is_news && reading.read_ms != process.read_ms) {
    process.read_ms = reading.read_ms;
    ++process.reads;
  }
  const auto age = reading.read_ms - reading.newest_raw_ms;
  if (process.youngest_ms && age >= *process.youngest_ms) return;
  process.youngest_ms = age;
  if (age < -kAheadToleranceMs) set_offset(process, age);
}

// A clock that is behind shows only in comparison with the others. One that no longer looks so, for
// a younger sample has come, never was: what came before it was late.
void CountGrid::Impl::find_clocks_behind() {
  std::optional<std::int64_t> quickest;
  for (const auto& process : processes) {
    if (process.reads >= kReadsForBehind && (!quickest || *process.youngest_ms < *quickest))
      quickest = process.youngest_ms;
  }
  for (auto& process : processes) {
    if (process.reads < kReadsForBehind || process.offset_ms < 0) continue;
    const auto excess = *process.youngest_ms - std::max<std::int64_t>(0, *quickest);
    if (excess > kBehindToleranceMs) {
      set_offset(process, excess);
    } else if (excess < kBehindToleranceMs / 2) {
      set_offset(process, 0);
    }
  }
}

void CountGrid::Impl::set_offset(Process& process, std::int64_t offset_ms) {
  const auto by = offset_ms - process.offset_ms;
  if (by == 0) return;
  process.offset_ms = offset_ms;
  shift_births(process, by);
  for (auto& instance : instances) {
    if (instance.process != &process) continue;
    for (auto& time : instance.exports) time += by;
    if (instance.first_ms) *instance.first_ms += by;
    if (instance.forgotten_until_ms != INT64_MIN) instance.forgotten_until_ms += by;
  }
  for (auto& line : lines) {
    if (instances[line.instance].process != &process) continue;
    line.line.shift(by);
    if (line.life_from_ms != INT64_MIN) line.life_from_ms += by;
    for (auto& life : line.lives) {
      life.start_ms += by;
      life.from_ms += by;
      life.until_ms += by;
    }
    auto pieces = std::exchange(line.pieces, {});
    for (auto& piece : pieces) {
      // Waiting pieces lie after the closed edge and stay there.
      piece.from_ms = std::max(piece.from_ms + by, closed_ms);
      piece.to_ms = std::max(piece.to_ms + by, piece.from_ms + 1);
      line.pieces.push_back(std::move(piece));
    }
  }
}

void CountGrid::Impl::settle() {
  if (!kept_cells.empty()) return;
  find_clocks_behind();
  for (const auto index : dirty) {
    auto& line = lines[index];
    auto& instance = instances[line.instance];
    const auto offset = instance.process->offset_ms;
    for (const auto& sample : line.new_floats) instance.exported(sample.time_ms + offset);
    for (const auto& sample : line.new_classic) instance.exported(sample.time_ms + offset);
    for (const auto& sample : line.new_exponential) instance.exported(sample.time_ms + offset);
    if (line.measure == Measure::duration) instance.times_requests = true;
    if (line.measure == Measure::client_errors || line.answer != Answer::unknown)
      instance.knows_statuses = true;
  }
  for (const auto index : dirty) {
    auto& line = lines[index];
    settle_samples(line, line.new_floats);
    settle_samples(line, line.new_classic);
    settle_samples(line, line.new_exponential);
  }
  dirty.clear();
}

template <typename Samples>
void CountGrid::Impl::settle_samples(Line& line, Samples& samples) {
  auto& instance = instances[line.instance];
  const auto offset = instance.process->offset_ms;
  for (auto& sample : samples) {
    sample.time_ms += offset;
    if (sample.start_ms != 0) sample.start_ms += offset;
    if (sample.time_ms <= instance.forgotten_until_ms) continue; // it was here before
    if (sample.start_ms == 0 || sample.start_ms < instance.process->lowest_start_ms)
      note_start(instance, sample.start_ms, sample.time_ms);
    if constexpr (requires { sample.value.bounds; })
      sample.value.bounds = interned(line, sample.value.bounds);
    const GrowthContext context{.origin_ms = options.origin_ms,
                                .new_process_ms = options.new_process_ms,
                                .exported_before = instance.export_before(sample.time_ms),
                                .interval_ms = instance.interval_ms().value_or(cell_ms),
                                .unseen_begin_at_zero = line.unseen_begins_at_zero &&
                                                        sample.time_ms <= instance.unseen_until_ms};
    const Life before{line.line.start_ms(), line.life_from_ms, line.line.last_ms()};
    auto growth = line.line.add(sample, context);
    if (growth.restarted_ms && before.start_ms != 0) line.lives.push_back(before);
    if (growth.restarted_ms || before.from_ms == INT64_MIN) line.life_from_ms = sample.time_ms;
    came_back(instance, context, {sample.time_ms, sample.start_ms}, growth);
    if (growth.restarted_ms) {
      note_sign(*instance.process,
                {sample.time_ms, BirthSign::Kind::restart, *growth.restarted_ms});
    }
    if (growth.piece) admit(line, std::move(*growth.piece));
  }
  samples.clear();
}

// A first value behind what was forgotten: some of it may have been counted, unless it is another
// process under the same name.
void CountGrid::Impl::came_back(Instance& instance, const GrowthContext& context,
                                const Sampled& first, Growth& growth) {
  const auto forgotten = instance.forgotten_until_ms;
  if (!context.exported_before || *context.exported_before > forgotten) return;
  if (first.start_ms > forgotten && first.start_ms < first.time_ms) {
    growth.restarted_ms = first.start_ms;
  } else {
    growth.piece.reset();
  }
}

bool CountGrid::Impl::is_chosen(const Line& line) const {
  if (!chosen) return true; // nothing has been closed: nothing can be counted twice
  const auto source = instances[line.instance].source;
  return line.measure == Measure::duration ? chosen->durations == source : chosen->counts == source;
}

// Growth before the closed edge comes after its cell was closed. If it is a little late, it goes
// into the next cell, so that no request is lost. If it is very late, it would pair an old incident
// with the present, and across a change of weight it would mix two splits. Such growth is left out.
// Before anything else the growth is divided by the traffic that its track was sent: a canary that
// had none before the first weight has served all of its first export since.
void CountGrid::Impl::admit(Line& line, GrowthPiece piece) {
  for (auto& part : parts_by_weight(std::move(piece), instances[line.instance].track))
    admit_part(line, std::move(part));
}

void CountGrid::Impl::admit_part(Line& line, GrowthPiece piece) {
  if (piece.to_ms <= options.origin_ms) return;
  if (piece.from_ms < options.origin_ms) (void)piece.split(options.origin_ms);
  note_sampling(line, piece.amount);
  arrived_until_ms = std::max(arrived_until_ms, piece.to_ms);
  if (piece.from_ms >= closed_ms) {
    line.pieces.push_back(std::move(piece));
    return;
  }
  const bool used = is_chosen(line);
  const bool of_ledger = used && line.measure == Measure::requests && !routes[line.route].ignored;
  auto keep_from = used ? closed_ms - 2 * cell_ms : closed_ms;
  for (const auto& change : changes) keep_from = std::max(keep_from, change.to_ms);
  keep_from = std::min(keep_from, closed_ms);
  if (piece.to_ms <= keep_from) {
    if (of_ledger) late += piece.amount;
    return;
  }
  if (piece.from_ms < keep_from) {
    const auto lost = piece.split(keep_from);
    if (of_ledger) late += lost.amount;
  }
  piece.from_ms = closed_ms;
  piece.to_ms = std::max(piece.to_ms, closed_ms + 1);
  line.pieces.push_back(std::move(piece));
}

void CountGrid::Impl::note_sampling(const Line& line, double amount) {
  if (routes[line.route].ignored) return;
  const auto& instance = instances[line.instance];
  auto& to = arrived[static_cast<std::size_t>(instance.track)];
  const bool of_spans = instance.source == Source::spans;
  switch (line.measure) {
    case Measure::requests:
    case Measure::witness:
      (of_spans ? to.spans.spans : to.metrics[static_cast<std::size_t>(instance.source)]) += amount;
      return;
    case Measure::bad:
      if (of_spans) to.spans.failed += amount;
      return;
    case Measure::tail_sampled: to.spans.marked += amount; return;
    default: return;
  }
}

void CountGrid::weight_changed(std::int64_t from_ms, std::int64_t to_ms, double weight) {
  impl_->changes.push_back({std::min(from_ms, to_ms), std::max(from_ms, to_ms), weight});
}

double CountGrid::waiting_requests(Track track, std::int64_t since_ms) const {
  impl_->settle();
  since_ms = std::max(since_ms, impl_->kept_until_ms);
  std::array<double, kSources> by_source{};
  for (const auto at : impl_->request_lines) {
    auto& line = impl_->lines[at];
    const auto& instance = impl_->instances[line.instance];
    if (instance.track != track || impl_->routes[line.route].ignored) continue;
    if (!instance.counts_requests) continue;
    impl_->cut_at_changes(line, track);
    for (const auto& piece : line.pieces) {
      if (piece.to_ms <= since_ms) continue;
      const auto length = static_cast<double>(piece.to_ms - piece.from_ms);
      const auto counts =
          static_cast<double>(piece.to_ms - std::max(piece.from_ms, since_ms)) / length;
      by_source[static_cast<std::size_t>(instance.source)] += piece.amount * counts;
    }
  }
  auto sources = impl_->choose(); // what the next cell is counted by
  if (!sources) sources = impl_->chosen;
  if (sources) return by_source[static_cast<std::size_t>(sources->counts)];
  const auto it = std::ranges::find_if(by_source, [](double n) { return n > 0; });
  return it == by_source.end() ? 0 : *it;
}

std::optional<std::int64_t> CountGrid::newest_ms(Track track) const {
  impl_->settle();
  std::optional<std::int64_t> out;
  for (const auto& instance : impl_->instances) {
    if (instance.track != track || instance.exports.empty()) continue;
    if (!out || instance.exports.back() > *out) out = instance.exports.back();
  }
  return out;
}

std::int64_t CountGrid::closed_until_ms() const { return impl_->closed_ms; }
std::int64_t CountGrid::cell_ms() const { return impl_->cell_ms; }

std::int64_t CountGrid::needed_from_ms() const {
  std::int64_t behind = 0;
  for (const auto& process : impl_->processes) behind = std::max(behind, process.offset_ms);
  return impl_->closed_ms - behind;
}

GridLedger CountGrid::ledger() const {
  impl_->settle();
  GridLedger out{.counted = impl_->counted, .pending = 0, .late = impl_->late};
  const auto sources = impl_->chosen ? impl_->chosen : impl_->choose();
  for (const auto& line : impl_->lines) {
    const auto source = impl_->instances[line.instance].source;
    if (line.measure != Measure::requests || impl_->routes[line.route].ignored) continue;
    if (sources && source != sources->counts) continue;
    for (const auto& piece : line.pieces) out.pending += piece.amount;
  }
  return out;
}

std::vector<InstanceHeard> CountGrid::instances(Track track) const {
  impl_->settle();
  std::map<std::string_view, InstanceHeard> found;
  for (const auto& instance : impl_->instances) {
    if (instance.track != track || instance.exports.empty()) continue;
    auto& heard = found[instance.name];
    heard.newest_ms = std::max(heard.newest_ms, instance.exports.back());
    heard.clock_offset_ms = instance.process->offset_ms;
    if (instance.first_ms && (heard.first_ms == 0 || *instance.first_ms < heard.first_ms))
      heard.first_ms = *instance.first_ms;
    if (instance.was_known) heard.first_ms = std::min(heard.first_ms, instance.unseen_until_ms);
    heard.least_age_ms = instance.process->youngest_ms;
    heard.reads = std::min(instance.process->reads, kReadsForBehind);
    const auto& process = *instance.process;
    if (process.born_ms != INT64_MIN) heard.born_ms = process.born_ms;
    if (process.lowest_start_ms != INT64_MAX) heard.start_ms = process.lowest_start_ms;
    const auto interval = instance.interval_ms();
    if (interval && (!heard.interval_ms || *interval < *heard.interval_ms))
      heard.interval_ms = interval; // its best source tells first whether it lives
  }
  std::vector<InstanceHeard> out;
  for (auto& [name, heard] : found) {
    heard.name = name;
    out.push_back(std::move(heard));
  }
  return out;
}

void CountGrid::assume_clock(Track track, const std::string& instance, std::int64_t offset_ms) {
  impl_->set_offset(impl_->process_of(track, instance), offset_ms);
}

std::int64_t CountGrid::clock_offset_ms(Track track, const std::string& instance) const {
  impl_->settle();
  const auto it = impl_->process_index.find({track, instance});
  return it == impl_->process_index.end() ? 0 : it->second->offset_ms;
}

} // namespace coalmine::cohort
