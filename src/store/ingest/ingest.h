// Turns the metric points and spans of a batch into samples: cumulative, without duplicates, and
// with the derived series added.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "store/ingest/derive.h"
#include "store/ingest/fresh_spans.h"
#include "store/ingest/own_counts.h"
#include "store/ingest/stage.h"
#include "telemetry/batch.h"

namespace coalmine::store {

// Wall-clock window in which points are accepted.
struct AcceptWindow {
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
};

struct Rejections {
  std::size_t points = 0;
  std::string reason; // of the first rejected point
  void point(std::string why);
};

// Remembers between appends the last value of each series that it adds up or takes increases of.
// Missing values are read from the store, so forget() is always safe. It is called after a failed
// write, when memory is ahead of the disk. Guarded by Locks::write.
class Ingest {
 public:
  // failures must outlive it.
  explicit Ingest(const FailureRules& failures) : failures_(failures) {}
  // Takes note of a series that was already stored at start.
  void restore(const SeriesInfo& info);
  void points(Stage& stage, const std::vector<MetricPoint>& points, const AcceptWindow& window,
              Rejections& rejections);
  void spans(Stage& stage, const FreshSpans& fresh, std::int64_t received_ms);
  void flush(Stage& stage);
  // Called after the write succeeded / failed.
  void commit();
  void forget();
  // forget(), and of the facts about instances and versions only those that the series in the index
  // tell stay, and the counts of instances that counted a request at before_ms or later: what has
  // ended leaves nothing behind.
  void forget_ended(const SeriesIndex& index, std::int64_t before_ms);
  // How many facts about instances and versions are known.
  std::size_t facts() const { return stable_instances_.size() + own_errors_.size() + own_.size(); }

 private:
  enum class Role : std::uint8_t { plain, duration, old_duration, sent_requests };
  // The memory of one raw series. Only deltas and duration histograms have one.
  struct Memory {
    std::optional<Sample> last; // cumulative, no staleness marker
    std::uint64_t last_ns = 0;
    DerivedGroup* group = nullptr;
    RequestOutcome outcome;
    bool behind = false; // last is out of date: read the stored sample
  };
  // The facts about a series that its points need.
  struct Known {
    SeriesInfo* info = nullptr; // nullptr: refused
    std::string refusal;
    Role role = Role::plain;
    // Readers would have to choose this series over the application's own request metrics.
    bool derives = false;
    // For a cumulative series: set only once something is derived from it.
    Memory* memory = nullptr;
    // Its first value only starts the count, because the old convention has counted these requests.
    bool baseline = false;
    // For an own request counter: the error count that is written beside it.
    SeriesInfo* filler = nullptr;
    bool fails = false; // its status label says that these requests failed
    // The part of the count that came before its status counted as an error, and the count's start.
    double uncounted = 0;
    std::int64_t uncounted_start_ms = 0;
    bool guesses = false;        // the filler was made as a guess
    BucketBounds checked_bounds; // of the last point: known to be in order
    // The instance, when this series is its own request counter or a duration histogram.
    OwnCounts* own = nullptr;
    bool own_form = false; // a duration that already has the name of ours
    // For a cumulative series whose resource does not tell its process from others: the start of
    // the process that owns it (0: not known yet), and what is known of the series of further
    // processes, by their start.
    bool may_be_shared = false;
    std::int64_t process_start_ms = 0;
    std::unique_ptr<std::map<std::int64_t, Known>> others;
  };

  // Facts about a recurring series, kept by the address of its description.
  struct Kept {
    std::shared_ptr<const MetricSeries> series; // so that the address is not used again
    Known known;
  };

  // Fills found_ with the kept facts of each point's series, by place. Before that it drops the
  // facts that the batch makes untrue.
  void survey(const std::vector<MetricPoint>& points);
  // Returns true when something about a whole version was learnt.
  bool look_up(const std::vector<MetricPoint>& points, std::set<std::string>& learnt);
  // Forgets the roles of the instance's series, so that they are determined again.
  void forget_instance(const std::string& instance);
  void forget_kept();
  Known& known_of(Stage& stage, const std::shared_ptr<const MetricSeries>& series,
                  std::unordered_map<const MetricSeries*, Known>& here);
  // process_start_ms: of a process beside the one that owns the plain series; 0: the plain one.
  Known know(Stage& stage, const std::shared_ptr<const MetricSeries>& series,
             std::int64_t process_start_ms = 0);
  // processes.cc
  struct ProcessPoint {
    std::int64_t start_ms = 0; // 0: unknown
    std::int64_t time_ms = 0;
  };
  // What is known of the series of the point's own process. nullptr: the point is refused.
  Known* process_of(Stage& stage, const MetricPoint& point, const ProcessPoint& at, Known& plain,
                    Rejections& rejections);
  Known* other_process(Stage& stage, const MetricPoint& point, const ProcessPoint& at, Known& plain,
                       Rejections& rejections);
  bool has_room(SeriesId series, const ProcessPoint& at);
  static bool is_old_process(const Known& plain, const ProcessPoint& at);
  Memory* remember(Stage& stage, const SeriesInfo& info);
  void recall(Stage& stage, SeriesId id, Memory& memory);
  bool needs_no_derived(const Known& known, std::int64_t time_ms) const;
  // Returns false when nothing can be derived because the service has too many series.
  bool begin_deriving(Stage& stage, const MetricSeries& series, Known& known);
  void derive_growth(const MetricPoint& point, Known& known, const Sample& sample);
  const DescriptionRef& filler_description(const std::string& unit);
  const FailureRule& rule_of(const MetricSeries& series) const {
    return failures_.of(series.labels.get("service_name"));
  }
  void know_errors(Stage& stage, const MetricSeries& series, Known& known);
  // adds: beside an error counter of its own.
  SeriesInfo* filler_for(Stage& stage, const SeriesInfo& requests, OwnErrors errors, bool adds);
  void put_filler(Stage& stage, Known& known, const Sample& requests);
  void point(Stage& stage, const MetricPoint& point, Known& known, Rejections& rejections);
  void cumulative(Stage& stage, const MetricPoint& point, Known& known, Sample sample);
  // False: the point clashes with another one.
  bool delta(Stage& stage, const MetricPoint& point, Known& known, Sample sample);
  void derive(const MetricSeries& series, Known& known, const Sample& increase,
              std::int64_t start_ms);
  static double ms_factor(const MetricSeries& series, const Sample& sample);

  const FailureRules& failures_;
  DescriptionRef filler_description_ = no_description(); // the last one used, as they hardly differ
  Deriver deriver_;
  std::unordered_map<SeriesId, Memory> memories_;
  std::unordered_map<const MetricSeries*, Kept> kept_;
  // Keys of kept_, by instance_key.
  std::unordered_map<std::string, std::vector<const MetricSeries*>> kept_of_instance_;
  // Of series that several processes have: newest point by process start, but for the owner's.
  std::unordered_map<SeriesId, std::map<std::int64_t, std::int64_t>> processes_;
  // The current batch's; point into kept_; nullptr: not there yet.
  std::vector<Known*> found_;
  std::set<std::string> stable_instances_; // that send http.server.request.duration
  // error_key()s for which the application has its own error counter.
  std::set<std::string> own_errors_;
  OwnCountsBook own_;                      // kept_ holds pointers into it
  std::set<std::string> batch_own_errors_; // added to own_errors_ by commit
  std::set<std::string> switching_; // instances whose first stable histogram is in this batch
};

} // namespace coalmine::store
