// SPDX-License-Identifier: Apache-2.0
#include "store/selector_cache.h"

#include <algorithm>
#include <map>
#include <utility>

namespace coalmine::store {
namespace {

constexpr std::size_t kMostEntries = 32;
constexpr std::size_t kMostSeries = 20'000; // of an entry: more than that is asked for by people, not every few seconds

SourceChoice choice(const SeriesIndex& index, const std::string& instance, std::string_view name) {
  SourceChoice out;
  out.duration = name == kDurationName;
  for (const SeriesInfo* info : index.request_metrics(instance)) {
    const auto source = static_cast<std::size_t>(info->source);
    const auto metric = info->labels->metric_name();
    if (metric == kRequestsName) out.requests[source].push_back(info);
    if (metric == name) out.named[source].push_back(info);
  }
  return out;
}

std::shared_ptr<const Matched> match(const SeriesIndex& index, const std::vector<CompiledMatcher>& matchers) {
  auto out = std::make_shared<Matched>();
  out->version = index.version();
  out->series = index.match(matchers);
  out->choice_of.reserve(out->series.size());
  std::map<std::pair<std::string, std::string_view>, std::uint32_t> known;
  for (const SeriesInfo* info : out->series) {
    const auto name = info->labels->metric_name();
    if (!is_request_metric(name)) {
      out->choice_of.push_back(UINT32_MAX);
      continue;
    }
    const auto [it, fresh] =
        known.try_emplace({instance_key(*info->labels), name}, static_cast<std::uint32_t>(out->choices.size()));
    if (fresh) out->choices.push_back(choice(index, it->first.first, name));
    out->choice_of.push_back(it->second);
  }
  return out;
}

} // namespace

Result<std::shared_ptr<const Matched>> SelectorCache::find(const SeriesIndex& index, const std::vector<Matcher>& matchers) {
  {
    std::lock_guard lock(mutex_);
    const auto it = std::ranges::find(entries_, matchers, &Entry::matchers);
    if (it != entries_.end()) {
      if (it->matched->version == index.version()) {
        entries_.splice(entries_.begin(), entries_, it);
        return entries_.front().matched;
      }
      entries_.erase(it);
    }
  }
  TRY_ASSIGN(const auto compiled, compile_all(matchers));
  auto matched = match(index, compiled);
  if (matched->series.size() > kMostSeries) return matched;
  std::lock_guard lock(mutex_);
  entries_.push_front({matchers, matched});
  if (entries_.size() > kMostEntries) entries_.pop_back();
  return matched;
}

} // namespace coalmine::store
