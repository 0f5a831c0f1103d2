// The index of series: identity to id, and the postings that answer matchers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/series/matching.h"
#include "telemetry/batch.h"
#include "telemetry/presence.h"
#include "telemetry/sample.h"

namespace coalmine::store {

// One series without its samples. Identity: labels, source and kind.
struct SeriesInfo {
  SeriesId id;
  std::shared_ptr<const Labels> labels;
  MetricKind kind = MetricKind::gauge;
  Source source = Source::sent;
  DescriptionRef metric = no_description();
  // The scope of the stream that owns these labels (MetricSeries::scope). nullptr: unknown, or not
  // of an application.
  std::shared_ptr<const Labels> scope = nullptr;
  // An error count that we write beside the application's own request counter until the application
  // sends its own.
  bool filler = false;
  // A filler whose zeros may stand for "unknown": nobody says that this version of the service
  // counts errors. Any source that counts them is better.
  bool guessed = false;
  // True when its row is on disk. Not part of the row.
  bool stored = false;
  // The time of its newest point since start; 0: none so far. Writers only (Locks::write). Not part
  // of the row.
  std::uint64_t newest_ns = 0;
};

// Service, track, version and instance. One source of counts is chosen for each such key.
std::string instance_key(const Labels& labels);
std::string instance_key(const Presence& presence);
// name{label="value",…} for messages.
std::string to_text(const Labels& labels);
// The derived durations at the resolution they were measured with, in seconds: see kDurationName.
bool is_exact_duration(const SeriesInfo& info);
// One of kRequestsName, kErrorsName, kDurationName.
bool is_request_metric(std::string_view name);

// One entry of the series family; grammar in docs/formats.md.
std::string encode_series(const SeriesInfo& info);
Result<SeriesInfo> decode_series(SeriesId id, std::string_view bytes);

// Not synchronised: SeriesState names its guard. Pointers to SeriesInfo stay good until that series
// is removed.
class SeriesIndex {
 public:
  explicit SeriesIndex(std::size_t max_series_per_service)
      : max_per_service_(max_series_per_service) {}

  SeriesInfo* find(const Labels& labels, std::uint64_t labels_hash, Source source,
                   MetricKind kind) const;
  SeriesInfo* get(SeriesId id) const;
  // Adds a series. If info.id is 0, a new id is assigned. resource_exhausted: the service has
  // reached its limit of series; the message names the label with the most values. Series that
  // has_ended says have ended do not count against the limit; of them kMostEnded times as many may
  // be there until retention drops them.
  using HasEnded = std::function<bool(SeriesId)>;
  Result<SeriesInfo*> add(SeriesInfo info, const HasEnded& has_ended);
  static constexpr std::size_t kMostEnded = 10;
  // Adds a series read from disk. No limit applies.
  SeriesInfo* restore(SeriesInfo info);
  // What the series says is guessed no longer.
  void confirm(SeriesInfo& info);
  void remove(const std::vector<SeriesId>& ids);

  // The matching series in order of id; every series when there is no matcher.
  std::vector<const SeriesInfo*> match(const std::vector<CompiledMatcher>& matchers) const;
  // The request metrics of one instance, of every source.
  std::vector<const SeriesInfo*> request_metrics(const std::string& instance) const;
  void for_each(const std::function<void(const SeriesInfo&)>& visit) const;

  std::size_t size() const { return series_.size(); }
  // Changes whenever a series is added or removed.
  std::uint64_t version() const { return version_; }
  // The version of one service's series; 0: it has none.
  std::uint64_t version_of(std::string_view service) const;
  std::size_t size_of(std::string_view service) const;
  SeriesId next_id() const { return SeriesId{next_id_}; }
  void reserve_ids_below(std::uint64_t next_id) { next_id_ = std::max(next_id_, next_id); }

 private:
  using Ids = std::vector<std::uint64_t>; // ascending
  using Values = std::map<std::string, Ids, std::less<>>;

  SeriesInfo* insert(SeriesInfo info);
  Ids& posting(std::string_view name, std::string_view value);
  bool has_room(const std::string& service, const HasEnded& has_ended);
  const Ids* ids_of(std::string_view service) const;
  Error limit_error(const std::string& service) const;
  Ids postings_of(const CompiledMatcher& matcher) const;

  const std::size_t max_per_service_;
  std::uint64_t next_id_ = 1;
  std::uint64_t version_ = 0;
  std::shared_ptr<const Labels> last_scope_; // shared with the series that has it too
  std::map<std::uint64_t, std::unique_ptr<SeriesInfo>> series_;
  std::unordered_multimap<std::uint64_t, SeriesInfo*> by_identity_;
  std::map<std::string, Values, std::less<>> postings_;
  struct OfService {
    std::size_t series = 0;
    std::uint64_t version = 0;
    // Ended series when they were last counted. Counting walks them all, so it is done only when
    // the limit is reached, and then once in many attempts. Series that come back in between make
    // the limit a little wider.
    std::size_t ended = 0;
    std::size_t attempts_left = 0; // before they may be counted again
  };
  std::map<std::string, OfService, std::less<>> services_;
  // Request metrics by instance_key.
  std::unordered_map<std::string, std::vector<const SeriesInfo*>> request_metrics_;
  // Refusal messages are cached, because counting values walks all series of a service. Service to
  // its message and the number of refusals for which the message is used again.
  mutable std::unordered_map<std::string, std::pair<std::string, int>> refusals_;
};

} // namespace coalmine::store
