// The embedded store's side of count_feed.h.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <unordered_map>

#include "query/count_feed.h"
#include "query/series_matcher.h"

namespace coalmine::query {
namespace {

using store::SeriesData;

// How far before the origin the samples are looked for that counting begins at (as in cohorts.h). Older ones are looked up series
// by series, for series that are written only when something happens.
constexpr std::int64_t kBaselineLookbackMs = 10 * 60'000;
// Clocks ahead of ours by more are refused at the door.
constexpr std::int64_t kFutureMs = 10 * 60'000;
// Spans are in the store this long after they ended: one batch delay of the SDKs (5 s) and as much again for collectors, and a
// look.
constexpr std::int64_t kSpanDelayMs = 15'000;
// An instance whose spans stopped this long ago is not waited for, and says nothing more.
constexpr std::int64_t kSpanSilenceMs = 10 * 60'000;

struct Family {
  std::string_view name;
  Measure measure;
};
constexpr std::array kFamilies = {Family{store::kRequestsName, Measure::requests}, Family{store::kErrorsName, Measure::bad},
                                  Family{store::kDurationName, Measure::duration}};

std::string instance_name(const Labels& labels) {
  const auto version = labels.get("service_version");
  auto out = std::string(labels.get("instance"));
  if (!version.empty()) out += fmt::format("@{}", version);
  return out;
}

// One rollout's reading position. See CountFeed.
class StoreCountFeed final : public CountFeed {
 public:
  StoreCountFeed(const store::Store& store, CountFeedRequest request) : store_(store), request_(std::move(request)) {}
  Status read(CountGrid& grid, std::int64_t now_ms) override;

 private:
  struct Known {
    std::string instance;
    std::string route;
  };
  struct Read {
    Track track;
    Measure measure;
    SeriesData data;
  };
  Status select(const CohortSelector& cohort, Track track, std::int64_t from_ms, std::int64_t to_ms, std::vector<Read>& out);
  Status put_baselines(std::vector<Read>& reads);
  Status put_baseline(Read& read) const;
  void tell_spans(CountGrid& grid, std::int64_t now_ms) const;

  std::uint64_t arrivals() const;

  const store::Store& store_;
  const CountFeedRequest request_;
  bool begun_ = false;
  std::uint64_t read_arrivals_ = 0; // of the service when it was last read; 0: unknown
  std::unordered_map<std::uint64_t, Known> known_;
  std::map<std::pair<Track, std::string>, std::int64_t> span_instances_; // newest sample
};

Status StoreCountFeed::select(const CohortSelector& cohort, Track track, std::int64_t from_ms, std::int64_t to_ms,
                              std::vector<Read>& out) {
  for (const auto& matcher : cohort.matchers) {
    if (const auto problem = check_matcher(matcher)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("cohort selector {}=\"{}\": {}", matcher.name, matcher.value, *problem));
    }
  }
  store::SelectRequest request;
  request.matchers = cohort.matchers;
  request.matchers.push_back({std::string(kMetricName), Matcher::Op::equal, ""});
  request.from_ms = from_ms;
  request.to_ms = to_ms;
  request.choose_source = false; // the grid chooses, one for both tracks
  for (const auto& family : kFamilies) {
    request.matchers.back().value = family.name;
    TRY_ASSIGN(auto found, store_.select(request));
    for (auto& data : found) out.push_back({track, family.measure, std::move(data)});
  }
  return {};
}

// Puts the newest sample from before the reading range in front of a series that has none there, was begun long ago and is
// written only when something happens. Once for each series.
Status StoreCountFeed::put_baselines(std::vector<Read>& reads) {
  const auto horizon = request_.origin_ms - kBaselineLookbackMs;
  for (auto& read : reads) {
    if (known_.contains(read.data.id.value)) continue;
    const auto lacks = [&](const auto& samples) {
      if (samples.empty() || samples.front().time_ms <= request_.origin_ms) return false;
      const auto& first = samples.front();
      return first.start_ms == 0 || first.start_ms >= first.time_ms || first.start_ms < horizon;
    };
    if (lacks(read.data.floats) || lacks(read.data.classic)) TRY(put_baseline(read));
  }
  return {};
}

Status StoreCountFeed::put_baseline(Read& read) const {
  store::SelectRequest request;
  for (const auto [name, value] : *read.data.labels)
    request.matchers.push_back({std::string(name), Matcher::Op::equal, std::string(value)});
  request.from_ms = 0;
  request.to_ms = request_.origin_ms - kBaselineLookbackMs - 1;
  request.choose_source = false;
  TRY_ASSIGN(const auto past, store_.select(request));
  const auto it = std::ranges::find(past, read.data.id, &SeriesData::id);
  if (it == past.end()) return {};
  const auto float_at =
      std::find_if(it->floats.rbegin(), it->floats.rend(), [](const auto& s) { return std::isfinite(s.value); });
  if (float_at != it->floats.rend()) read.data.floats.insert(read.data.floats.begin(), *float_at);
  const auto classic_at = std::find_if(it->classic.rbegin(), it->classic.rend(), [](const auto& s) { return !s.stale; });
  if (classic_at != it->classic.rend()) read.data.classic.insert(read.data.classic.begin(), *classic_at);
  return {};
}

void StoreCountFeed::tell_spans(CountGrid& grid, std::int64_t now_ms) const {
  for (const auto& [key, newest_ms] : span_instances_) {
    if (newest_ms + kSpanSilenceMs < now_ms) continue;
    grid.add(InstanceSeen{key.first, store::Source::spans, key.second, now_ms - kSpanDelayMs});
  }
}

// Of the service that both tracks are of; 0 where they name none or two.
std::uint64_t StoreCountFeed::arrivals() const {
  const auto service = [](const CohortSelector& cohort) -> std::string_view {
    for (const auto& m : cohort.matchers) {
      if (m.name == "service_name" && m.op == Matcher::Op::equal) return m.value;
    }
    return {};
  };
  const auto canary = service(request_.canary), stable = service(request_.stable);
  return canary.empty() || canary != stable ? 0 : store_.arrivals(canary);
}

Status StoreCountFeed::read(CountGrid& grid, std::int64_t now_ms) {
  const auto arrived = arrivals(); // before the samples are read: what comes meanwhile is read again
  if (begun_ && arrived != 0 && arrived == read_arrivals_) {
    tell_spans(grid, now_ms);
    return {};
  }
  const auto from_ms = begun_ ? grid.needed_from_ms() : request_.origin_ms - kBaselineLookbackMs;
  std::vector<Read> reads;
  TRY(select(request_.canary, Track::canary, from_ms, now_ms + kFutureMs, reads));
  TRY(select(request_.stable, Track::stable, from_ms, now_ms + kFutureMs, reads));
  TRY(put_baselines(reads));
  for (auto& read : reads) {
    auto& data = read.data;
    const auto [it, added] = known_.try_emplace(data.id.value);
    if (added) it->second = {instance_name(*data.labels), std::string(data.labels->get("http_route"))};
    CountSeries series;
    series.id = data.id.value * 2 + static_cast<std::uint64_t>(read.track);
    series.track = read.track;
    series.measure = read.measure;
    series.source = data.source;
    series.instance = it->second.instance;
    series.route = it->second.route;
    series.floats = std::move(data.floats);
    series.classic = std::move(data.classic);
    if (data.source == store::Source::spans && !series.floats.empty()) {
      auto& newest = span_instances_[{read.track, series.instance}];
      newest = std::max(newest, series.floats.back().time_ms);
    }
    // Counts from spans are written at the time of the newest span of a batch: their age is no clock's.
    grid.add(series, data.source == store::Source::spans ? 0 : now_ms);
  }
  tell_spans(grid, now_ms);
  begun_ = true;
  read_arrivals_ = arrived;
  return {};
}

class StoreCountFeedSource final : public CountFeedSource {
 public:
  explicit StoreCountFeedSource(const store::Store& store) : store_(store) {}
  CountFeedTraits traits() const override { return {}; }
  std::unique_ptr<CountFeed> open(CountFeedRequest request) const override {
    return std::make_unique<StoreCountFeed>(store_, std::move(request));
  }

 private:
  const store::Store& store_;
};

} // namespace

std::unique_ptr<CountFeedSource> make_store_count_feed_source(const store::Store& store) {
  return std::make_unique<StoreCountFeedSource>(store);
}

} // namespace coalmine::query
