// Counts on a common time grid: raw cumulative samples of both tracks in, closed cells out. What a
// sequential judge is fed.
//
// Why a grid: tracks export at different moments. Pairing what happened to arrive between two looks
// leaves one side empty and puts an incident that hit both tracks into different pairs; a guarantee
// about false rollbacks does not survive that. Here the cumulative count of each instance is taken
// as a line between its exports and cut at edges that both tracks share.
//
// Pure: no clock, no I/O, no store. Deterministic: the same samples in the same order give the same
// cells. A value type for one rollout, used by one thread at a time.
//
//   CountGrid grid(options);
//   every look: grid.add(what is new); for (auto& cell : grid.close(now)) judge.feed(cell);
//
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "telemetry/cell.h"
#include "telemetry/histogram.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

enum class Measure : std::uint8_t { requests, bad, duration };

// One raw series, as much of it as is new (samples already given are recognised and skipped).
// Cumulative values, as the store and Prometheus hold them. Exactly one of the two vectors is used:
// classic for Measure::duration (milliseconds), floats for the others.
struct CountSeries {
  std::uint64_t id = 0; // the reader's own; tells series apart. What follows is read only when an
                        // id is seen for the first time.
  Track track = Track::stable;
  Measure measure = Measure::requests;
  Source source = Source::sent;
  std::string instance;               // of one process: its name and version
  std::string route;                  // http.route; "" where the telemetry has none
  std::vector<FloatSample> floats;    // ascending
  std::vector<ClassicSample> classic; // ascending
};

// Telemetry of an instance is complete up to here, though no sample says so: counts derived from
// spans are written when something happened, and silence is no news.
struct InstanceSeen {
  Track track = Track::stable;
  Source source = Source::spans;
  std::string instance;
  std::int64_t until_ms = 0;
};

// All routes but options.own_routes that have not had options.min_route_requests (both tracks, all
// cells before this one) yet. A route leaves the pool for good, and what decides is only the past,
// so that the choice cannot depend on what is being tested.
inline constexpr std::string_view kPooledRoute = "(other routes)";

struct GridOptions {
  std::int64_t origin_ms = 0; // the first cell begins here; nothing before counts
  std::int64_t min_cell_ms = 5'000;
  std::int64_t max_cell_ms =
      5 * 60'000; // a longer export interval is cut by interpolation all the same
  std::int64_t warm_up_ms = 3 * 60'000;
  double min_route_requests = 50;
  std::size_t max_routes = 200; // rows of their own; the rest stays pooled
  std::vector<std::string> ignore_routes;
  std::vector<std::string>
      own_routes; // never pooled, from the first request on; max_routes is for the others
  // What the first value of a process means whose start time is unknown (Prometheus has none).
  // false: a baseline. true: an instance that is first seen after origin began at 0.
  bool unseen_instances_begin_at_zero = false;
  // A process that began at most this long before origin counts from its start even when its first
  // sample is later (its counts before origin are left out by interpolation); behind it the first
  // value is a baseline.
  std::int64_t new_process_ms = 10 * 60'000;
};

struct WeightChange {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double weight = -1; // from to_ms on
};

// Where every request went. counted + pending + late == what the samples added up to since origin.
struct GridLedger {
  double counted = 0; // in cells handed out, mixed ones among them
  double pending = 0; // behind the last closed edge, waiting
  double late = 0;    // arrived so late that its cells had been closed more than two cells ago, or
                      // across a change of weight
};

// Thread: any one at a time.
class CountGrid {
 public:
  explicit CountGrid(GridOptions options);
  ~CountGrid();
  CountGrid(CountGrid&&) noexcept;
  CountGrid& operator=(CountGrid&&) noexcept;

  // read_ms: our clock when the series was read; 0 unknown (history). An instance whose newest
  // sample is of the future, or is steadily older than everybody else's, has a clock that is off:
  // its times are shifted.
  void add(const CountSeries& series, std::int64_t read_ms = 0);
  void add(const InstanceSeen& seen);
  // The split moved between these two moments (from the order to the router to its confirmation).
  // The cells they touch are marked. Call it before close(): cells that are closed stay as they
  // are. weight: what holds from then on.
  void weight_changed(std::int64_t from_ms, std::int64_t to_ms, double weight);
  // All of them at once, in place of those given before (a change that was under way has been
  // confirmed by now).
  void set_weight_changes(std::vector<WeightChange> changes);
  // The cells that can be closed: both tracks' telemetry has passed their end, and their end is not
  // beyond until_ms. A track's telemetry is as far as the least advanced of its instances that are
  // alive; one that misses its export by half an interval does not hold up the rest. In order; each
  // once.
  std::vector<CountCell> close(std::int64_t until_ms);

  std::int64_t closed_until_ms() const; // end of the newest closed cell; origin before the first
  std::int64_t cell_ms()
      const; // as long as the longest export interval seen on either track, within the limits
  std::optional<std::int64_t> watermark_ms(
      Track track) const; // telemetry complete up to here; nothing seen: none
  double waiting_requests(
      Track track) const; // behind the last closed edge, by the track's best source
  std::optional<std::int64_t> newest_ms(
      Track track) const; // newest sample of any source; nothing seen: none
  // Raw samples from here on may still be wanted by the next add(): what a reader asks the store
  // for.
  std::int64_t needed_from_ms() const;
  GridLedger ledger() const; // of requests, the chosen source
  std::int64_t clock_offset_ms(Track track,
                               const std::string& instance) const; // added to its times; 0 none

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace coalmine::cohort
