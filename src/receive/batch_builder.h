// From decoded OTLP messages to a Batch: the checks, limits, series identity and names that both
// encodings share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "receive/metric_name.h"
#include "receive/otlp.h"
#include "receive/series_cache.h"
#include "receive/span_collector.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

inline constexpr std::size_t kMaxBuckets = 16'384; // of one histogram point, or of each side of it
// Buckets beyond the limit are not kept. One more is enough for the check to notice.
inline constexpr std::size_t kEnoughBuckets = kMaxBuckets + 1;
inline constexpr std::uint32_t kNoRecordedValue = 1; // the flag of a point without a value

// A Metric message as protobuf has it: views into the payload.
struct MetricBytes {
  std::string_view name;
  std::string_view unit;
  std::string_view help;
  Instrument instrument = Instrument::gauge;
  std::optional<Temporality> temporality;
};

// InstrumentationScope.
struct ScopeHead {
  std::string name;
  std::string version;
  Attributes attributes;
};

// The fields that every kind of data point has. find_series() fills series or key; otherwise the
// attributes identify the series.
struct PointHead {
  Attributes attributes;
  std::shared_ptr<const MetricSeries> series;
  std::optional<ByteKey> key; // under which the series is remembered once it is known
  std::size_t losses = 0;     // what limits had taken away when the key was made
  std::uint64_t start_ns = 0;
  std::uint64_t time_ns = 0;
  bool no_recorded_value = false;
};

// HistogramDataPoint as sent, not yet checked.
struct RawHistogram {
  std::uint64_t count = 0;
  std::optional<double> sum;
  std::vector<std::uint64_t> counts;
  std::vector<double> bounds;
  std::string_view packed_bounds; // little-endian doubles in the payload; bounds is empty then
};

// Appends packed_bounds, if there are any, to bounds.
void unpack_bounds(RawHistogram& raw);

// SummaryDataPoint as sent: (quantile, value) pairs.
struct RawSummary {
  std::uint64_t count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>> quantiles;
};

// The state of an id as sent; decoders read ids from bytes or hex.
enum class IdState { missing, good, bad, base64 };

// Collects one payload. One thread, one decode call. A decoder calls begin_resource, begin_scope,
// begin_metric as it meets them (the resource's attributes before anything inside it), then adds
// items. Values are made with text() and push(), which keep the limits.
class BatchBuilder {
 public:
  // cache: may be null; it has to be used with these limits only.
  BatchBuilder(std::string_view sender, std::int64_t now_ms, const Limits& limits,
               SeriesCache* cache = nullptr);

  void expect_points(std::size_t count) { out_.batch.points.reserve(count); }
  // Looks the resource up by its bytes. False: not known; begin_resource() must follow.
  bool begin_known_resource(std::string_view bytes);
  void begin_resource(Attributes attributes);
  // bytes: the scope as sent. A scope without fields is none.
  void begin_scope(ScopeHead head, std::string_view bytes = {});
  // What the scope says of how its spans were sampled; decoders put it on each of them.
  const Attributes& sampling_marks() const { return sampling_marks_; }
  void begin_metric(MetricHead head);
  void begin_metric(const MetricBytes& bytes);
  // Looks the point's series up by the bytes of its attributes. False: not known, and the
  // attributes have to be decoded.
  bool find_series(PointHead& point, std::string_view attribute_bytes);

  // Valid UTF-8 within max_value_bytes.
  std::string text(std::string_view raw);
  // Whether one more attribute may be pushed; counts the refusal. Ask before decoding the value.
  bool has_room(const Attributes& attributes, std::string_view key);
  void push(Attributes& attributes, std::string_view key, AttributeValue value);
  // One more event of a span; events share the limit of attributes.
  bool has_room(const std::vector<SpanEvent>& events);
  void count_cut() { ++out_.cut_values; }
  // Spans, data points or log records so far, rejected ones included.
  std::size_t items() const { return out_.items; }
  const Limits& limits() const { return limits_; }

  // trace, span_id, parent: the states of the span's ids.
  void add(Span span, IdState trace, IdState span_id, IdState parent);
  void add(LogRecord record);
  // The same for a decoder that fills the collector: the row's lists and texts are in its table.
  // begun: before the span's events.
  SpanCollector& spans() { return spans_; }
  void add(SpanTable::Row row, IdState trace, IdState span_id, IdState parent,
           const SpanCollector::Mark& begun);
  std::size_t losses() const { return out_.dropped_attributes + out_.cut_values; }
  bool has_room(std::size_t attributes, std::string_view key);
  void charge(std::size_t bytes) { spent_ += bytes; }
  void add_number(PointHead point, std::optional<double> value);
  void add_histogram(PointHead point, RawHistogram raw);
  void add_exponential(PointHead point, ExponentialHistogram value);
  void add_summary(PointHead point, const RawSummary& raw);

  // True when the payload decodes to more memory than allowed: the decoder stops and the whole
  // payload is refused.
  bool over_budget() const { return spent_ > budget_; }
  Result<Decoded> finish(Signal signal);

 private:
  struct SeriesEntry {
    std::shared_ptr<const MetricSeries> series;
    Instrument instrument;
    std::string suffix;
  };
  // One series to find or make: the metric as it is, or a part of a summary.
  struct SeriesKind {
    MetricKind kind;
    Temporality temporality;
    std::string_view suffix;                                        // _sum, _count of a summary
    std::optional<std::pair<std::string, std::string>> extra_label; // quantile of a summary
  };

  void charge(const Attributes& attributes);
  void reject(std::string_view slug, std::string sentence);
  const std::shared_ptr<const Resource>& resource();
  bool check(PointHead& point);
  std::shared_ptr<const MetricSeries> series(Attributes attributes, const SeriesKind& kind,
                                             bool recurring = false);
  // The series of a point that is not a part of a summary.
  std::shared_ptr<const MetricSeries> series_of(PointHead& point, MetricKind kind);
  bool check_ids(std::string_view name, const TraceId& trace_id, const SpanId& id, IdState trace,
                 IdState span_id, IdState parent);
  // False: rejected, because the time is in another unit.
  bool check_time(std::string_view what, std::string_view name, std::uint64_t time_ns);
  bool same_series(const SeriesEntry& entry, const Attributes& attributes,
                   const SeriesKind& kind) const;
  Labels labels(const Attributes& attributes, const SeriesKind& kind);
  BucketBounds shared_bounds(std::vector<double> bounds);
  // The bounds of packed doubles that were checked before; nullptr: not checked yet.
  BucketBounds known_bounds(std::string_view packed);
  void push_point(std::shared_ptr<const MetricSeries> series, const PointHead& point,
                  std::variant<double, ClassicHistogram, ExponentialHistogram> value);

  const std::string sender_;
  const Limits& limits_;
  const std::size_t budget_;
  std::size_t spent_ = 0;
  Decoded out_;
  SpanCollector spans_;
  // Slug and first sentence, in the order met.
  std::vector<std::pair<std::string, std::string>> reasons_;

  Attributes resource_attributes_;
  std::shared_ptr<const Resource> resource_; // made when the first item asks for it
  std::shared_ptr<const Labels> scope_;      // see MetricSeries; never null
  std::string_view scope_bytes_;
  Attributes sampling_marks_;
  std::shared_ptr<const KnownMetric> metric_;
  SeriesCache* const cache_;
  std::optional<ByteKey> resource_key_; // of bytes that begin_known_resource did not know
  std::size_t resource_losses_ = 0;
  // The current resource, locked. nullptr: nothing of it is looked up by bytes.
  std::shared_ptr<KnownResource> known_;
  std::unique_lock<std::mutex> known_lock_;
  std::optional<ByteKey> metric_key_; // nullopt: its points are not looked up by bytes
  std::string_view last_packed_bounds_;
  BucketBounds last_bounds_;
  // The current resource's series, by hash of metric name and attributes.
  std::unordered_multimap<std::uint64_t, SeriesEntry> series_;
  std::vector<BucketBounds> bounds_;
  BucketBounds no_bounds_;
};

} // namespace coalmine::receive
