// The three request series that every service has, derived from its HTTP duration histogram or from
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

#include "store/ingest/stage.h"
#include "telemetry/batch.h"

namespace coalmine::store {

// The increase that the current append adds to a group.
struct DerivedPending {
  double requests = 0;
  double errors = 0;
  std::optional<ClassicHistogram> duration;
  std::optional<ExponentialHistogram> exact; // the same requests
  std::int64_t time_ms = 0;
  std::int64_t start_ms = INT64_MAX;
};

// The reports of one instance about one route and method, by one source. Totals are cumulative.
struct DerivedGroup {
  SeriesInfo* requests = nullptr;
  SeriesInfo* errors = nullptr;
  SeriesInfo* duration = nullptr; // nullptr until there are buckets
  SeriesInfo* exact = nullptr;    // nullptr until something finer than `duration` was measured
  double requests_total = 0;
  double errors_total = 0;
  ClassicHistogram duration_total; // in ms
  // In seconds, at the resolution it was measured with: of exponential histograms and spans.
  ExponentialHistogram exact_total;
  std::int64_t start_ms = 0;
  std::int64_t last_ms = 0; // of the newest sample; 0: nothing stored yet
  // With these bounds and plain_factor, the buckets of an increase are those of duration_total, one
  // by one.
  BucketBounds plain_bounds;
  double plain_factor = 0;

  std::optional<DerivedPending> pending;
};

// The labels of a derived series without its name: the resource's, and the route and method where
// they are known.
Labels derived_labels(const Resource& resource, std::string_view name, std::string_view route,
                      std::string_view method);
// Knows both generations of the semantic conventions.
std::string route_of(const Attributes& attributes);
std::string method_of(const Attributes& attributes);
// 0 when there is none.
int http_status_of(const Attributes& attributes);
// A point of the duration histogram is an error when its status is 500 or above, or its error.type
// is not a 4xx code.
bool is_error_point(const Attributes& attributes);
// http_status: http_status_of, 0 when there is none.
bool is_error_span(StatusCode status, int http_status);
int http_status_of(const AttributeValue& value);
// The factor from the histogram's unit to milliseconds. Without a unit the bounds decide: bounds in
// seconds hardly go beyond 100.
double to_ms_factor(std::string_view unit, bool old_convention, const BucketBounds& bounds);

// Holds the totals of all groups seen since start. Totals it does not hold are read from the store,
// so it may be cleared at any time. Guarded by Locks::write.
class Deriver {
 public:
  // Returns nullptr when the service has too many series. The pointer is valid until clear().
  DerivedGroup* group(Stage& stage, const Resource& resource, std::string_view route,
                      std::string_view method, Source source);

  // Adds an increase of a duration histogram, classic or exponential. An increase of zero counts
  // too: it shows that the instance is alive.
  void add(DerivedGroup& group, const Sample& increase, double factor, bool is_error);
  // Adds the increase between two samples of one series, without building a histogram for it.
  // Handles only the usual case: the count grew and the bounds are unchanged. Otherwise it does
  // nothing and returns false.
  bool add_growth(DerivedGroup& group, const Sample& before, const Sample& now, double factor,
                  bool is_error);
  void add_span(DerivedGroup& group, double ms, bool is_error);
  // Notes the time of a point. The group's sample of this append gets the newest time noted.
  void see(DerivedGroup& group, std::int64_t time_ms, std::int64_t start_ms);

  // Turns everything pending into samples.
  void flush(Stage& stage);
  void clear();

 private:
  DerivedPending& pending_of(DerivedGroup& group);
  DerivedGroup* load(Stage& stage, const Labels& labels, std::uint64_t hash, Source source);
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
