// Implements CountFeed on the embedded store.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "cohort/cohort_sums.h"
#include "datasource/store_cohorts.h"
#include "promql/syntax/series_matcher.h"

namespace coalmine::datasource {
namespace {

// Spans are in the store this long after they ended: one batch delay of the SDKs (5 s), the same
// for collectors, and one look.
constexpr std::int64_t kSpanDelayMs = 15'000;
// An instance whose spans stopped this long ago is ended and not waited for.
constexpr std::int64_t kSpanSilenceMs = 10 * 60'000;

struct CountedFamily {
  std::string_view name;
  cohort::Measure measure;
};
constexpr std::array kCountedFamilies = {
    CountedFamily{kRequestsName, cohort::Measure::requests},
    CountedFamily{kErrorsName, cohort::Measure::bad},
    CountedFamily{kClientErrorsName, cohort::Measure::client_errors},
    CountedFamily{kDurationName, cohort::Measure::duration},
    CountedFamily{kTailSampledName, cohort::Measure::tail_sampled},
    CountedFamily{kRequestsName, cohort::Measure::witness}};

constexpr std::array kBothTracks = {Track::canary, Track::stable};
constexpr std::size_t place(Track track) { return static_cast<std::size_t>(track); }

// The counter of a source that does not count errors is a witness, and what everything is counted
// by once it does: to the grid these are two series.
constexpr std::uint64_t kWitness = 1ULL << 62;

// The id of a series in what this reader remembers.
std::uint64_t known_id(SeriesId id, cohort::Measure measure) {
  return measure == cohort::Measure::witness ? id.value | kWitness : id.value;
}

std::uint64_t grid_id(std::uint64_t known_id, Track track) {
  return known_id * 2 + static_cast<std::uint64_t>(track);
}

template <typename S>
std::int64_t newest_of(const std::vector<S>& samples) {
  return samples.empty() ? INT64_MIN : samples.back().time_ms;
}

// The read_ms for CountGrid::add. Counts from spans have the time of the newest span of a batch, so
// their age says nothing about a clock.
std::int64_t read_time(Source source, std::int64_t now_ms) {
  return source == Source::spans ? 0 : now_ms;
}

// The only value that the cohort allows for a label; "" if it allows several.
std::string_view named(const cohort::CohortSelector& cohort, std::string_view label) {
  for (const auto& m : cohort.matchers) {
    if (m.name == label && m.op == Matcher::Op::equal) return m.value;
  }
  return {};
}

// The service of both tracks; "" if they name none or two.
std::string service_of(const cohort::CountFeedRequest& request) {
  const auto canary = named(request.canary, "service_name");
  return std::string(canary == named(request.stable, "service_name") ? canary : "");
}

std::string instance_name(const Labels& labels) {
  const auto version = labels.get("service_version");
  auto out = std::string(labels.get("instance"));
  if (!version.empty()) out += fmt::format("@{}", version);
  return out;
}

// One rollout's reading position. See CountFeed.
class StoreCountFeed final : public cohort::CountFeed {
 public:
  StoreCountFeed(const store::Store& store, cohort::CountFeedRequest request)
      : store_(store), request_(std::move(request)), service_(service_of(request_)) {}
  Status read(cohort::CountGrid& grid, std::int64_t now_ms) override;
  Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override;

 private:
  struct Known {
    std::string instance;
    std::string route;
    Answer answer = Answer::unknown;
    double seconds_per_unit = 0; // of exponential durations
    std::int64_t newest_ms = INT64_MIN;
  };
  // A series of a track that is read at every look.
  struct Followed {
    Source source;
    std::uint64_t id = 0; // known_id
    cohort::Measure measure = cohort::Measure::requests;
    bool known = false;                      // the grid has seen it
    std::int64_t* newest_of_spans = nullptr; // in span_instances_
    double seconds_per_unit = 0;             // see Known
  };
  struct FollowedTrack {
    std::vector<Followed> series;
    std::vector<store::SeriesPosition> positions; // of the same series
    std::uint64_t arrivals = 0;                   // when it was last read; 0: unknown
  };
  struct Read {
    Track track;
    cohort::Measure measure;
    SeriesData data;
  };
  // What else the grid wants to know of a series that it does not know.
  static void describe(cohort::CountSeries& series, Track track, cohort::Measure measure,
                       Source source, const Known& known);
  store::SelectRequest request_for(Track track, const CountedFamily& family) const;
  Status select(Track track, std::int64_t from_ms, std::int64_t to_ms, std::vector<Read>& out);
  Status put_baselines(std::vector<Read>& reads);
  Status put_baseline(Read& read) const;
  // now_ms: our clock; 0: until_ms lies in the past.
  Status read_all(cohort::CountGrid& grid, std::int64_t until_ms, std::int64_t now_ms);
  // Returns false when read_all is needed instead.
  bool read_followed(cohort::CountGrid& grid, std::int64_t now_ms);
  Status follow(std::int64_t from_ms);
  void tell_spans(cohort::CountGrid& grid, std::int64_t now_ms) const;
  const cohort::CohortSelector& cohort(Track track) const {
    return track == Track::canary ? request_.canary : request_.stable;
  }
  std::uint64_t arrivals(Track track) const;

  const store::Store& store_;
  const cohort::CountFeedRequest request_;
  const std::string service_; // of both tracks, if it is the same
  bool begun_ = false;
  std::unordered_map<std::uint64_t, Known> known_;
  std::array<FollowedTrack, 2> tracks_;
  // The series version of the service when all was last read; 0: unknown.
  std::uint64_t read_version_ = 0;
  // The series version when the followed series were listed; 0: none are followed.
  std::uint64_t followed_version_ = 0;
  std::map<std::pair<Track, std::string>, std::int64_t> span_instances_; // newest sample
};

void StoreCountFeed::describe(cohort::CountSeries& series, Track track, cohort::Measure measure,
                              Source source, const Known& known) {
  series.track = track;
  series.measure = measure;
  series.source = source;
  series.instance = known.instance;
  series.route = known.route;
  if (measure == cohort::Measure::requests) series.answer = known.answer;
}

// Selects every source that counts errors too, because the grid chooses one for both tracks.
store::SelectRequest StoreCountFeed::request_for(Track track, const CountedFamily& family) const {
  store::SelectRequest out;
  out.matchers = cohort(track).matchers;
  out.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, std::string(family.name)});
  out.choose_source = false;
  out.sources = family.measure == cohort::Measure::witness
                    ? store::SelectRequest::Sources::incomplete
                    : store::SelectRequest::Sources::complete;
  out.exact_durations = true;
  return out;
}

Status StoreCountFeed::select(Track track, std::int64_t from_ms, std::int64_t to_ms,
                              std::vector<Read>& out) {
  for (const auto& matcher : cohort(track).matchers) {
    if (const auto problem = promql::check_matcher(matcher)) {
      return fail(ErrorCode::invalid_argument, fmt::format("cohort selector {}=\"{}\": {}",
                                                           matcher.name, matcher.value, *problem));
    }
  }
  for (const auto& family : kCountedFamilies) {
    auto request = request_for(track, family);
    request.from_ms = from_ms;
    request.to_ms = to_ms;
    TRY_ASSIGN(auto found, store_.select(request));
    for (auto& data : found) out.push_back({track, family.measure, std::move(data)});
  }
  return {};
}

// Puts the newest sample from before the reading range in front of a series that has none there,
// began long ago, and is written only when something happens. Once for each series.
Status StoreCountFeed::put_baselines(std::vector<Read>& reads) {
  const auto horizon = request_.origin_ms - cohort::kBaselineLookbackMs;
  for (auto& read : reads) {
    if (known_.contains(known_id(read.data.id, read.measure))) continue;
    const auto lacks = [&](const auto& samples) {
      if (samples.empty() || samples.front().time_ms <= request_.origin_ms) return false;
      const auto& first = samples.front();
      return first.start_ms == 0 || first.start_ms >= first.time_ms || first.start_ms < horizon;
    };
    if (lacks(read.data.floats) || lacks(read.data.classic) || lacks(read.data.exponential))
      TRY(put_baseline(read));
  }
  return {};
}

Status StoreCountFeed::put_baseline(Read& read) const {
  store::SelectRequest request;
  for (const auto [name, value] : *read.data.labels)
    request.matchers.push_back({std::string(name), Matcher::Op::equal, std::string(value)});
  request.from_ms = 0;
  request.to_ms = request_.origin_ms - cohort::kBaselineLookbackMs - 1;
  request.choose_source = false;
  request.exact_durations = true;
  TRY_ASSIGN(const auto past, store_.select(request));
  const auto it = std::ranges::find(past, read.data.id, &SeriesData::id);
  if (it == past.end()) return {};
  const auto float_at = std::find_if(it->floats.rbegin(), it->floats.rend(),
                                     [](const auto& s) { return std::isfinite(s.value); });
  if (float_at != it->floats.rend()) read.data.floats.insert(read.data.floats.begin(), *float_at);
  const auto put_newest = [](const auto& from, auto& to) {
    const auto at =
        std::find_if(from.rbegin(), from.rend(), [](const auto& s) { return !s.stale; });
    if (at != from.rend()) to.insert(to.begin(), *at);
  };
  put_newest(it->classic, read.data.classic);
  put_newest(it->exponential, read.data.exponential);
  return {};
}

void StoreCountFeed::tell_spans(cohort::CountGrid& grid, std::int64_t now_ms) const {
  for (const auto& [key, newest_ms] : span_instances_) {
    if (newest_ms + kSpanSilenceMs < now_ms) continue;
    grid.add(cohort::InstanceSeen{key.first, Source::spans, key.second, now_ms - kSpanDelayMs});
  }
}

// How often telemetry that may belong to the track has arrived; 0: unknown.
std::uint64_t StoreCountFeed::arrivals(Track track) const {
  return service_.empty() ? 0 : store_.arrivals(service_, named(cohort(track), "service_version"));
}

Status StoreCountFeed::read(cohort::CountGrid& grid, std::int64_t now_ms) {
  if (!begun_ || !read_followed(grid, now_ms))
    TRY(read_all(grid, now_ms + cohort::kFutureMs, now_ms));
  tell_spans(grid, now_ms);
  begun_ = true;
  return {};
}

Status StoreCountFeed::read_past(cohort::CountGrid& grid, std::int64_t until_ms) {
  TRY(read_all(grid, until_ms, 0));
  tell_spans(grid, until_ms);
  begun_ = true;
  return {};
}

bool StoreCountFeed::read_followed(cohort::CountGrid& grid, std::int64_t now_ms) {
  std::array<std::optional<std::vector<store::NewSamples>>, 2> news; // by track
  std::array<std::uint64_t, 2> arrived{};
  const bool listed =
      followed_version_ != 0 && followed_version_ == store_.series_version(service_);
  for (const auto track : kBothTracks) {
    const auto at = place(track);
    const auto& followed = tracks_[at];
    // Taken before the samples are read, so that samples arriving meanwhile are read at the next
    // look.
    arrived[at] = arrivals(track);
    if (arrived[at] != 0 && arrived[at] == followed.arrivals) continue;
    if (!listed) return false;
    news[at] = store_.newest(followed.positions);
    if (!news[at]) return false;
    for (std::size_t i = 0; i < followed.series.size(); ++i) {
      if (!followed.series[i].known && !(*news[at])[i].empty())
        return false; // it may need a baseline
    }
  }
  for (const auto track : kBothTracks) {
    const auto at = place(track);
    auto& followed = tracks_[at];
    followed.arrivals = arrived[at];
    if (!news[at]) continue;
    for (std::size_t i = 0; i < followed.series.size(); ++i) {
      auto& samples = (*news[at])[i];
      if (samples.empty()) continue;
      const auto& one = followed.series[i];
      auto& position = followed.positions[i];
      const auto see = [&](const auto& histograms) {
        if (histograms.empty()) return;
        position.from_ms = histograms.back().time_ms;
        position.seen = {histograms.back().value.sum, histograms.back().value.count};
      };
      if (!samples.floats.empty()) {
        position.from_ms = samples.floats.back().time_ms;
        position.seen = {samples.floats.back().value, 0};
      }
      see(samples.classic);
      see(samples.exponential);
      if (one.newest_of_spans != nullptr)
        *one.newest_of_spans = std::max(*one.newest_of_spans, position.from_ms);
      cohort::CountSeries series;
      series.id = grid_id(one.id, track);
      if (!grid.knows(series.id))
        describe(series, track, one.measure, one.source, known_.at(one.id));
      series.floats = std::move(samples.floats);
      series.classic = std::move(samples.classic);
      series.exponential = std::move(samples.exponential);
      to_durations(series.exponential, one.seconds_per_unit);
      grid.add(series, read_time(one.source, now_ms));
    }
  }
  return true;
}

Status StoreCountFeed::read_all(cohort::CountGrid& grid, std::int64_t until_ms,
                                std::int64_t now_ms) {
  const auto version = service_.empty() ? 0 : store_.series_version(service_);
  const std::array arrived = {arrivals(Track::stable), arrivals(Track::canary)}; // by track
  const auto from_ms =
      begun_ ? grid.needed_from_ms() : request_.origin_ms - cohort::kBaselineLookbackMs;
  std::vector<Read> reads;
  for (const auto track : kBothTracks) TRY(select(track, from_ms, until_ms, reads));
  TRY(put_baselines(reads));
  for (auto& read : reads) {
    auto& data = read.data;
    const auto id = known_id(data.id, read.measure);
    const auto [it, added] = known_.try_emplace(id);
    auto& known = it->second;
    if (added)
      known = {instance_name(*data.labels), std::string(data.labels->get("http_route")),
               cohort::answer_of(data, store_.failures().of(data.labels->get("service_name"))),
               seconds_per_unit(data), INT64_MIN};
    cohort::CountSeries series;
    series.id = grid_id(id, read.track);
    describe(series, read.track, read.measure, data.source, known);
    series.floats = std::move(data.floats);
    series.classic = std::move(data.classic);
    series.exponential = std::move(data.exponential);
    to_durations(series.exponential, known.seconds_per_unit);
    known.newest_ms = std::max({known.newest_ms, newest_of(series.floats),
                                newest_of(series.classic), newest_of(series.exponential)});
    if (data.source == Source::spans && !series.floats.empty()) {
      auto& newest = span_instances_[{read.track, series.instance}];
      newest = std::max(newest, series.floats.back().time_ms);
    }
    grid.add(series, read_time(data.source, now_ms));
  }
  followed_version_ = 0;
  if (now_ms == 0) return {}; // what came since is not read yet
  if (version != 0 && version == read_version_) {
    // No series was added or removed since the last read, so a list is worth making.
    TRY(follow(from_ms));
    followed_version_ = version;
  }
  read_version_ = version;
  for (std::size_t track = 0; track < arrived.size(); ++track)
    tracks_[track].arrivals = arrived[track];
  return {};
}

// Lists every series of both tracks, also those without samples so far. from_ms: the reading
// position of the latter.
Status StoreCountFeed::follow(std::int64_t from_ms) {
  for (const auto track : kBothTracks) {
    auto& followed = tracks_[place(track)];
    followed.series.clear();
    followed.positions.clear();
    for (const auto& family : kCountedFamilies) {
      auto request = request_for(track, family);
      request.all_series = true;
      TRY_ASSIGN(const auto found, store_.find(request));
      for (const auto& one : found) {
        const auto id = known_id(one.id, family.measure);
        const auto known = known_.find(id);
        const bool is_known = known != known_.end();
        const auto spans = is_known ? span_instances_.find({track, known->second.instance})
                                    : span_instances_.end();
        const bool of_spans = one.source == Source::spans && spans != span_instances_.end();
        followed.series.push_back({one.source, id, family.measure, is_known,
                                   of_spans ? &spans->second : nullptr,
                                   is_known ? known->second.seconds_per_unit : 0});
        followed.positions.push_back(
            {one.id, is_known ? std::max(known->second.newest_ms, from_ms - 1) : from_ms - 1});
      }
    }
  }
  return {};
}

class StoreCountFeedSource final : public cohort::CountFeedSource {
 public:
  explicit StoreCountFeedSource(const store::Store& store) : store_(store) {}
  cohort::CountFeedTraits traits() const override { return {.is_sent_to_us = true}; }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<StoreCountFeed>(store_, std::move(request));
  }

 private:
  const store::Store& store_;
};

} // namespace

std::unique_ptr<cohort::CountFeedSource> make_store_count_feed_source(const store::Store& store) {
  return std::make_unique<StoreCountFeedSource>(store);
}

} // namespace coalmine::datasource
