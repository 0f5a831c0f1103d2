// When processes began, and which of them warm up.
//
// A cell depends only on what was there when it ended, not on how much had been read when it was
// closed: the signs of a birth wait until a cell covers the sample that shows them. Otherwise
// somebody who reads the past would find a process that restarted later warming up all along.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <tuple>

#include "cohort/count_grid_impl.h"

namespace coalmine::cohort {

// A process began at the earliest start time of its series, else when it was first seen, unless
// that is only where reading began.
void CountGrid::Impl::note_start(Instance& instance, std::int64_t start_ms, std::int64_t time_ms) {
  auto& process = *instance.process;
  if (start_ms != 0 && start_ms < time_ms)
    return note_sign(process, {time_ms, BirthSign::Kind::start, start_ms});
  if (process.born_ms != INT64_MIN || process.lowest_start_ms != INT64_MAX) return;
  const auto first_ms = *instance.first_ms;
  const auto reading_began = options.origin_ms - options.new_process_ms;
  const bool is_new = !instance.was_known || instance.unseen_until_ms > kept_until_ms;
  if (is_new && first_ms > reading_began + options.max_cell_ms)
    note_sign(process, {first_ms, BirthSign::Kind::first_seen, first_ms});
}

void CountGrid::Impl::note_sign(Process& process, const BirthSign& sign) const {
  using Kind = BirthSign::Kind;
  if (process.was_known && sign.shown_ms <= kept_until_ms) return;
  if (sign.kind == Kind::start && process.lowest_start_ms <= sign.born_ms) return;
  if (sign.kind == Kind::restart && process.born_ms >= sign.born_ms) return;
  const auto says_it = [&](const BirthSign& other) {
    return other.kind == sign.kind && other.shown_ms <= sign.shown_ms &&
           (sign.kind == Kind::restart ? other.born_ms >= sign.born_ms
                                       : other.born_ms <= sign.born_ms);
  };
  if (std::ranges::any_of(process.signs, says_it)) return;
  const auto order = [](const BirthSign& one) { return std::tuple(one.shown_ms, one.kind); };
  const auto at = std::ranges::upper_bound(process.signs, order(sign), {}, order);
  process.signs.insert(at, sign);
}

// Of all samples up to until_ms.
void CountGrid::Impl::learn_births(std::int64_t until_ms) {
  for (auto& process : processes) {
    auto& signs = process.signs;
    const auto behind = std::ranges::upper_bound(signs, until_ms, {}, &BirthSign::shown_ms);
    for (auto it = signs.begin(); it != behind; ++it) learn_birth(process, *it);
    signs.erase(signs.begin(), behind);
  }
}

void CountGrid::Impl::learn_birth(Process& process, const BirthSign& sign) {
  const auto before = process.born_ms;
  switch (sign.kind) {
    case BirthSign::Kind::start:
      if (process.lowest_start_ms == INT64_MAX ||
          (sign.born_ms < process.lowest_start_ms && before == process.lowest_start_ms)) {
        process.born_ms = sign.born_ms;
      }
      process.lowest_start_ms = std::min(process.lowest_start_ms, sign.born_ms);
      break;
    case BirthSign::Kind::first_seen:
      if (before == INT64_MIN && process.lowest_start_ms == INT64_MAX)
        process.born_ms = sign.born_ms;
      break;
    case BirthSign::Kind::restart:
      if (sign.born_ms <= before || lived_on(process, sign)) return;
      process.born_ms = sign.born_ms;
      // The series of one process begin within moments of each other.
      if (before == INT64_MIN || sign.born_ms > before + kSameExportMs) ++process.restarts;
      break;
  }
  if (process.born_ms == before) return;
  if (process.born_ms < before) { // it was born earlier than was known, not twice
    std::erase_if(first_births[static_cast<std::size_t>(process.track)], [&](const auto& birth) {
      return birth.process == &process && birth.born_ms == before;
    });
  }
  add_birth(process.track, {process.born_ms, &process});
}

// Whether another series of the process counted on, from an older start, when this one began anew:
// some SDKs give each series a start of its own, its first measurement. Only what the process
// itself counts tells: what is derived from spans and histograms goes on whatever becomes of it.
bool CountGrid::Impl::lived_on(const Process& process, const BirthSign& restart) const {
  const auto shows_it = [&](const Life& life) {
    return life.start_ms != 0 && life.from_ms <= restart.born_ms &&
           life.until_ms + kSameExportMs > restart.shown_ms;
  };
  return std::ranges::any_of(lines, [&](const Line& line) {
    const auto& instance = instances[line.instance];
    return instance.process == &process && instance.source == Source::sent &&
           (shows_it({line.line.start_ms(), line.life_from_ms, line.line.last_ms()}) ||
            std::ranges::any_of(line.lives, shows_it));
  });
}

void CountGrid::Impl::add_birth(Track track, FirstBirth birth) {
  auto& all = first_births[static_cast<std::size_t>(track)];
  const auto step = step_begin(birth.born_ms);
  auto at = std::ranges::lower_bound(all, step, {}, &FirstBirth::born_ms);
  if (at != all.end() && at->born_ms <= birth.born_ms) return; // another was first
  at = all.insert(at, birth) + 1;
  if (at != all.end() && step_begin(at->born_ms) == step) all.erase(at);
}

// The births of a process whose clock turned out to be off.
void CountGrid::Impl::shift_births(Process& process, std::int64_t by_ms) {
  if (process.born_ms != INT64_MIN) process.born_ms += by_ms;
  if (process.lowest_start_ms != INT64_MAX) process.lowest_start_ms += by_ms;
  for (auto& sign : process.signs) {
    sign.shown_ms += by_ms;
    sign.born_ms += by_ms;
  }
  auto& all = first_births[static_cast<std::size_t>(process.track)];
  for (auto& birth : all) {
    if (birth.process == &process) birth.born_ms += by_ms;
  }
  std::ranges::sort(all, {}, &FirstBirth::born_ms);
}

// A step begins when its weight is ordered, so what is started for it belongs to it.
std::int64_t CountGrid::Impl::step_begin(std::int64_t time_ms) const {
  std::int64_t out = INT64_MIN;
  for (const auto& change : changes) {
    if (change.from_ms <= time_ms) out = std::max(out, change.from_ms);
  }
  return out;
}

// One warm-up a track and step: see GridOptions::warm_up_ms.
bool CountGrid::Impl::warming(const Instance& instance, const CountCell& cell) const {
  const auto& process = *instance.process;
  auto born_ms = process.born_ms;
  // What later samples show: a process that began in the cell, or one that was first seen behind it
  // and whose first counts are dated back into it.
  for (const auto& sign : process.signs) {
    const bool is_older =
        sign.kind == BirthSign::Kind::start && process.lowest_start_ms != INT64_MAX;
    const bool is_dated_back = sign.kind == BirthSign::Kind::first_seen && born_ms == INT64_MIN;
    if ((sign.born_ms < cell.to_ms || is_dated_back) && !is_older)
      born_ms = std::max(born_ms, sign.born_ms);
  }
  if (born_ms == INT64_MIN) return false;
  const auto& all = first_births[static_cast<std::size_t>(instance.track)];
  const auto first = std::ranges::lower_bound(all, step_begin(born_ms), {}, &FirstBirth::born_ms);
  if (first != all.end()) born_ms = std::min(born_ms, first->born_ms);
  return cell.from_ms < born_ms + options.warm_up_ms;
}

std::vector<std::int64_t> CountGrid::first_births(Track track) const {
  std::vector<std::int64_t> out;
  for (const auto& birth : impl_->first_births[static_cast<std::size_t>(track)])
    out.push_back(birth.born_ms);
  return out;
}

} // namespace coalmine::cohort
