// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/annotations.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <ctime>

#include "base/rfc3339.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/parser.h"

namespace coalmine::promql {
namespace {

std::string two_digits(double value) {
  std::array<char, 32> buffer;
  std::snprintf(buffer.data(), buffer.size(), "%.2g", value);
  return buffer.data();
}

} // namespace

Annotations::Entry& Annotations::add(Kind kind, std::string text, std::size_t pos) {
  const auto found = std::ranges::find_if(
      entries_, [&](const Entry& e) { return e.kind == kind && e.text == text; });
  if (found != entries_.end()) {
    found->pos = pos;
    ++found->count;
    return *found;
  }
  Entry entry;
  entry.kind = kind;
  entry.text = std::move(text);
  entry.pos = pos;
  entries_.push_back(std::move(entry));
  return entries_.back();
}

void Annotations::monotonicity(std::string_view metric, std::size_t pos, const Monotonicity& seen) {
  constexpr std::string_view kText =
      "input to histogram_quantile needed to be fixed for monotonicity (see "
      "https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)";
  std::string text = with_metric(kText, metric);
  const auto known = std::ranges::find_if(
      entries_, [&](const Entry& e) { return e.kind == Kind::info && e.text == text; });
  // A merged annotation keeps its first place in the query.
  Entry& entry = known != entries_.end() ? *known : add(Kind::info, std::move(text), pos);
  if (!entry.monotonic) {
    entry.monotonic = true;
    entry.details = seen;
    return;
  }
  Monotonicity& all = entry.details;
  all.min_bucket = std::min(all.min_bucket, seen.min_bucket);
  all.max_bucket = std::max(all.max_bucket, seen.max_bucket);
  all.max_diff = std::max(all.max_diff, seen.max_diff);
  all.from_ms = std::min(all.from_ms, seen.from_ms);
  all.to_ms = std::max(all.to_ms, seen.to_ms);
  all.samples += seen.samples;
}

void Annotations::start_overlap(std::string_view metric, std::size_t pos) {
  std::string text = fmt::format(
      "sample has start time that overlaps with previous sample timestamp for metric {}",
      go_quote(metric));
  const auto known = std::ranges::find_if(
      entries_, [&](const Entry& e) { return e.kind == Kind::warning && e.text == text; });
  if (known != entries_.end()) {
    ++known->count; // the first place stays
    return;
  }
  add(Kind::warning, std::move(text), pos).counted = true;
}

std::vector<std::string> Annotations::render(Kind kind, std::string_view query,
                                             std::size_t limit) const {
  std::vector<std::string> out;
  std::size_t left_out = 0;
  for (const Entry& entry : entries_) {
    if (entry.kind != kind) continue;
    if (limit != 0 && out.size() >= limit) {
      ++left_out;
      continue;
    }
    std::string text =
        fmt::format("PromQL {}: {}", kind == Kind::warning ? "warning" : "info", entry.text);
    if (entry.monotonic) {
      const Monotonicity& d = entry.details;
      text += fmt::format(
          ", from buckets {} to {}, with a max diff of {}, over {} samples from {} to {}",
          format_general(d.min_bucket), format_general(d.max_bucket), two_digits(d.max_diff),
          d.samples, rfc3339_seconds(d.from_ms), rfc3339_seconds(d.to_ms));
    }
    if (entry.counted && entry.count > 1) text += fmt::format(" ({} occurrences)", entry.count);
    const SourceSpan at = span_of(query, {entry.pos, entry.pos});
    out.push_back(fmt::format("{} ({}:{})", text, at.line, at.column));
  }
  if (left_out > 0)
    out.push_back(fmt::format("{} more {} annotations omitted", left_out,
                              kind == Kind::warning ? "warning" : "info"));
  return out;
}

std::string with_metric(std::string_view text, std::string_view metric) {
  return metric.empty() ? std::string(text)
                        : fmt::format("{} for metric name {}", text, go_quote(metric));
}

std::string mixed_floats_histograms(std::string_view metric) {
  return fmt::format("encountered a mix of histograms and floats for metric name {}",
                     go_quote(metric));
}
std::string mixed_bucket_schemas(std::string_view metric) {
  return fmt::format(
      "vector contains a mix of histograms with exponential and custom buckets schemas for metric "
      "name {}",
      go_quote(metric));
}
std::string histogram_not_counter(std::string_view metric) {
  return fmt::format("this native histogram metric is not a counter: {}", go_quote(metric));
}
std::string histogram_not_gauge(std::string_view metric) {
  return fmt::format("this native histogram metric is not a gauge: {}", go_quote(metric));
}
std::string histograms_ignored_in_range(std::string_view metric) {
  return fmt::format(
      "ignored histograms in a range containing both floats and histograms for metric name {}",
      go_quote(metric));
}
std::string bad_quantile(double q) {
  return fmt::format("quantile value should be between 0 and 1, got {}", format_general(q));
}

} // namespace coalmine::promql
