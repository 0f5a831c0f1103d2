// Warnings and infos of one evaluation, kept once per text with their place in the query.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::promql {

// Not thread-safe; one per evaluation. A text that repeats keeps the newest position.
class Annotations {
 public:
  void warn(std::string text, std::size_t pos) { add(Kind::warning, std::move(text), pos); }
  void info(std::string text, std::size_t pos) { add(Kind::info, std::move(text), pos); }

  // "input to histogram_quantile needed to be fixed for monotonicity": repeats widen the reported
  // ranges and raise the reported count.
  struct Monotonicity {
    double min_bucket = 0;
    double max_bucket = 0;
    double max_diff = 0;
    std::int64_t from_ms = 0;
    std::int64_t to_ms = 0;
    int samples = 1;
  };
  void monotonicity(std::string_view metric, std::size_t pos, const Monotonicity& seen);
  // A start time that lies before the previous sample.
  void start_overlap(std::string_view metric, std::size_t pos);

  bool empty() const { return entries_.empty(); }
  // Annotations as text with line:column of the query: at most `limit` of each kind (0: all), and
  // then the number left out.
  std::vector<std::string> warnings(std::string_view query, std::size_t limit) const {
    return render(Kind::warning, query, limit);
  }
  std::vector<std::string> infos(std::string_view query, std::size_t limit) const {
    return render(Kind::info, query, limit);
  }

 private:
  enum class Kind { warning, info };
  struct Entry {
    Kind kind = Kind::warning;
    std::string text;
    std::size_t pos = 0;
    int count = 1; // start_overlap: occurrences
    bool counted = false;
    bool monotonic = false; // details is appended to the text
    Monotonicity details;
  };
  Entry& add(Kind kind, std::string text, std::size_t pos);
  std::vector<std::string> render(Kind kind, std::string_view query, std::size_t limit) const;
  std::vector<Entry> entries_; // few: the texts are fixed
};

// `text for metric name "m"`, or just the text when the metric has no name.
std::string with_metric(std::string_view text, std::string_view metric);

// Texts used in more than one place.
std::string mixed_floats_histograms(std::string_view metric);
std::string mixed_bucket_schemas(std::string_view metric);
std::string histogram_not_counter(std::string_view metric);
std::string histogram_not_gauge(std::string_view metric);
std::string histograms_ignored_in_range(std::string_view metric);
std::string bad_quantile(double q);
inline constexpr std::string_view kMixedInAggregation =
    "encountered a mix of histograms and floats for aggregation";

} // namespace coalmine::promql
