// SPDX-License-Identifier: Apache-2.0
#include "datasource/label_spelling.h"

#include <algorithm>

namespace coalmine::datasource {
namespace {

constexpr std::int64_t kAskAgainMs = 60'000;
constexpr std::int64_t kLookBackMs = 60 * 60'000;

} // namespace

LabelSpelling::LabelSpelling(const promql::Queryable& data, const SeriesNames& names)
    : data_(data), pattern_(metric_pattern(names)) {}

std::vector<std::string> LabelSpelling::labels_at(std::int64_t time_ms) const {
  const auto known = known_.with([](const Known& k) { return k; });
  // What was found out about a later time holds for an earlier one: readers also look back.
  if (known.asked_ms != INT64_MIN && time_ms < known.asked_ms + kAskAgainMs) return known.labels;
  promql::Selection selection;
  selection.matchers = {{std::string(kMetricName), Matcher::Op::regexp, pattern_}};
  selection.from_ms = time_ms - kLookBackMs;
  selection.to_ms = time_ms;
  // A store that cannot be reached says so when it is asked for samples.
  const auto labels = data_.label_names(selection);
  if (!labels) return known.labels;
  known_.with([&](Known& k) { k = {time_ms, *labels}; });
  return *labels;
}

std::vector<std::string> LabelSpelling::of_label(const std::string& label,
                                                 std::int64_t time_ms) const {
  std::vector<std::string> out = {label};
  for (auto& one : labels_at(time_ms)) {
    if (one != label && plain_name(one) == label) out.push_back(std::move(one));
  }
  return out;
}

std::vector<std::vector<Matcher>> LabelSpelling::of(const std::vector<Matcher>& matchers,
                                                    std::int64_t time_ms) const {
  const auto labels = labels_at(time_ms);
  auto own = matchers;
  bool differs = false;
  for (auto& matcher : own) {
    if (matcher.name == kMetricName) continue;
    const auto it = std::ranges::find_if(labels, [&](const std::string& label) {
      return label != matcher.name && plain_name(label) == matcher.name;
    });
    if (it == labels.end()) continue;
    matcher.name = *it;
    differs = true;
  }
  std::vector<std::vector<Matcher>> out;
  // As given it selects nothing if a label that must have a value is in no series.
  const bool possible = !differs || std::ranges::all_of(matchers, [&](const Matcher& m) {
    return m.name == kMetricName || m.op != Matcher::Op::equal || m.value.empty() ||
           std::ranges::find(labels, m.name) != labels.end();
  });
  if (possible) out.push_back(matchers);
  if (differs) out.push_back(std::move(own));
  return out;
}

} // namespace coalmine::datasource
