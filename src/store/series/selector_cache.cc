// SPDX-License-Identifier: Apache-2.0
#include "store/series/selector_cache.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <utility>

#include "base/bytes.h"

namespace coalmine::store {
namespace {

// Series of one entry. Larger selections are made by people, not every few seconds.
constexpr std::size_t kMostSeries = 20'000;
constexpr std::size_t kMostSeriesHeld = 2'000'000; // of all entries: some tens of megabytes
constexpr std::size_t kMostEntries = 20'000;       // many may hold no series

std::string key_of(const std::vector<Matcher>& matchers) {
  std::string out;
  ByteWriter w(out);
  for (const auto& matcher : matchers) {
    w.u8(static_cast<std::uint8_t>(matcher.op));
    w.text(matcher.name);
    w.text(matcher.value);
  }
  return out;
}

SourceChoice choice(const SeriesIndex& index, const std::string& instance, std::string_view name) {
  SourceChoice out;
  out.duration = name == kDurationName;
  for (const SeriesInfo* info : index.request_metrics(instance)) {
    const auto source = static_cast<std::size_t>(info->source);
    const auto metric = info->labels->metric_name();
    if (metric == kRequestsName) out.requests[source].push_back(info);
    if (metric == kErrorsName && !info->guessed) out.errors[source] = true;
    if (metric == name) out.named[source].push_back(info);
  }
  return out;
}

std::shared_ptr<const Matched> match(const SeriesIndex& index,
                                     const std::vector<CompiledMatcher>& matchers) {
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
    const auto [it, fresh] = known.try_emplace({instance_key(*info->labels), name},
                                               static_cast<std::uint32_t>(out->choices.size()));
    if (fresh) out->choices.push_back(choice(index, it->first.first, name));
    out->choice_of.push_back(it->second);
  }
  return out;
}

} // namespace

Result<std::shared_ptr<const Matched>> SelectorCache::find(const SeriesIndex& index,
                                                           const std::vector<Matcher>& matchers) {
  auto key = key_of(matchers);
  {
    std::lock_guard lock(mutex_);
    const auto it = by_key_.find(key);
    if (it != by_key_.end() && it->second->matched->version == index.version()) {
      entries_.splice(entries_.begin(), entries_, it->second);
      entries_.front().used = calls_;
      return entries_.front().matched;
    }
  }
  TRY_ASSIGN(const auto compiled, compile_all(matchers));
  auto matched = match(index, compiled);
  const std::size_t size = matched->series.size();
  std::lock_guard lock(mutex_);
  if (const auto it = by_key_.find(key); it != by_key_.end()) drop(it->second);
  if (size > kMostSeries) return matched;
  while (!entries_.empty() && (entries_.size() >= kMostEntries || series_ + size > kMostSeriesHeld))
    drop(std::prev(entries_.end()));
  entries_.push_front({std::move(key), matched, calls_});
  by_key_.emplace(entries_.front().key, entries_.begin());
  series_ += size;
  return matched;
}

void SelectorCache::forget_unused() {
  std::lock_guard lock(mutex_);
  ++calls_;
  while (!entries_.empty() && entries_.back().used + kMostUnused < calls_)
    drop(std::prev(entries_.end()));
}

std::size_t SelectorCache::size() const {
  std::lock_guard lock(mutex_);
  return entries_.size();
}

void SelectorCache::drop(std::list<Entry>::iterator it) {
  series_ -= it->matched->series.size();
  by_key_.erase(it->key);
  entries_.erase(it);
}

} // namespace coalmine::store
