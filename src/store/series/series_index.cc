// SPDX-License-Identifier: Apache-2.0
#include "store/series/series_index.h"

#include <fmt/format.h>

#include <algorithm>
#include <set>

#include "base/bytes.h"
#include "telemetry/outcome.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kNoScopes = 1; // row version without the scope
constexpr std::uint8_t kRowVersion = 2;
constexpr std::uint8_t kFiller = 1;
constexpr std::uint8_t kGuess = 2;
constexpr int kRefusalsPerCount = 1000;
// How many series may be visited for one attempt to add one, on average.
constexpr std::size_t kVisitsPerAttempt = 200;

std::uint64_t identity_of(std::uint64_t labels_hash, Source source, MetricKind kind) {
  const auto extra = static_cast<std::uint64_t>(source) * 8 + static_cast<std::uint64_t>(kind) + 1;
  return labels_hash ^ (extra * 0x9e3779b97f4a7c15ULL);
}

void sort_unique(std::vector<std::uint64_t>& ids) {
  std::ranges::sort(ids);
  ids.erase(std::ranges::unique(ids).begin(), ids.end());
}

} // namespace

std::string instance_key(const Labels& labels) {
  return fmt::format("{}\xff{}\xff{}\xff{}", labels.get("service_name"),
                     labels.get("deployment_track"), labels.get("service_version"),
                     labels.get("instance"));
}

std::string instance_key(const Presence& presence) {
  return fmt::format("{}\xff{}\xff{}\xff{}", presence.service, presence.track, presence.version,
                     presence.instance);
}

std::string to_text(const Labels& labels) {
  std::string inside;
  for (const auto [name, value] : labels) {
    if (name != "__name__")
      inside += fmt::format("{}{}=\"{}\"", inside.empty() ? "" : ",", name, value);
  }
  return fmt::format("{}{{{}}}", labels.metric_name(), inside);
}

bool is_exact_duration(const SeriesInfo& info) {
  return info.kind == MetricKind::exponential && info.source != Source::sent;
}

bool is_request_metric(std::string_view name) {
  return name == kRequestsName || name == kErrorsName || name == kClientErrorsName ||
         name == kDurationName;
}

namespace {

void write_labels(ByteWriter& w, const Labels& labels) {
  w.varint(labels.size());
  for (const auto [name, value] : labels) {
    w.text(name);
    w.text(value);
  }
}

std::shared_ptr<const Labels> read_labels(ByteReader& r) {
  std::vector<Labels::Pair> pairs;
  const auto count = r.varint();
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    std::string name(r.text());
    pairs.emplace_back(std::move(name), r.text());
  }
  return std::make_shared<const Labels>(std::move(pairs));
}

} // namespace

std::string encode_series(const SeriesInfo& info) {
  std::string out;
  ByteWriter w(out);
  w.u8(kRowVersion);
  w.u8(static_cast<std::uint8_t>(info.kind));
  w.u8(static_cast<std::uint8_t>(info.source));
  w.u8(!info.filler ? 0 : info.guessed ? kGuess : kFiller);
  w.text(info.metric->otel_name);
  w.text(info.metric->unit);
  w.text(info.metric->help);
  write_labels(w, *info.labels);
  w.u8(info.scope ? 1 : 0);
  if (info.scope) write_labels(w, *info.scope);
  return out;
}

Result<SeriesInfo> decode_series(SeriesId id, std::string_view bytes) {
  ByteReader r(bytes);
  SeriesInfo out;
  out.id = id;
  out.stored = true;
  const auto version = r.u8();
  const auto kind = r.u8();
  const auto source = r.u8();
  const auto flags = r.u8();
  MetricDescription metric;
  metric.otel_name = r.text();
  metric.unit = r.text();
  metric.help = r.text();
  out.labels = read_labels(r);
  const auto scoped = version == kNoScopes ? std::uint8_t{0} : r.u8();
  if (scoped == 1) out.scope = read_labels(r);
  const bool known = (version == kRowVersion || version == kNoScopes) && scoped <= 1;
  if (!r.ok() || !r.done() || !known || kind > 3 || source > 2 || flags > kGuess) {
    return fail(ErrorCode::data_loss, fmt::format("the row of series {} is damaged", id.value));
  }
  out.metric = std::make_shared<const MetricDescription>(std::move(metric));
  out.kind = static_cast<MetricKind>(kind);
  out.source = static_cast<Source>(source);
  out.filler = flags != 0;
  out.guessed = out.filler && (version == kNoScopes || flags == kGuess);
  return out;
}

SeriesInfo* SeriesIndex::find(const Labels& labels, std::uint64_t labels_hash, Source source,
                              MetricKind kind) const {
  const auto [begin, end] = by_identity_.equal_range(identity_of(labels_hash, source, kind));
  for (auto it = begin; it != end; ++it) {
    SeriesInfo* info = it->second;
    if (info->source == source && info->kind == kind && *info->labels == labels) return info;
  }
  return nullptr;
}

SeriesInfo* SeriesIndex::get(SeriesId id) const {
  const auto it = series_.find(id.value);
  return it == series_.end() ? nullptr : it->second.get();
}

Result<SeriesInfo*> SeriesIndex::add(SeriesInfo info, const HasEnded& has_ended) {
  const std::string service(info.labels->get("service_name"));
  if (!has_room(service, has_ended)) return std::unexpected(limit_error(service));
  if (info.id.value == 0) info.id = SeriesId{next_id_};
  return insert(std::move(info));
}

bool SeriesIndex::has_room(const std::string& service, const HasEnded& has_ended) {
  const auto it = services_.find(service);
  if (it == services_.end()) return max_per_service_ > 0;
  auto& of = it->second;
  const auto fits = [&] {
    return of.series - of.ended < max_per_service_ && of.ended <= max_per_service_ * kMostEnded;
  };
  if (of.series < max_per_service_ || fits()) return true;
  if (of.attempts_left > 0) {
    --of.attempts_left;
    return false;
  }
  of.attempts_left = max_per_service_ / kVisitsPerAttempt;
  refusals_.erase(service); // the message has the numbers, too
  const Ids* ids = ids_of(service);
  of.ended = ids == nullptr ? 0
                            : static_cast<std::size_t>(std::ranges::count_if(
                                  *ids, [&](auto id) { return has_ended(SeriesId{id}); }));
  return fits();
}

SeriesInfo* SeriesIndex::restore(SeriesInfo info) { return insert(std::move(info)); }

void SeriesIndex::confirm(SeriesInfo& info) {
  info.guessed = false;
  services_[std::string(info.labels->get("service_name"))].version = ++version_;
}

SeriesIndex::Ids& SeriesIndex::posting(std::string_view name, std::string_view value) {
  auto label = postings_.find(name);
  if (label == postings_.end()) label = postings_.emplace(name, Values()).first;
  auto found = label->second.find(value);
  if (found == label->second.end()) found = label->second.emplace(value, Ids()).first;
  return found->second;
}

SeriesInfo* SeriesIndex::insert(SeriesInfo info) {
  ++version_;
  const std::uint64_t id = info.id.value;
  next_id_ = std::max(next_id_, id + 1);
  if (info.scope && last_scope_ && *info.scope == *last_scope_) info.scope = last_scope_;
  if (info.scope) last_scope_ = info.scope;
  auto& slot = series_[id];
  slot = std::make_unique<SeriesInfo>(std::move(info));
  by_identity_.emplace(identity_of(slot->labels->hash(), slot->source, slot->kind), slot.get());
  for (const auto [name, value] : *slot->labels) {
    auto& ids = posting(name, value);
    if (ids.empty() || ids.back() < id) {
      ids.push_back(id);
    } else {
      ids.insert(std::ranges::lower_bound(ids, id), id);
    }
  }
  auto& of_service = services_[std::string(slot->labels->get("service_name"))];
  ++of_service.series;
  of_service.version = version_;
  if (is_request_metric(slot->labels->metric_name()))
    request_metrics_[instance_key(*slot->labels)].push_back(slot.get());
  return slot.get();
}

void SeriesIndex::remove(const std::vector<SeriesId>& ids) {
  ++version_;
  std::map<std::pair<std::string, std::string>, std::set<std::uint64_t>> gone;
  for (const auto id : ids) {
    const auto it = series_.find(id.value);
    if (it == series_.end()) continue;
    const SeriesInfo& info = *it->second;
    for (const auto [name, value] : *info.labels)
      gone[{std::string(name), std::string(value)}].insert(id.value);
    const auto [begin, end] =
        by_identity_.equal_range(identity_of(info.labels->hash(), info.source, info.kind));
    for (auto entry = begin; entry != end; ++entry) {
      if (entry->second == &info) {
        by_identity_.erase(entry);
        break;
      }
    }
    const std::string service(info.labels->get("service_name"));
    auto& of_service = services_[service];
    of_service.version = version_;
    if (of_service.ended > 0) --of_service.ended; // only what has ended is removed
    if (--of_service.series == 0) services_.erase(service);
    refusals_.erase(service);
    if (is_request_metric(info.labels->metric_name())) {
      const auto instance = request_metrics_.find(instance_key(*info.labels));
      std::erase(instance->second, &info);
      if (instance->second.empty()) request_metrics_.erase(instance);
    }
    series_.erase(it);
  }
  for (const auto& [pair, dead] : gone) {
    auto& values = postings_[pair.first];
    auto& posting = values[pair.second];
    std::erase_if(posting, [&](std::uint64_t id) { return dead.contains(id); });
    if (posting.empty()) values.erase(pair.second);
    if (values.empty()) postings_.erase(pair.first);
  }
}

std::size_t SeriesIndex::size_of(std::string_view service) const {
  const auto it = services_.find(service);
  return it == services_.end() ? 0 : it->second.series;
}

std::uint64_t SeriesIndex::version_of(std::string_view service) const {
  const auto it = services_.find(service);
  return it == services_.end() ? 0 : it->second.version;
}

const SeriesIndex::Ids* SeriesIndex::ids_of(std::string_view service) const {
  const auto label = postings_.find("service_name");
  if (label == postings_.end()) return nullptr;
  const auto posting = label->second.find(service);
  return posting == label->second.end() ? nullptr : &posting->second;
}

Error SeriesIndex::limit_error(const std::string& service) const {
  auto& [message, left] = refusals_[service];
  if (left-- <= 0) {
    std::map<std::string_view, std::set<std::string_view>> values;
    if (const Ids* ids = ids_of(service); ids != nullptr) {
      for (const auto id : *ids) {
        for (const auto& [name, value] : *get(SeriesId{id})->labels) values[name].insert(value);
      }
    }
    const auto most =
        std::ranges::max_element(values, {}, [](const auto& entry) { return entry.second.size(); });
    const std::string worst = most == values.end()
                                  ? ""
                                  : fmt::format("; its label {} has {} values, the most of all",
                                                most->first, most->second.size());
    const auto it = services_.find(service);
    const std::size_t ended = it == services_.end() ? 0 : it->second.ended;
    const std::string which =
        ended == 0 ? "" : fmt::format(" (and {} that have ended and are still kept)", ended);
    message = fmt::format(
        "service {} has {} metric series{}, which is the limit{}: drop that attribute in the "
        "application or a collector, or raise server.series_per_service",
        service, size_of(service) - ended, which, worst);
    left = kRefusalsPerCount;
  }
  return {ErrorCode::resource_exhausted, message};
}

// The ids of all series whose value matches. Only for matchers that do not match "".
SeriesIndex::Ids SeriesIndex::postings_of(const CompiledMatcher& matcher) const {
  Ids found;
  const auto label = postings_.find(matcher.name());
  if (label == postings_.end()) return found;
  for (const auto& [value, ids] : label->second) {
    if (matcher.matches(value)) found.insert(found.end(), ids.begin(), ids.end());
  }
  sort_unique(found);
  return found;
}

namespace {

// Keeps only the candidates that are in the posting too. Both ascend. The posting may be much
// longer, so its next id is searched for in doubling steps.
void keep_common(std::vector<std::uint64_t>& candidates,
                 const std::vector<std::uint64_t>& posting) {
  auto from = posting.begin();
  std::size_t kept = 0;
  for (const auto id : candidates) {
    std::ptrdiff_t step = 1;
    auto to = from;
    while (to != posting.end() && *to < id) {
      from = to;
      to = posting.end() - to > step ? to + step : posting.end();
      step *= 2;
    }
    from = std::lower_bound(from, to, id);
    if (from == posting.end()) break;
    if (*from == id) candidates[kept++] = id;
  }
  candidates.resize(kept);
}

} // namespace

std::vector<const SeriesInfo*> SeriesIndex::match(
    const std::vector<CompiledMatcher>& matchers) const {
  std::vector<const SeriesInfo*> out;
  std::vector<const Ids*> wanted; // one value each
  for (const auto& matcher : matchers) {
    const auto* only = matcher.matches_empty() ? nullptr : matcher.only_value();
    if (only == nullptr) continue;
    const auto label = postings_.find(matcher.name());
    if (label == postings_.end()) return out;
    const auto posting = label->second.find(*only);
    if (posting == label->second.end()) return out;
    wanted.push_back(&posting->second);
  }
  std::ranges::sort(wanted, {}, [](const Ids* ids) { return ids->size(); });
  Ids candidates;
  bool begun = !wanted.empty();
  if (begun) candidates = *wanted.front();
  for (std::size_t i = 1; i < wanted.size(); ++i) keep_common(candidates, *wanted[i]);
  // The other matchers test each candidate, each distinct value once. Without candidates so far,
  // they test the postings.
  std::vector<std::pair<const CompiledMatcher*, std::unordered_map<std::string_view, bool>>> rest;
  for (const auto& matcher : matchers) {
    if (!matcher.matches_empty() && matcher.only_value() != nullptr) continue;
    if (begun || matcher.matches_empty()) {
      rest.emplace_back(&matcher, std::unordered_map<std::string_view, bool>());
    } else {
      candidates = postings_of(matcher);
      begun = true;
    }
  }
  if (!begun) {
    for (const auto& [id, info] : series_) candidates.push_back(id);
  }
  out.reserve(candidates.size());
  for (const auto id : candidates) {
    const SeriesInfo* info = get(SeriesId{id});
    const bool kept = std::ranges::all_of(rest, [&](auto& entry) {
      const auto value = info->labels->get(entry.first->name());
      const auto [it, added] = entry.second.try_emplace(value, false);
      if (added) it->second = entry.first->matches(value);
      return it->second;
    });
    if (kept) out.push_back(info);
  }
  return out;
}

std::vector<const SeriesInfo*> SeriesIndex::request_metrics(const std::string& instance) const {
  const auto it = request_metrics_.find(instance);
  return it == request_metrics_.end() ? std::vector<const SeriesInfo*>() : it->second;
}

void SeriesIndex::for_each(const std::function<void(const SeriesInfo&)>& visit) const {
  for (const auto& [id, info] : series_) visit(*info);
}

} // namespace coalmine::store
