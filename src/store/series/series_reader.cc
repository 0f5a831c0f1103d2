// SPDX-License-Identifier: Apache-2.0
#include "store/series/series_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <shared_mutex>

namespace coalmine::store {
namespace {

// Best first, and in the order of their numbers.
constexpr std::array kSources = {Source::sent, Source::histogram, Source::spans};
// Series whose samples are copied under one hold of the lock.
constexpr std::size_t kReadAtOnce = 256;

} // namespace

// A copy of the facts about a series that a selector picked.
struct SeriesReader::Picked {
  SeriesId id;
  std::shared_ptr<const Labels> labels;
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
  std::string unit;
};

Source SeriesReader::choose(const SourceChoice& choice, const SelectRequest& request) const {
  const auto any = [&](const std::vector<const SeriesInfo*>& series) {
    return std::ranges::any_of(series, [&](const SeriesInfo* info) {
      return samples_.has_samples(info->id, request.from_ms, request.to_ms);
    });
  };
  std::size_t at = 0;
  while (at < kSources.size() && !(choice.complete(at) && any(choice.requests[at]))) ++at;
  if (at == kSources.size()) { // the complete ones have nothing here
    at = 0;
    while (at < kSources.size() && !any(choice.requests[at])) ++at;
  }
  const bool counted = at < kSources.size();
  if (!counted) at = 0; // no source counts requests: take any that has this metric
  if (counted && !choice.duration) return kSources[at];
  for (std::size_t i = at; i < kSources.size(); ++i) {
    if (any(choice.named[i])) return kSources[i];
  }
  return kSources[at];
}

template <typename Visit>
Status SeriesReader::pick(const SelectRequest& request, Visit visit) const {
  std::shared_lock lock(locks_.state);
  TRY_ASSIGN(const auto matched, state_.selectors.find(state_.index, request.matchers));
  std::vector<std::optional<Source>> chosen(matched->choices.size());
  for (std::size_t i = 0; i < matched->series.size(); ++i) {
    const SeriesInfo* info = matched->series[i];
    if (is_exact_duration(*info) && !request.exact_durations) continue;
    const std::uint32_t at = matched->choice_of[i];
    if (request.choose_source && at != UINT32_MAX) {
      if (!chosen[at]) chosen[at] = choose(matched->choices[at], request);
      if (*chosen[at] != info->source) continue;
    } else if (request.sources != SelectRequest::Sources::all) {
      const bool complete = at == UINT32_MAX || matched->choices[at].duration ||
                            matched->choices[at].complete(static_cast<std::size_t>(info->source));
      if (complete != (request.sources == SelectRequest::Sources::complete)) continue;
    }
    if (request.all_series || samples_.has_samples(info->id, request.from_ms, request.to_ms))
      visit(*info);
  }
  return {};
}

Result<std::vector<FoundSeries>> SeriesReader::find(const SelectRequest& request) const {
  std::vector<FoundSeries> out;
  TRY(pick(request, [&](const SeriesInfo& info) {
    out.push_back({info.id, info.labels, info.kind, info.source});
  }));
  return out;
}

Result<std::vector<SeriesData>> SeriesReader::select(const SelectRequest& request) const {
  std::vector<Picked> picked;
  TRY(pick(request, [&](const SeriesInfo& info) {
    picked.push_back({info.id, info.labels, info.kind, info.source, info.metric->unit});
  }));
  std::vector<SeriesData> out;
  out.reserve(picked.size());
  if (request.with_samples) {
    TRY(fill(picked, request, out));
    return out;
  }
  for (auto& p : picked) {
    SeriesData data;
    data.id = p.id;
    data.labels = std::move(p.labels);
    data.kind = p.kind;
    data.source = p.source;
    data.unit = std::move(p.unit);
    out.push_back(std::move(data));
  }
  return out;
}

// The keys and head samples of some picked series, copied under one hold of the lock.
struct SeriesReader::Slice {
  std::vector<SampleRun> recent;  // of the head, by place
  std::vector<std::string> keys;  // of chunks
  std::vector<std::size_t> owner; // of each key: a place
  std::size_t samples = 0;        // in recent
};

SeriesReader::Slice SeriesReader::plan(std::span<const Picked> picked, const SelectRequest& request,
                                       std::size_t room) const {
  Slice out;
  out.recent.resize(picked.size());
  std::shared_lock lock(locks_.state);
  for (std::size_t i = 0; i < picked.size(); ++i) {
    const auto* series = state_.head.find(picked[i].id);
    if (series == nullptr) continue;
    out.samples += series->samples.count(request.from_ms, request.to_ms);
    if (out.samples > room) break;
    out.recent[i] = series->samples.slice(request.from_ms, request.to_ms);
    for (const auto& ref : series->chunks) {
      if (!ref.overlaps(request.from_ms, request.to_ms)) continue;
      out.keys.push_back(chunk_key(picked[i].id, ref));
      out.owner.push_back(i);
    }
  }
  return out;
}

Status SeriesReader::fill(std::span<Picked> picked, const SelectRequest& request,
                          std::vector<SeriesData>& out) const {
  std::size_t total = 0;
  SharedTimes times(backing_.database);
  for (; !picked.empty(); picked = picked.subspan(std::min(kReadAtOnce, picked.size()))) {
    const auto some = picked.first(std::min(kReadAtOnce, picked.size()));
    if (request.give_up && request.give_up())
      return fail(ErrorCode::deadline_exceeded, "given up while samples were read");
    auto slice = plan(some, request, request.max_samples - total);
    total += slice.samples;
    std::vector<SampleRun> older(some.size());
    const auto chunks = read_chunks(backing_, slice.keys);
    for (std::size_t k = 0; k < chunks.size() && total <= request.max_samples; ++k) {
      if (!chunks[k]) continue; // dropped by retention meanwhile
      auto run =
          samples_.decode(slice.keys[k], *chunks[k], times).slice(request.from_ms, request.to_ms);
      total += run.size();
      older[slice.owner[k]].overlay(std::move(run));
    }
    if (total > request.max_samples) {
      return fail(
          ErrorCode::resource_exhausted,
          fmt::format("the query needs more than {} samples: narrow its matchers or its time range",
                      request.max_samples));
    }
    for (std::size_t i = 0; i < some.size(); ++i) {
      auto& run = older[i];
      run.overlay(std::move(slice.recent[i]));
      if (run.empty()) continue;
      auto& p = some[i];
      out.push_back({p.id, std::move(p.labels), p.kind, p.source, std::move(p.unit),
                     std::move(run.floats), std::move(run.classic), std::move(run.exponential)});
    }
  }
  return {};
}

Result<std::vector<SeriesData>> SeriesReader::read_one(SeriesId id, std::int64_t from_ms,
                                                       std::int64_t to_ms) const {
  std::vector<Picked> picked(1);
  picked[0].id = id;
  SelectRequest request;
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  std::vector<SeriesData> out;
  TRY(fill(picked, request, out));
  return out;
}

std::vector<std::string> SeriesReader::label_names(const SelectRequest& request) const {
  std::set<std::string> names;
  const auto picked = pick(request, [&](const SeriesInfo& info) {
    for (const auto [name, value] : *info.labels) names.emplace(name);
  });
  if (!picked) return {};
  return {names.begin(), names.end()};
}

std::vector<std::string> SeriesReader::label_values(std::string_view label,
                                                    const SelectRequest& request) const {
  std::set<std::string> values;
  const auto picked = pick(request, [&](const SeriesInfo& info) {
    if (const auto value = info.labels->get(label); !value.empty()) values.emplace(value);
  });
  if (!picked) return {};
  return {values.begin(), values.end()};
}

std::vector<MetricMetadata> SeriesReader::metadata() const {
  std::map<std::string, MetricMetadata> by_name;
  std::shared_lock lock(locks_.state);
  state_.index.for_each([&](const SeriesInfo& info) {
    if (is_exact_duration(info)) return;
    auto& entry = by_name[std::string(info.labels->metric_name())];
    // The application's own description of a metric is preferred to a derived or filled-in one.
    const bool own = info.source == Source::sent && !info.filler;
    if (entry.name.empty() || (own && entry.help.empty())) {
      entry = {std::string(info.labels->metric_name()), info.kind, info.metric->unit,
               info.metric->help};
    }
  });
  std::vector<MetricMetadata> out;
  out.reserve(by_name.size());
  for (auto& [name, entry] : by_name) out.push_back(std::move(entry));
  return out;
}

std::uint64_t SeriesReader::version_of(std::string_view service) const {
  std::shared_lock lock(locks_.state);
  return state_.index.version_of(service);
}

std::optional<std::vector<NewSamples>> SeriesReader::newest(
    std::span<const SeriesPosition> positions) const {
  std::vector<NewSamples> out(positions.size());
  for (std::size_t begin = 0; begin < positions.size(); begin += kReadAtOnce) {
    const auto some = positions.subspan(begin, std::min(kReadAtOnce, positions.size() - begin));
    std::shared_lock lock(locks_.state);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto* series = state_.head.find(some[i].id);
      if (series == nullptr) continue;
      const auto later = [&](const ChunkRef& ref) { return ref.max_ms > some[i].from_ms; };
      if (std::ranges::any_of(series->chunks, later)) return std::nullopt;
      if (!series->samples.empty() && series->samples.last_ms() >= some[i].from_ms) {
        auto run = series->samples.since(some[i]);
        out[begin + i] = {std::move(run.floats), std::move(run.classic),
                          std::move(run.exponential)};
      }
    }
  }
  return out;
}

} // namespace coalmine::store
