// SPDX-License-Identifier: Apache-2.0
#include "store/selector_cache.h"

#include <algorithm>
#include <unordered_map>

namespace coalmine::store {
namespace {

constexpr std::size_t kMostEntries = 32;
constexpr std::size_t kMostSeries = 20'000; // of an entry: more than that is asked for by people, not every few seconds

std::shared_ptr<const Matched> match(const SeriesIndex& index, const std::vector<CompiledMatcher>& matchers) {
  auto out = std::make_shared<Matched>();
  out->version = index.version();
  out->series = index.match(matchers);
  out->instance_of.reserve(out->series.size());
  std::unordered_map<std::string, std::uint32_t> known;
  for (const SeriesInfo* info : out->series) {
    if (!is_request_metric(info->labels->metric_name())) {
      out->instance_of.push_back(UINT32_MAX);
      continue;
    }
    auto key = instance_key(*info->labels);
    const auto [it, fresh] = known.try_emplace(std::move(key), static_cast<std::uint32_t>(out->instances.size()));
    if (fresh) out->instances.push_back(index.request_metrics(it->first));
    out->instance_of.push_back(it->second);
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
