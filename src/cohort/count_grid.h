// Counts on a common time grid: raw cumulative samples of both tracks go in, closed cells come out.
// The cells are the input of a sequential judge.
//
// Why a grid: tracks export at different moments. Pairing the samples that arrive between two looks
// would leave one side empty, and would put an incident that hit both tracks into different pairs.
// No guarantee about false rollbacks would hold then. Here the cumulative count of each instance is
// taken as a line between its exports and cut at edges that both tracks share.
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

#include "cohort/grid_past.h"
#include "telemetry/cell.h"
#include "telemetry/histogram.h"
#include "telemetry/outcome.h"
#include "telemetry/sample.h"

namespace coalmine::cohort {

// witness: requests by a metric that is not counted by, because it does not say which failed; it
// shows whether spans are a sample. tail_sampled: spans that are marked as one.
enum class Measure : std::uint8_t { requests, bad, client_errors, duration, witness, tail_sampled };

// The new samples of one raw series (samples already given are recognised and skipped). Values are
// cumulative, as in the store and Prometheus. Exactly one of the three vectors is used: classic
// (milliseconds) or exponential (seconds, see telemetry/durations.h) for Measure::duration, floats
// for the others. Where an instance has durations of a route in both forms, they are the same
// requests, and the exponential ones are counted.
struct CountSeries {
  // Chosen by the reader; distinguishes series. The labels below are read only when an id is seen
  // for the first time.
  std::uint64_t id = 0;
  Track track = Track::stable;
  Measure measure = Measure::requests;
  Source source = Source::sent;
  std::string instance; // of one process: its name and version
  std::string route;    // http.route; "" where the telemetry has none
  // For Measure::requests: what the series' own labels say. An instance's statuses are known when
  // such labels say them or when it has a series of Measure::client_errors.
  Answer answer = Answer::unknown;
  // As GridOptions::unseen_instances_begin_at_zero, for this series alone.
  bool unseen_begins_at_zero = false;
  std::vector<FloatSample> floats; // ascending, as are the others
  std::vector<ClassicSample> classic;
  std::vector<ExponentialSample> exponential;
};

// Telemetry of an instance is complete up to here, though no sample shows it. Counts derived from
// spans are written only when something happened.
struct InstanceSeen {
  Track track = Track::stable;
  Source source = Source::spans;
  std::string instance;
  std::int64_t until_ms = 0;
};

// The pool of all routes that have not had options.min_route_requests yet (both tracks, all cells
// before this one), without options.own_routes. A route leaves the pool for good. Only past cells
// decide this, so the choice cannot depend on the cell being tested.
inline constexpr std::string_view kPooledRoute = "(other routes)";

struct GridOptions {
  std::int64_t origin_ms = 0; // the first cell begins here; nothing before counts
  std::int64_t min_cell_ms = 5'000;
  // A longer export interval is cut by interpolation.
  std::int64_t max_cell_ms = 5 * 60'000;
  // One warm-up a track and step. A step goes from the order of one weight to the order of the
  // next; the first one from the beginning. The warm-up of a track ends this long after the birth
  // of its first process that was born in the step, also for those that are born later in it. So a
  // process that restarts again and again does not warm up for ever, and processes that are started
  // for the next step have a warm-up of their own.
  std::int64_t warm_up_ms = 3 * 60'000;
  double min_route_requests = 50;
  std::size_t max_routes = 200; // routes with rows of their own; the rest stays pooled
  std::vector<std::string> ignore_routes;
  // Never pooled, and not counted in max_routes.
  std::vector<std::string> own_routes;
  // The meaning of the first value of a process without a known start time (Prometheus has none).
  // False: a baseline. True: an instance first seen after origin began at 0.
  bool unseen_instances_begin_at_zero = false;
  // A process that began at most this long before origin counts from its start, even when its first
  // sample is later. Its counts before origin are left out by interpolation. The first value of an
  // older process is a baseline.
  std::int64_t new_process_ms = 10 * 60'000;
  // The series of a process that has been silent for this long are forgotten, so that a rollout
  // that lasts for days holds no more than what reports. If it comes back, it counts from its first
  // export on: what it did in between came too late for any cell. At least four of the longest
  // cells, and warm_up_ms.
  std::int64_t forget_ms = 60 * 60'000;
};

struct WeightChange {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  double weight = -1; // from to_ms on
};

// Accounts for every request. counted + pending + late == the sum of the samples since origin.
struct GridLedger {
  double counted = 0; // in cells handed out, mixed ones among them
  double pending = 0; // after the last closed edge, waiting
  // Arrived more than two cells after its cell was closed, or across a change of weight.
  double late = 0;
};

// Any thread, one at a time.
class CountGrid {
 public:
  explicit CountGrid(GridOptions options);
  ~CountGrid();
  CountGrid(CountGrid&&) noexcept;
  CountGrid& operator=(CountGrid&&) noexcept;

  // Goes on behind cells that were closed and kept, as if this grid had closed them: the same
  // samples give the same further cells. Only samples from a little before the first of past.cells
  // are needed. What had not come when they were closed is late growth, as ever. Call it once,
  // before anything is added; until the first close() behind past.cells nothing is known of what
  // was added.
  void go_on_behind(GridPast past);
  // now_ms: when telemetry can be sent to us again, behind the kept cells. What could not be sent
  // before comes a little later, so the silence of an instance is counted from here on, and nothing
  // before is complete because it should have come by now.
  void resumed(std::int64_t now_ms);

  // read_ms: our clock when the series was read; 0: unknown (history). An instance has a wrong
  // clock when its newest sample lies in the future or is steadily older than those of all others.
  // Its times are then shifted.
  void add(const CountSeries& series, std::int64_t read_ms = 0);
  // Whether add() needs only the id and the samples of this series, not its labels. Not before it
  // was added, and no more once it was forgotten.
  bool knows(std::uint64_t series_id) const;
  void add(const InstanceSeen& seen);
  // Marks the cells during which the split changed: from the order to the router until its
  // confirmation. Call it before close(), because closed cells do not change. weight: the weight
  // from to_ms on.
  void weight_changed(std::int64_t from_ms, std::int64_t to_ms, double weight);
  // Returns the cells that can be closed now, in order and each once. A cell can be closed when
  // both tracks' telemetry has passed its end and its end is not beyond until_ms. A track's
  // telemetry has advanced as far as the slowest of its live instances. An instance whose export is
  // late by half an interval does not hold up the rest.
  std::vector<CountCell> close(std::int64_t until_ms);

  std::int64_t closed_until_ms() const; // end of the newest closed cell; origin before the first
  // The longest export interval seen on either track, within the limits.
  std::int64_t cell_ms() const;
  // Telemetry is complete up to here; none when nothing was seen.
  std::optional<std::int64_t> watermark_ms(Track track) const;
  // Requests after the last closed edge and after since_ms, by the track's best source.
  double waiting_requests(Track track, std::int64_t since_ms = INT64_MIN) const;
  // Newest sample of any source; none when nothing was seen.
  std::optional<std::int64_t> newest_ms(Track track) const;
  // The next add() may need raw samples from here on, so a reader asks the store for these.
  std::int64_t needed_from_ms() const;
  GridLedger ledger() const;  // of requests, the chosen source
  std::size_t series() const; // those it holds
  // The instances of a track that were seen, by name; those that ended are among them.
  std::vector<InstanceHeard> instances(Track track) const;
  // The first birth of a track in each step that had one, in the closed cells; in order.
  std::vector<std::int64_t> first_births(Track track) const;
  // The routes in the closed cells, those with the most requests first, at most `most`.
  std::vector<RouteSoFar> routes(std::size_t most) const;
  // A clock that is known from elsewhere, for a reader that begins with history: from the age of
  // old samples no clock can be told.
  void assume_clock(Track track, const std::string& instance, std::int64_t offset_ms);
  // Added to the times of the instance; 0: no correction.
  std::int64_t clock_offset_ms(Track track, const std::string& instance) const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

} // namespace coalmine::cohort
