// The request series that every service has, derived from its HTTP duration histogram or from
// its server spans.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "store/ingest/own_counts.h"
#include "store/ingest/stage.h"
#include "telemetry/batch.h"
#include "telemetry/outcome.h"

namespace coalmine::store {

// How requests ended.
struct RequestOutcome {
  bool failed = false;
  Answer answer = Answer::unknown;
  bool named = false; // 4xx, and failed because the rule of the service names them
};

// A server span as it is counted.
struct CountedSpan {
  std::optional<double> ms; // nullopt: it does not say how long it took
  RequestOutcome outcome;
  double weight = 1; // how many spans it stands for
  bool tail_sampled = false;
};

// The increase that the current append adds to a group.
struct DerivedPending {
  double requests = 0;
  double errors = 0;
  double client_errors = 0;
  double tail_sampled = 0;
  double named = 0;
  bool answered = false; // the HTTP status of some is known
  std::optional<ClassicHistogram> duration;
  std::optional<ExponentialHistogram> exact; // the same requests
  std::int64_t time_ms = 0;
  std::int64_t start_ms = INT64_MAX;
};

// The reports of one instance about one route and method, by one source. Totals are cumulative.
struct DerivedGroup {
  SeriesInfo* requests = nullptr;
  SeriesInfo* errors = nullptr;        // nullptr while nobody counts errors
  SeriesInfo* client_errors = nullptr; // nullptr until an HTTP status is known
  SeriesInfo* tail_sampled = nullptr;  // nullptr until there is such a span
  SeriesInfo* duration = nullptr;      // nullptr until there are buckets
  SeriesInfo* exact = nullptr;         // nullptr until something finer than `duration` was measured
  double requests_total = 0;
  double errors_total = 0;
  double client_errors_total = 0;
  double tail_sampled_total = 0;
  ClassicHistogram duration_total; // in ms
  // In seconds, at the resolution it was measured with: of exponential histograms and spans.
  ExponentialHistogram exact_total;
  std::int64_t start_ms = 0;
  std::int64_t last_ms = 0; // of the newest sample; 0: nothing stored yet
  // With these bounds and plain_factor, the buckets of an increase are those of duration_total, one
  // by one.
  BucketBounds plain_bounds;
  double plain_factor = 0;
  // The part of the weight of sampled spans that is not in a bucket yet: buckets are whole numbers.
  double rest_weight = 0;

  std::optional<DerivedPending> pending;

  OwnCounts* own = nullptr; // the instance, for a group of a histogram
  // A total as lent to the instance's own request counter: the total + offset.
  struct Lent {
    SeriesInfo* series = nullptr; // nullptr: nothing is lent so far
    double offset = 0;
    double value = 0;
    std::int64_t start_ms = 0;
    std::int64_t last_ms = 0;
  };
  Lent lent_errors;
  Lent lent_client_errors;
  // Named requests while the instance has an error counter of its own, which does not know the
  // rule: there they stay client errors. Since the group was loaded.
  double named_total = 0;
  double loaded_errors = 0; // errors_total as read from the store
  double loaded_client_errors = 0;
};

// The labels of a derived series without its name: the resource's, and the route and method where
// they are known.
Labels derived_labels(const Resource& resource, std::string_view name, std::string_view route,
                      std::string_view method);
// Both know both generations of the semantic conventions. The older one has a route in http.target,
// where other libraries put the path of each request: it counts when it is a template, or when the
// scope is known for routes. scope: as of MetricSeries; may be null.
std::string route_of(const Attributes& attributes, const Labels* scope);
std::string method_of(const Attributes& attributes);
RequestOutcome outcome_of_point(const Attributes& attributes, const FailureRule& rule);
// The factor from the histogram's unit to milliseconds. Without a unit the bounds decide: bounds in
// seconds hardly go beyond 100.
double to_ms_factor(std::string_view unit, bool old_convention, const BucketBounds& bounds);

// Writes the group's errors or client errors beside the instance's own request counter, which has
// none, as a sample at time_ms.
void lend_errors(Stage& stage, DerivedGroup& group, std::int64_t time_ms);
void lend_client_errors(Stage& stage, DerivedGroup& group, std::int64_t time_ms);

// Holds the totals of all groups seen since start. Totals it does not hold are read from the store,
// so it may be cleared at any time. Guarded by Locks::write.
class Deriver {
 public:
  // Returns nullptr when the service has too many series. The pointer is valid until clear(). own:
  // of a histogram's instance; nullptr for spans.
  DerivedGroup* group(Stage& stage, const Resource& resource, std::string_view route,
                      std::string_view method, OwnCounts* own);

  // Adds an increase of a duration histogram, classic or exponential. An increase of zero counts
  // too: it shows that the instance is alive.
  void add(DerivedGroup& group, const Sample& increase, double factor, RequestOutcome outcome);
  // Adds the increase between two samples of one series, without building a histogram for it.
  // Handles only the usual case: the count grew and the bounds are unchanged. Otherwise it does
  // nothing and returns false.
  bool add_growth(DerivedGroup& group, const Sample& before, const Sample& now, double factor,
                  RequestOutcome outcome);
  void add_span(DerivedGroup& group, const CountedSpan& span);
  // Notes the time of a point. The group's sample of this append gets the newest time noted.
  void see(DerivedGroup& group, std::int64_t time_ms, std::int64_t start_ms);

  // Turns everything pending into samples.
  void flush(Stage& stage);
  void clear();

 private:
  DerivedPending& pending_of(DerivedGroup& group);
  DerivedGroup* load(Stage& stage, const Labels& labels, std::uint64_t hash, OwnCounts* own);
  // Finds or makes the error counter once somebody counts errors. False: too many series.
  static bool find_errors(Stage& stage, DerivedGroup& group);
  static void find_client_errors(Stage& stage, DerivedGroup& group);
  static void find_tail_sampled(Stage& stage, DerivedGroup& group);
  static void load_durations(Stage& stage, DerivedGroup& group);
  static SeriesInfo* duration_series(Stage& stage, const DerivedGroup& group, MetricKind kind);
  // Adds the pending durations to the totals.
  static void add_durations(Stage& stage, DerivedGroup& group);
  static void put_durations(Stage& stage, const DerivedGroup& group, std::int64_t time_ms);
  void write(Stage& stage, DerivedGroup& group);
  void write_late(Stage& stage, DerivedGroup& group);

  std::unordered_map<SeriesId, std::unique_ptr<DerivedGroup>> groups_; // by their requests series
  std::vector<DerivedGroup*> touched_;
};

} // namespace coalmine::store
