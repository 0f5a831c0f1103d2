// From decoded OTLP messages to a Batch: everything that both encodings must do alike. Checks, limits, series identity, names.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "receive/metric_name.h"
#include "receive/otlp.h"
#include "telemetry/batch.h"

namespace coalmine::receive {

// What a Metric message says about all its points.
struct MetricHead {
  std::string name;
  std::string unit;
  std::string help;
  Instrument instrument = Instrument::gauge;
  std::optional<Temporality> temporality; // nullopt: unspecified, where the instrument needs one
};

// What every kind of data point has.
struct PointHead {
  Attributes attributes;
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
};

// SummaryDataPoint as sent: (quantile, value) pairs.
struct RawSummary {
  std::uint64_t count = 0;
  double sum = 0;
  std::vector<std::pair<double, double>> quantiles;
};

// An id as far as it was right; decoders fill it from bytes or hex.
enum class IdState { missing, good, bad };

// Collects one payload. One thread, one decode call. A decoder calls begin_resource, begin_scope, begin_metric as it meets them
// (the resource's attributes before anything inside it), then adds items. Values are made with text() and push(), which keep the
// limits.
class BatchBuilder {
 public:
  BatchBuilder(std::string_view sender, std::int64_t now_ms, const Limits& limits);

  void begin_resource(Attributes attributes);
  void begin_scope(std::string name) { scope_ = std::move(name); }
  void begin_metric(MetricHead head);

  // Valid UTF-8 within max_value_bytes.
  std::string text(std::string_view raw);
  // Whether one more attribute may be pushed; counts the refusal. Ask before decoding the value.
  bool has_room(const Attributes& attributes, std::string_view key);
  void push(Attributes& attributes, std::string_view key, AttributeValue value);
  // One more event of a span; events share the limit of attributes.
  bool has_room(const std::vector<SpanEvent>& events);
  void count_cut() { ++out_.cut_values; }
  const Limits& limits() const { return limits_; }

  // trace, span, parent: what became of the span's ids.
  void add(Span span, IdState trace, IdState span_id, IdState parent);
  void add(LogRecord record);
  void add_number(PointHead point, std::optional<double> value);
  void add_histogram(PointHead point, RawHistogram raw);
  void add_exponential(PointHead point, ExponentialHistogram value);
  void add_summary(PointHead point, const RawSummary& raw);

  // The payload decodes to more memory than allowed: the decoder stops and the whole payload is refused.
  bool over_budget() const { return spent_ > budget_; }
  Result<Decoded> finish(Signal signal);

 private:
  struct SeriesEntry {
    std::shared_ptr<const MetricSeries> series;
    std::string scope;
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

  void charge(std::size_t bytes) { spent_ += bytes; }
  void charge(const Attributes& attributes);
  void reject(std::string_view slug, std::string sentence);
  const std::shared_ptr<const Resource>& resource();
  bool check(PointHead& point);
  std::shared_ptr<const MetricSeries> series(Attributes attributes, const SeriesKind& kind);
  bool same_series(const SeriesEntry& entry, const Attributes& attributes, const SeriesKind& kind) const;
  Labels labels(const Attributes& attributes, const SeriesKind& kind, bool with_scope);
  BucketBounds shared_bounds(std::vector<double> bounds);
  void push_point(std::shared_ptr<const MetricSeries> series, const PointHead& point,
                  std::variant<double, ClassicHistogram, ExponentialHistogram> value);

  const std::string sender_;
  const Limits& limits_;
  const std::size_t budget_;
  std::size_t spent_ = 0;
  Decoded out_;
  std::vector<std::pair<std::string, std::string>> reasons_; // slug, first sentence; in the order met

  Attributes resource_attributes_;
  std::shared_ptr<const Resource> resource_; // made when the first item asks for it
  std::string scope_;
  MetricHead metric_;
  std::string metric_name_;
  std::unordered_multimap<std::uint64_t, SeriesEntry> series_; // of the present resource, by hash of metric name and attributes
  std::vector<BucketBounds> bounds_;
  BucketBounds no_bounds_;
};

} // namespace coalmine::receive
