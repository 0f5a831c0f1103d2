// The working parts of CountGrid. Private to count_grid*.cc.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <deque>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

#include "cohort/count_grid.h"
#include "cohort/count_line.h"
#include "cohort/span_sampling.h"

namespace coalmine::cohort {

inline constexpr std::size_t kSources = 3;
// Spans pass two stations, each of which batches them for 5 s by default.
inline constexpr std::int64_t kSpanIntervalMs = 10'000;
// The interval assumed for an instance that has exported only once.
inline constexpr std::int64_t kAssumedIntervalMs = 60'000;

struct CountGrid::Impl {
  // Something that tells when a process began.
  struct BirthSign {
    enum class Kind : std::uint8_t { start, first_seen, restart };
    std::int64_t shown_ms = 0; // the sample that shows it
    Kind kind = Kind::start;
    std::int64_t born_ms = 0;
  };
  // What all sources of one process have in common.
  struct Process {
    Track track = Track::stable;
    // Its clock compared with ours.
    std::int64_t offset_ms = 0; // added to its times
    // Least age of its newest sample when it was read, by its own times.
    std::optional<std::int64_t> youngest_ms;
    int reads = 0;            // reads that brought samples which had come since the read before
    std::int64_t read_ms = 0; // of the newest of them
    // Its begin, as the samples in the cells so far tell it; INT64_MIN: unknown, long ago.
    std::int64_t born_ms = INT64_MIN;
    std::int64_t lowest_start_ms = INT64_MAX;
    std::vector<BirthSign> signs; // of later samples, in their order
    bool was_known = false;       // before a restart: signs in the kept cells are in born_ms
    std::uint32_t restarts = 0;   // in the cell being closed
  };
  // The first birth of a track in one step of the traffic.
  struct FirstBirth {
    std::int64_t born_ms = 0;
    const Process* process = nullptr; // null: known from before a restart
  };
  // One process by one source.
  struct Instance {
    Track track = Track::stable;
    Source source = Source::sent;
    std::string name;
    // Where in a cell its windows begin: fixed, and evenly spread over the names of instances.
    std::uint64_t phase = 0;
    Process* process = nullptr;
    std::vector<std::int64_t> exports; // ascending, the recent ones
    std::vector<std::int64_t> gaps;    // between the newest exports
    // The median gap, because a missed export makes one long gap.
    std::optional<std::int64_t> usual_gap;
    std::optional<std::int64_t> first_ms;
    std::int64_t seen_until_ms = INT64_MIN;
    // Up to here its series are forgotten; INT64_MIN: they never were.
    std::int64_t forgotten_until_ms = INT64_MIN;
    bool was_known = false; // before a restart: where reading began says nothing about its birth
    std::int64_t unseen_until_ms = INT64_MAX; // its first sample, where it was known
    bool counts_requests = false;             // false also: it once did, and is a witness now
    bool times_requests = false;
    bool knows_statuses = false;
    // In the cell being closed.
    double requests = 0;
    double errors = 0;
    std::optional<std::size_t> detail; // its place in Impl::details

    std::int64_t known_until() const {
      return std::max(exports.empty() ? INT64_MIN : exports.back(), seen_until_ms);
    }
    std::optional<std::int64_t> interval_ms() const;
    std::optional<std::int64_t> export_before(std::int64_t time_ms) const;
    // Its exports as if it exported once per cell: see CountGrid::Impl::spread. A knot is the last
    // export of a window as long as a cell. Where windows begin differs by instance.
    bool exports_often(std::int64_t cell_ms) const;
    std::int64_t window_of(std::int64_t time_ms, std::int64_t cell_ms) const;
    // The knot of the newest window that is over, or else the first export.
    std::int64_t last_knot(std::int64_t cell_ms) const;
    void exported(std::int64_t time_ms);
  };
  // A stretch in which a series counted from one start (0: not known), by its first and its last
  // sample.
  struct Life {
    std::int64_t start_ms = 0;
    std::int64_t from_ms = 0;
    std::int64_t until_ms = 0;
  };
  struct Line {
    std::size_t instance = 0;
    std::size_t route = 0;
    Measure measure = Measure::requests;
    Answer answer = Answer::unknown;
    bool unseen_begins_at_zero = false;
    CountLine line;
    std::int64_t life_from_ms = INT64_MIN; // of the present one
    std::vector<Life> lives;               // that are over, but not before the closed edge
    std::deque<GrowthPiece> pieces;
    std::vector<FloatSample> new_floats; // as sent: not shifted
    std::vector<ClassicSample> new_classic;
    std::vector<ExponentialSample> new_exponential;
    bool is_clean() const {
      return new_floats.empty() && new_classic.empty() && new_exponential.empty();
    }
    bool is_exponential = false; // it has had such samples
    std::int64_t newest_raw_ms = INT64_MIN;
    BucketBounds raw_bounds; // as sent last, and the grid's own object for them
    BucketBounds bounds;
  };
  struct Route {
    std::string name;
    bool ignored = false;
    bool own_row = false;
    double requests = 0; // so far
  };
  // The sources that a cell is counted by. durations: none when no source has durations on both
  // tracks.
  struct Sources {
    Source counts = Source::sent;
    std::optional<Source> durations;
  };
  // What the cell being closed has of one route.
  struct Part {
    RouteCounts row;
    DurationCounts canary;
    DurationCounts stable;
    DurationCounts& durations(Track track) { return track == Track::canary ? canary : stable; }
    const DurationCounts& durations(Track track) const {
      return track == Track::canary ? canary : stable;
    }
  };
  // One process whose durations and parts of routes are told apart.
  struct Detail {
    std::size_t instance = 0;         // by the source that counts
    std::optional<std::size_t> place; // in CountCell::instances
    DurationCounts durations;
  };

  explicit Impl(GridOptions given);

  Line& line_of(const CountSeries& series);
  std::size_t instance_of(Track track, Source source, const std::string& name);
  Process& process_of(Track track, const std::string& name);
  std::size_t route_of(const std::string& name);
  BucketBounds interned(Line& line, const BucketBounds& raw);

  // count_grid.cc
  struct Reading {
    std::int64_t newest_raw_ms = 0;
    std::int64_t read_ms = 0;
    bool is_news = false; // the series had been read before
  };
  void read_clock(Process& process, const Reading& reading);
  void find_clocks_behind();
  void set_offset(Process& process, std::int64_t offset_ms);
  void settle();
  template <typename Samples>
  void settle_samples(Line& line, Samples& samples);
  struct Sampled {
    std::int64_t time_ms = 0;
    std::int64_t start_ms = 0;
  };
  static void came_back(Instance& instance, const GrowthContext& context, const Sampled& first,
                        Growth& growth);
  void admit(Line& line, GrowthPiece piece);
  void admit_part(Line& line, GrowthPiece piece);
  void note_sampling(const Line& line, double amount);
  bool is_chosen(const Line& line) const;

  // count_grid_births.cc
  void note_start(Instance& instance, std::int64_t start_ms, std::int64_t time_ms);
  void note_sign(Process& process, const BirthSign& sign) const;
  void learn_births(std::int64_t until_ms);
  void learn_birth(Process& process, const BirthSign& sign);
  bool lived_on(const Process& process, const BirthSign& restart) const;
  void add_birth(Track track, FirstBirth birth);
  void shift_births(Process& process, std::int64_t by_ms);
  std::int64_t step_begin(std::int64_t time_ms) const;
  bool warming(const Instance& instance, const CountCell& cell) const;

  // count_grid_past.cc
  struct Held {
    std::size_t line = 0;
    std::vector<FloatSample> floats;
    std::vector<ClassicSample> classic;
    std::vector<ExponentialSample> exponential;
  };
  void pass_kept(std::int64_t until_ms);
  std::vector<Held> hold_later();
  void release(std::vector<Held> held);
  void pass(const CountCell& cell);
  void end_of_kept();

  // count_grid_close.cc
  enum class What { requests, durations };
  std::optional<std::int64_t> watermark(Track track, Source source, What what,
                                        std::int64_t cell) const;
  std::optional<std::int64_t> both(Source source, What what, std::int64_t cell) const;
  std::optional<Sources> choose() const;
  bool has_ended(const Instance& instance, std::int64_t newest_ms, std::int64_t cell) const;
  std::int64_t heard_until(std::int64_t until_ms) const;
  std::int64_t longest_interval(const Sources& sources) const;
  std::optional<CountCell> close_one(std::int64_t until_ms);
  CountCell make_cell(std::int64_t to_ms);
  std::vector<GrowthPiece> parts_by_weight(GrowthPiece piece, Track track) const;
  void cut_at_changes(Line& line, Track track) const;
  void spread(Line& line, const Instance& instance, std::int64_t until_ms) const;
  std::set<std::pair<std::size_t, std::size_t>> measured_finely(std::int64_t until_ms) const;
  void collect(std::int64_t until_ms, const CountCell& cell, std::vector<Part>& parts);
  void judge_sampling(CountCell& cell);
  void take(const Line& line, Instance& instance, const GrowthPiece& piece, bool warm, Part& to);
  void take_requests(const Line& line, Instance& instance, double amount, bool warm,
                     TrackCounts& to);
  bool has_own_row(std::size_t route, const RouteCounts& row);
  void gather_rows(std::vector<Part>& parts, CountCell& cell);
  void list_instances(CountCell& cell);
  double weight_at(std::int64_t time_ms) const;
  bool split_moved(std::int64_t from_ms, std::int64_t to_ms) const;
  void forget_before(std::int64_t time_ms);
  void forget_silent();
  void drop_lines(const std::vector<bool>& of_instances);

  // count_grid_details.cc
  void choose_details(std::int64_t until_ms, const CountCell& cell);
  void note_part(const Line& line, std::size_t detail, double requests, double errors,
                 RouteCounts& to) const;
  void place_details(const CountCell& cell);
  void settle_parts(RouteCounts& row) const;
  void put_details(const Part& total, CountCell& cell) const;

  GridOptions options;
  // Closed before, and not passed yet: until then new samples wait.
  std::vector<CountCell> kept_cells;
  std::int64_t kept_until_ms = INT64_MIN;
  std::int64_t resumed_ms = INT64_MIN; // CountGrid::resumed
  std::vector<RouteSoFar> kept_routes;
  std::map<std::pair<Track, std::string>, InstanceHeard> kept_instances;
  std::int64_t closed_ms = 0;
  std::int64_t cell_ms = 0;
  std::optional<Sources> chosen; // of the newest closed cell
  std::vector<WeightChange> changes;
  std::deque<Process> processes; // addresses stay
  std::map<std::pair<Track, std::string>, Process*> process_index;
  // By track, in order: at most one a step.
  std::array<std::vector<FirstBirth>, kBothTracks.size()> first_births;
  std::vector<Instance> instances;
  std::vector<Detail> details; // in the cell being closed
  std::map<std::tuple<Track, Source, std::string>, std::size_t> instance_index;
  std::vector<Route> routes;
  std::map<std::string, std::size_t> route_index;
  std::set<std::string> ignored;
  std::set<std::string> always_own; // options.own_routes
  std::size_t own_rows = 0;
  std::vector<Line> lines;
  std::vector<std::size_t> request_lines; // those that count requests
  std::unordered_map<std::uint64_t, std::size_t> line_index;
  std::vector<std::size_t> dirty; // lines with new samples
  std::vector<BucketBounds> known_bounds;
  // What came of a track since the newest closed cell, for its time or not: metrics and spans come
  // at different moments, and a source that is not counted by is not waited for.
  struct Arrived {
    SamplingCounts spans;
    std::array<double, kSources> metrics{}; // by source
  };
  std::array<Arrived, kBothTracks.size()> arrived; // by track
  std::int64_t arrived_until_ms = INT64_MIN;       // the newest time of it
  std::int64_t sampling_until_ms = 0;              // what sampling has been told of; from origin on
  SpanSampling sampling;
  double counted = 0;
  double late = 0;
};

} // namespace coalmine::cohort
