// SPDX-License-Identifier: Apache-2.0
#include "lab/sources.h"

#include <utility>

#include "datasource/prometheus.h"
#include "datasource/recording.h"
#include "datasource/series_source.h"

namespace coalmine::lab {
namespace {

// A recording with what was read of it.
class RecordedQueryable final : public promql::Queryable {
 public:
  explicit RecordedQueryable(std::unique_ptr<datasource::Recording> recording)
      : recording_(std::move(recording)) {}
  Result<std::vector<promql::Series>> select(const promql::Selection& s) const override {
    return recording_->data.select(s);
  }
  Result<std::vector<Labels>> series(const promql::Selection& s) const override {
    return recording_->data.series(s);
  }
  Result<std::vector<std::string>> label_names(const promql::Selection& s) const override {
    return recording_->data.label_names(s);
  }
  Result<std::vector<std::string>> label_values(std::string_view label,
                                                const promql::Selection& s) const override {
    return recording_->data.label_values(label, s);
  }

 private:
  std::unique_ptr<datasource::Recording> recording_;
};

bool is_url(const std::string& text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

} // namespace

Result<TelemetrySource> open_source(const std::string& where, const config::Config& config) {
  TelemetrySource out;
  out.http = net::make_http_client();
  auto store = config.server.prometheus.value_or(config::PrometheusStore{});
  if (where.empty() && store.client.url.empty()) {
    return fail(ErrorCode::invalid_argument,
                "no telemetry to read: give --source URL (a Prometheus-compatible server) or "
                "--source FILE (a "
                "recording), or stores: { prometheus: URL } in the config");
  }
  if (where.empty() || is_url(where)) {
    if (!where.empty()) store.client.url = where;
    TRY_ASSIGN(auto prometheus, datasource::make_prometheus(store.client, *out.http));
    out.name = prometheus->shown_url();
    out.expressions = prometheus.get();
    out.data = std::move(prometheus);
  } else {
    TRY_ASSIGN(auto recording, datasource::read_recording(where));
    if (recording->samples == 0)
      return fail(ErrorCode::invalid_argument, where + " has no samples");
    out.newest_ms = recording->last_ms;
    out.name = where;
    out.data = std::make_unique<RecordedQueryable>(std::move(recording));
    out.clock = std::make_unique<SystemClock>();
    out.own_expressions = promql::make_engine_expression_source(*out.data, *out.clock);
    out.expressions = out.own_expressions.get();
  }
  out.cohorts = datasource::make_series_cohort_source(*out.data, store.names);
  out.metrics = datasource::make_series_metric_source(*out.data, *out.expressions, store.names);
  out.counts = datasource::make_series_count_feed_source(*out.data, store.names);
  return out;
}

} // namespace coalmine::lab
