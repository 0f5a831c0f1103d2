// Labels: the identity of a metric series, as Prometheus writes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coalmine {

inline constexpr std::string_view kMetricName = "__name__";

// Name/value pairs sorted by name (byte order), no empty values, no duplicate names. A plain value; a missing label reads as "".
class Labels {
 public:
  using Pair = std::pair<std::string, std::string>;

  Labels() = default;
  // Sorts; of equal names the last given wins; empty values are dropped (in Prometheus a missing label equals "").
  explicit Labels(std::vector<Pair> pairs);
  static Labels of(std::initializer_list<Pair> pairs) { return Labels(std::vector<Pair>(pairs)); }

  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const { return !get(name).empty(); }
  std::string_view metric_name() const { return get(kMetricName); }

  // A copy with one label set (an empty value removes it).
  Labels with(std::string_view name, std::string_view value) const;
  Labels without(std::string_view name) const { return with(name, ""); }

  const std::vector<Pair>& pairs() const { return pairs_; }
  bool empty() const { return pairs_.empty(); }
  std::size_t size() const { return pairs_.size(); }
  auto begin() const { return pairs_.begin(); }
  auto end() const { return pairs_.end(); }

  // XXH3 over the pairs; stable across processes, so it may be stored.
  std::uint64_t hash() const;
  // name{a="b"}, for people and tests.
  std::string to_string() const;

  bool operator==(const Labels&) const = default;
  auto operator<=>(const Labels&) const = default;

 private:
  std::vector<Pair> pairs_;
};

struct LabelsHash {
  std::size_t operator()(const Labels& labels) const noexcept { return static_cast<std::size_t>(labels.hash()); }
};

// One condition of a selector. A regexp is RE2 syntax, fully anchored, and '.' matches newline (Prometheus 3).
struct Matcher {
  enum class Op { equal, not_equal, regexp, not_regexp };
  std::string name;
  Op op = Op::equal;
  std::string value;
  bool operator==(const Matcher&) const = default;
};

} // namespace coalmine
