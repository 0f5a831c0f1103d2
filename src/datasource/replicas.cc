// SPDX-License-Identifier: Apache-2.0
#include "datasource/replicas.h"

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <map>
#include <set>
#include <utility>

namespace coalmine::datasource {
namespace {

// The median distance of the samples; 0 when there are fewer than two.
template <typename Sample>
std::int64_t usual_gap(const std::vector<Sample>& samples) {
  std::vector<std::int64_t> gaps;
  for (std::size_t i = 1; i < samples.size(); ++i)
    gaps.push_back(samples[i].time_ms - samples[i - 1].time_ms);
  if (gaps.empty()) return 0;
  const auto middle = gaps.begin() + static_cast<std::ptrdiff_t>(gaps.size() / 2);
  std::ranges::nth_element(gaps, middle);
  return *middle;
}

// Puts samples of another into the gaps of own: before its first, after its last, and where more
// than two of its intervals have no sample. An interval is kept to each side.
template <typename Sample>
void fill_gaps(std::vector<Sample>& own, const std::vector<Sample>& another) {
  if (own.empty()) {
    own = another;
    return;
  }
  const auto gap = std::max(usual_gap(own), usual_gap(another));
  if (gap == 0) return;
  std::vector<Sample> out;
  out.reserve(own.size());
  auto it = another.begin();
  const auto take_until = [&](std::int64_t from_ms, std::int64_t to_ms) {
    while (it != another.end() && it->time_ms < from_ms) ++it;
    for (; it != another.end() && it->time_ms <= to_ms; ++it) out.push_back(*it);
  };
  take_until(INT64_MIN, own.front().time_ms - gap);
  for (std::size_t i = 0; i < own.size(); ++i) {
    out.push_back(own[i]);
    const bool last = i + 1 == own.size();
    if (last) {
      take_until(own[i].time_ms + gap, INT64_MAX);
    } else if (own[i + 1].time_ms - own[i].time_ms > 2 * gap) {
      take_until(own[i].time_ms + gap, own[i + 1].time_ms - gap);
    }
  }
  own = std::move(out);
}

enum class Together { no, unknown, yes };

// Whether every sample of one lies between its neighbours in time of the other.
Together run_together(const promql::Series& one, const promql::Series& other) {
  const auto& b = other.floats;
  std::size_t compared = 0;
  std::optional<double> first;
  double last = 0;
  for (const auto& sample : one.floats) {
    const auto after = std::ranges::lower_bound(b, sample.time_ms, {}, &promql::Sample::time_ms);
    if (after == b.end() || std::isnan(sample.value)) continue;
    const auto before = after->time_ms == sample.time_ms ? after
                        : after == b.begin()             ? b.end()
                                                         : std::prev(after);
    if (before == b.end()) continue;
    if (!(before->value <= after->value)) continue; // it began again
    if (!(sample.value >= before->value && sample.value <= after->value)) return Together::no;
    ++compared;
    if (!first) first = sample.value;
    last = sample.value;
  }
  const bool enough = compared >= kTogetherSamples && last - *first >= kTogetherGrowth;
  return enough ? Together::yes : Together::unknown;
}

} // namespace

std::optional<RunTogether> find_run_together(const std::vector<promql::Series>& series,
                                             const std::vector<std::string>& apart) {
  std::set<std::string> candidates;
  for (const auto& one : series) {
    for (const auto [name, value] : one.labels) {
      if (std::ranges::find(apart, name) == apart.end()) candidates.emplace(name);
    }
  }
  for (const auto& label : candidates) {
    std::map<Labels, std::vector<const promql::Series*>> groups;
    for (const auto& one : series) {
      if (one.labels.has(label)) groups[one.labels.without(label)].push_back(&one);
    }
    std::set<std::string> values;
    bool any = false;
    const bool all = std::ranges::all_of(groups, [&](const auto& group) {
      const auto& members = group.second;
      for (std::size_t i = 1; i < members.size(); ++i) {
        const auto found = run_together(*members[0], *members[i]);
        if (found == Together::no) return false;
        if (found == Together::unknown) continue;
        any = true;
        for (const auto at : {std::size_t{0}, i}) values.emplace(members[at]->labels.get(label));
      }
      return true;
    });
    if (any && all) return RunTogether{label, {values.begin(), values.end()}};
  }
  return std::nullopt;
}

std::vector<promql::Series> merge_replicas(std::vector<promql::Series> series,
                                           const std::vector<std::string>& replica_labels,
                                           const std::vector<std::string>& instance_labels) {
  const auto has = [](const Labels& labels, const std::vector<std::string>& names) {
    return std::ranges::any_of(names, [&](const std::string& name) { return labels.has(name); });
  };
  std::vector<promql::Series> out;
  std::map<Labels, std::vector<promql::Series>> groups;
  for (auto& one : series) {
    if (!has(one.labels, replica_labels) || !has(one.labels, instance_labels)) {
      out.push_back(std::move(one));
      continue;
    }
    auto key = one.labels.where([&](std::string_view name) {
      return std::ranges::find(replica_labels, name) == replica_labels.end();
    });
    groups[std::move(key)].push_back(std::move(one));
  }
  for (auto& [labels, group] : groups) {
    // The order never depends on what was read, so that a reader that comes again meets the same
    // one.
    std::ranges::sort(group, {}, &promql::Series::labels);
    auto merged = std::move(group.front());
    merged.labels = labels;
    for (std::size_t i = 1; i < group.size(); ++i) {
      fill_gaps(merged.floats, group[i].floats);
      fill_gaps(merged.histograms, group[i].histograms);
    }
    out.push_back(std::move(merged));
  }
  return out;
}

} // namespace coalmine::datasource
