// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/stream_series.h"

#include <array>
#include <string>
#include <utility>
#include <vector>

#include "base/rfc3339.h"

namespace coalmine::store {
namespace {

constexpr std::array kKinds = {MetricKind::counter, MetricKind::gauge, MetricKind::histogram,
                               MetricKind::exponential};

std::string_view type_name(MetricKind kind) {
  switch (kind) {
    case MetricKind::counter: return "counter";
    case MetricKind::gauge: return "gauge";
    case MetricKind::histogram: return "histogram";
    case MetricKind::exponential: return "exponential";
  }
  return "";
}

const std::shared_ptr<const Labels>& scope_of(const MetricSeries& stream) {
  static const auto kNone = std::make_shared<const Labels>();
  return stream.scope ? stream.scope : kNone;
}

// An error count that we filled in has no metric name; the application's own takes its place.
bool same_name(const SeriesInfo& owner, const MetricSeries& stream) {
  return owner.metric->otel_name.empty() || owner.metric->otel_name == stream.metric->otel_name;
}

void add_scope(std::vector<Labels::Pair>& pairs, const Labels& scope) {
  if (scope.size() == 0) pairs.emplace_back("otel_scope_name", "none");
  for (const auto [name, value] : scope) pairs.emplace_back(name, value);
}

// The labels of a stream whose own ones belong to another.
Labels distinct_labels(const MetricSeries& stream, const SeriesInfo& owner) {
  auto pairs = stream.labels.pairs();
  if (!owner.scope || *owner.scope != *scope_of(stream)) add_scope(pairs, *scope_of(stream));
  if (!same_name(owner, stream)) pairs.emplace_back("otel_metric_name", stream.metric->otel_name);
  if (owner.kind != stream.kind) pairs.emplace_back("otel_metric_type", type_name(stream.kind));
  return Labels(std::move(pairs));
}

// Rows of older versions do not name the scope. Such a series belongs to the first scope that
// comes, unless that scope already has a series of its own beside it.
void adopt(Stage& stage, SeriesInfo& owner, const MetricSeries& stream) {
  auto pairs = stream.labels.pairs();
  add_scope(pairs, *scope_of(stream));
  const Labels beside(std::move(pairs));
  if (stage.find(beside, beside.hash(), Source::sent, stream.kind) != nullptr) return;
  owner.scope = scope_of(stream);
  stage.write_row(&owner);
}

Result<SeriesInfo*> add(Stage& stage, const MetricSeries& stream,
                        std::shared_ptr<const Labels> labels, std::uint64_t hash) {
  SeriesInfo what;
  what.labels = std::move(labels);
  what.kind = stream.kind;
  what.metric = stream.metric;
  what.scope = scope_of(stream);
  return stage.series(what, hash);
}

// Without regard to processes.
Result<SeriesInfo*> plain_series(Stage& stage, const std::shared_ptr<const MetricSeries>& stream) {
  const std::uint64_t hash = stream->labels.hash();
  SeriesInfo* owner = stage.find(stream->labels, hash, Source::sent, stream->kind);
  for (std::size_t i = 0; i < kKinds.size() && owner == nullptr; ++i)
    owner = stage.find(stream->labels, hash, Source::sent, kKinds[i]);
  if (owner == nullptr) {
    // The labels are shared, not copied.
    return add(stage, *stream, std::shared_ptr<const Labels>(stream, &stream->labels), hash);
  }
  if (!owner->scope) adopt(stage, *owner, *stream);
  const bool same_scope = owner->scope && *owner->scope == *scope_of(*stream);
  if (same_scope && owner->kind == stream->kind && same_name(*owner, *stream)) return owner;
  auto labels = std::make_shared<const Labels>(distinct_labels(*stream, *owner));
  const std::uint64_t distinct = labels->hash();
  return add(stage, *stream, std::move(labels), distinct);
}

} // namespace

Result<SeriesInfo*> series_of_stream(Stage& stage,
                                     const std::shared_ptr<const MetricSeries>& stream,
                                     std::int64_t process_start_ms) {
  TRY_ASSIGN(SeriesInfo * plain, plain_series(stage, stream));
  if (process_start_ms == 0) return plain;
  auto labels = std::make_shared<const Labels>(
      plain->labels->with("otel_start_time", rfc3339(process_start_ms)));
  const std::uint64_t hash = labels->hash();
  return add(stage, *stream, std::move(labels), hash);
}

} // namespace coalmine::store
