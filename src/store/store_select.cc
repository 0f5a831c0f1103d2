// Reading series: matchers, the choice of one source an instance, samples of chunks and head
// together.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <optional>
#include <shared_mutex>

#include "store/series/chunk_codec.h"
#include "store/store_impl.h"

namespace coalmine::store {
namespace {

constexpr std::array kSources = {Source::sent, Source::histogram,
                                 Source::spans}; // best first, and in the order of their numbers
// Series whose samples are copied under one hold of the lock.
constexpr std::size_t kSlice = 256;

} // namespace

SampleRun StoreImpl::decode(const std::string& key, const std::string& bytes,
                            SharedTimes& times) const {
  const auto read = [&]() -> Result<SampleRun> {
    TRY_ASSIGN(const auto shared, times.of(key, bytes));
    return shared ? decode_chunk(bytes, *shared) : SampleRun();
  };
  auto run = read();
  if (run) return std::move(*run);
  damaged("chunks", run.error().message);
  return {};
}

SampleRun StoreImpl::read(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const {
  SampleRun out;
  const auto* series = head_.find(id);
  if (series == nullptr) return out;
  SharedTimes times(*database_);
  for (const auto& ref : series->chunks) {
    if (!ref.overlaps(from_ms, to_ms)) continue;
    const auto key = chunk_key(id, ref);
    const auto bytes = database_->get(Family::chunks, key);
    if (!bytes) {
      damaged("chunks", bytes.error().message);
    } else if (*bytes) {
      out.overlay(decode(key, **bytes, times).slice(from_ms, to_ms));
    }
  }
  out.overlay(series->samples.slice(from_ms, to_ms));
  return out;
}

std::optional<Sample> StoreImpl::last_value(SeriesId id) const {
  const auto* series = head_.find(id);
  if (series == nullptr) return std::nullopt;
  const auto newest_of = [](const SampleRun& run) -> std::optional<Sample> {
    const auto newest = [](const auto& samples) -> std::optional<Sample> {
      for (auto it = samples.rbegin(); it != samples.rend(); ++it) {
        if (const Sample sample = *it; !is_stale(sample)) return sample;
      }
      return std::nullopt;
    };
    if (!run.floats.empty()) return newest(run.floats);
    if (!run.classic.empty()) return newest(run.classic);
    return newest(run.exponential);
  };
  auto best = series->samples.last_value();
  // A late chunk may be older than one before it, so that the newest is not simply the last.
  auto refs = series->chunks;
  std::ranges::stable_sort(refs, std::greater{}, &ChunkRef::max_ms);
  for (const auto& ref : refs) {
    if (best && time_of(*best) >= ref.max_ms) break;
    const auto found = newest_of(read(id, ref.min_ms, ref.max_ms));
    if (found && (!best || time_of(*found) > time_of(*best))) best = found;
  }
  return best;
}

bool StoreImpl::in_head(SeriesId id, const Sample& sample) const {
  const auto* series = head_.find(id);
  return series != nullptr && series->samples.contains(sample);
}

bool StoreImpl::has_samples(SeriesId id, std::int64_t from_ms, std::int64_t to_ms) const {
  const auto* series = head_.find(id);
  if (series == nullptr || from_ms > to_ms) return false;
  if (series->samples.any(from_ms, to_ms)) return true;
  const auto within = [&](std::int64_t time_ms) { return time_ms >= from_ms && time_ms <= to_ms; };
  bool unsure = false;
  for (const auto& ref : series->chunks) {
    if (within(ref.min_ms) || within(ref.max_ms)) return true;
    unsure = unsure || ref.overlaps(from_ms, to_ms);
  }
  return unsure && !read(id, from_ms, to_ms).empty();
}

Source StoreImpl::choose(const SourceChoice& choice, const SelectRequest& request) const {
  const auto any = [&](const std::vector<const SeriesInfo*>& series) {
    return std::ranges::any_of(series, [&](const SeriesInfo* info) {
      return has_samples(info->id, request.from_ms, request.to_ms);
    });
  };
  std::size_t at = 0;
  while (at < kSources.size() && !any(choice.requests[at])) ++at;
  const bool counted = at < kSources.size();
  if (!counted) at = 0; // nobody counts requests: whoever has this metric
  if (counted && !choice.duration) return kSources[at];
  for (std::size_t i = at; i < kSources.size(); ++i) {
    if (any(choice.named[i])) return kSources[i];
  }
  return kSources[at];
}

template <typename Visit>
Status StoreImpl::pick(const SelectRequest& request, Visit visit) const {
  std::shared_lock lock(state_mutex_);
  TRY_ASSIGN(const auto matched, selectors_.find(index_, request.matchers));
  std::vector<std::optional<Source>> chosen(matched->choices.size());
  for (std::size_t i = 0; i < matched->series.size(); ++i) {
    const SeriesInfo* info = matched->series[i];
    const std::uint32_t at = matched->choice_of[i];
    if (request.choose_source && at != UINT32_MAX) {
      if (!chosen[at]) chosen[at] = choose(matched->choices[at], request);
      if (*chosen[at] != info->source) continue;
    }
    if (request.all_series || has_samples(info->id, request.from_ms, request.to_ms)) visit(*info);
  }
  return {};
}

Result<std::vector<FoundSeries>> StoreImpl::find(const SelectRequest& request) const {
  std::vector<FoundSeries> out;
  TRY(pick(request, [&](const SeriesInfo& info) {
    out.push_back({info.id, info.labels, info.kind, info.source});
  }));
  return out;
}

Result<std::vector<SeriesData>> StoreImpl::select(const SelectRequest& request) const {
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

Status StoreImpl::fill(std::vector<Picked>& picked, const SelectRequest& request,
                       std::vector<SeriesData>& out) const {
  std::size_t total = 0;
  SharedTimes times(*database_);
  for (std::size_t begin = 0; begin < picked.size(); begin += kSlice) {
    const std::size_t end = std::min(picked.size(), begin + kSlice);
    if (request.give_up && request.give_up())
      return fail(ErrorCode::deadline_exceeded, "given up while samples were read");
    std::vector<SampleRun> recent(end - begin);
    std::vector<std::string> keys;
    std::vector<std::size_t> owner; // of each key, relative to begin
    {
      std::shared_lock lock(state_mutex_);
      for (std::size_t i = begin; i < end; ++i) {
        const auto* series = head_.find(picked[i].id);
        if (series == nullptr) continue;
        total += series->samples.count(request.from_ms, request.to_ms);
        if (total > request.max_samples) break;
        recent[i - begin] = series->samples.slice(request.from_ms, request.to_ms);
        for (const auto& ref : series->chunks) {
          if (!ref.overlaps(request.from_ms, request.to_ms)) continue;
          keys.push_back(chunk_key(picked[i].id, ref));
          owner.push_back(i - begin);
        }
      }
    }
    std::vector<SampleRun> older(end - begin);
    const auto damaged_before = database_->damaged();
    const auto chunks = keys.empty() ? std::vector<std::optional<std::string>>()
                                     : database_->get_many(Family::chunks, keys);
    if (const auto more = database_->damaged() - damaged_before; more > 0) {
      damaged("chunks", "blocks of the data files cannot be read", static_cast<double>(more));
    }
    for (std::size_t k = 0; k < chunks.size() && total <= request.max_samples; ++k) {
      if (!chunks[k]) continue; // retention was quicker
      auto run = decode(keys[k], *chunks[k], times).slice(request.from_ms, request.to_ms);
      total += run.size();
      older[owner[k]].overlay(std::move(run));
    }
    if (total > request.max_samples) {
      return fail(
          ErrorCode::resource_exhausted,
          fmt::format("the query needs more than {} samples: narrow its matchers or its time range",
                      request.max_samples));
    }
    for (std::size_t i = begin; i < end; ++i) {
      auto& run = older[i - begin];
      run.overlay(std::move(recent[i - begin]));
      if (run.empty()) continue;
      auto& p = picked[i];
      out.push_back({p.id, std::move(p.labels), p.kind, p.source, std::move(p.unit),
                     std::move(run.floats), std::move(run.classic), std::move(run.exponential)});
    }
  }
  return {};
}

std::vector<std::string> StoreImpl::label_names(const SelectRequest& request) const {
  std::set<std::string> names;
  const auto picked = pick(request, [&](const SeriesInfo& info) {
    for (const auto [name, value] : *info.labels) names.emplace(name);
  });
  if (!picked) return {};
  return {names.begin(), names.end()};
}

std::vector<std::string> StoreImpl::label_values(std::string_view label,
                                                 const SelectRequest& request) const {
  std::set<std::string> values;
  const auto picked = pick(request, [&](const SeriesInfo& info) {
    if (const auto value = info.labels->get(label); !value.empty()) values.emplace(value);
  });
  if (!picked) return {};
  return {values.begin(), values.end()};
}

std::vector<MetricMetadata> StoreImpl::metadata() const {
  std::map<std::string, MetricMetadata> by_name;
  std::shared_lock lock(state_mutex_);
  index_.for_each([&](const SeriesInfo& info) {
    auto& entry = by_name[std::string(info.labels->metric_name())];
    // What an application says of its own metric counts more than what we derived or filled in.
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

std::vector<Presence> StoreImpl::presence() const {
  std::shared_lock lock(state_mutex_);
  return presence_.all();
}

std::uint64_t StoreImpl::arrivals(std::string_view service, std::string_view version) const {
  std::shared_lock lock(state_mutex_);
  const auto versions = arrivals_.find(service);
  if (versions == arrivals_.end()) return 0;
  const auto it = versions->second.find(version);
  return it == versions->second.end() ? 0 : it->second;
}

std::uint64_t StoreImpl::series_version(std::string_view service) const {
  std::shared_lock lock(state_mutex_);
  return index_.version_of(service);
}

std::optional<std::vector<NewSamples>> StoreImpl::newest(
    std::span<const SeriesPosition> positions) const {
  std::vector<NewSamples> out(positions.size());
  for (std::size_t begin = 0; begin < positions.size(); begin += kSlice) {
    const auto some = positions.subspan(begin, std::min(kSlice, positions.size() - begin));
    std::shared_lock lock(state_mutex_);
    for (std::size_t i = 0; i < some.size(); ++i) {
      const auto* series = head_.find(some[i].id);
      if (series == nullptr) continue;
      const auto later = [&](const ChunkRef& ref) { return ref.max_ms > some[i].from_ms; };
      if (std::ranges::any_of(series->chunks, later)) return std::nullopt;
      if (!series->samples.empty() && series->samples.last_ms() >= some[i].from_ms) {
        auto run = series->samples.since(some[i]);
        out[begin + i] = {std::move(run.floats), std::move(run.classic)};
      }
    }
  }
  return out;
}

StoreStats StoreImpl::stats() const {
  StoreStats out;
  out.disk_bytes = database_->disk_bytes();
  std::shared_lock lock(state_mutex_);
  out.series = index_.size();
  out.head_samples = head_.sample_count();
  out.oldest_ms = head_.oldest_ms();
  out.newest_ms = std::max(head_.newest_ms(), segments_.newest_start_ms());
  if (const auto oldest = segments_.oldest_received_ms();
      oldest && (out.oldest_ms == 0 || *oldest < out.oldest_ms))
    out.oldest_ms = *oldest;
  return out;
}

} // namespace coalmine::store
