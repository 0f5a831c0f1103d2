// SPDX-License-Identifier: Apache-2.0
#include "lab/pods.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "cohort/durations.h"

namespace coalmine::lab {
namespace {

constexpr double kNoEvent = std::numeric_limits<double>::infinity();
constexpr double kMsPerSecond = 1000;
constexpr double kSecondsPerMinute = 60;

double gap_of_mean(SimulationRandom& random, double mean) {
  return -mean * std::log(random.uniform());
}

// Of mean 1.
double gamma_factor(SimulationRandom& random, double cv) {
  return cv > 0 ? random.gamma(1 / (cv * cv)) * cv * cv : 1;
}
double lognormal_factor(SimulationRandom& random, double cv) {
  const double variance = std::log1p(cv * cv);
  return cv > 0 ? std::exp(std::sqrt(variance) * random.normal() - variance / 2) : 1;
}

} // namespace

struct SimulatedPods::Pod {
  // The stretch that is on, or the next one.
  struct Stretch {
    double from_s = kNoEvent;
    double to_s = kNoEvent;
    bool is_on(double at_s) const { return at_s >= from_s && at_s < to_s; }
    double next(double at_s) const { return at_s < from_s ? from_s : to_s; }
  };
  Track track = Track::stable;
  std::string name{};
  // What happens to the pod does not depend on what it serves.
  SimulationRandom events;
  SimulationRandom requests;
  double error_factor = 1; // these two for ever
  double latency_factor = 1;
  double rps = 0; // these three until the split changes
  double user_error_factor = 1;
  int bots = 0;
  Stretch pause{};
  Stretch slow{};
  double drift = 1;
  double drift_until_s = kNoEvent;
  double burst_s = kNoEvent;
  double restart_s = kNoEvent;
  int restarts = 0;
  double born_s = -kNoEvent;
  double warm_until_s = -kNoEvent;
};

// One process in the cell that is being made.
struct SimulatedPods::Process {
  InstanceCounts counts;
  std::vector<InstancePart> routes; // of every route
};

struct SimulatedPods::Draft {
  double from_s = 0;
  std::vector<RouteCounts> rows; // without routes: the total
  std::vector<Process> processes;

  void count(Track track, std::size_t route, double requests, double errors,
             const BucketSampler& latency, SimulationRandom& random) {
    auto& process = processes.back();
    auto& row = rows[route].of(track);
    row.requests += requests;
    row.errors += errors;
    process.counts.requests += requests;
    process.counts.errors += errors;
    process.routes[route].requests += requests;
    process.routes[route].errors += errors;
    if (process.counts.warming) {
      row.warming_requests += requests;
      row.warming_errors += errors;
      return;
    }
    row.timed += requests;
    for (double i = 0; i < requests; ++i) {
      const auto bucket = latency.draw(random);
      row.bucket_counts[bucket] += 1;
      process.counts.bucket_counts[bucket] += 1;
    }
  }
};

// The state of a pod in a stretch in which it does not change.
struct SimulatedPods::Segment {
  double error_rate = 0;
  double latency_factor = 1;
  double change = 0; // how much of the canary's difference is there
};

SimulatedPods::SimulatedPods(PodModel model, CanaryChange change, std::uint64_t seed)
    : model_(std::move(model)), change_(change), random_(seed) {
  static const auto otel = std::make_shared<const std::vector<double>>(kOtelBoundsMs);
  if (model_.bounds_ms == nullptr) model_.bounds_ms = otel;
  add_pods(Track::stable, model_.stable_pods);
  add_users();
  split(0);
}

SimulatedPods::~SimulatedPods() = default;

double SimulatedPods::minute() const {
  return canary_from_s_ ? (now_s_ - *canary_from_s_) / kSecondsPerMinute : 0;
}

void SimulatedPods::add_pods(Track track, int count) {
  const bool canary = track == Track::canary;
  for (int i = 1; i <= count; ++i) {
    Pod pod{.track = track,
            .name = fmt::format("{}-{:02}", canary ? "canary" : "stable", i),
            .events = SimulationRandom(random_.next()),
            .requests = SimulationRandom(random_.next())};
    auto& random = pod.events;
    pod.error_factor = gamma_factor(random, model_.lasting.error_cv);
    pod.latency_factor = lognormal_factor(random, model_.lasting.latency_cv) *
                         (canary ? model_.lasting.canary_latency_factor : 1);
    if (model_.pauses.seconds > 0) {
      pod.pause.from_s = now_s_ + gap_of_mean(random, model_.pauses.every_seconds);
      pod.pause.to_s = pod.pause.from_s + model_.pauses.seconds;
    }
    if (model_.slow_minutes.every_minutes > 0) {
      pod.slow.from_s =
          now_s_ + gap_of_mean(random, model_.slow_minutes.every_minutes * kSecondsPerMinute);
      pod.slow.to_s = pod.slow.from_s + kSecondsPerMinute;
    }
    if (model_.error_drift.cv > 0) {
      pod.drift = gamma_factor(random, model_.error_drift.cv);
      pod.drift_until_s =
          now_s_ + random.uniform() * model_.error_drift.minutes * kSecondsPerMinute;
    }
    if (model_.bursts.errors > 0)
      pod.burst_s = now_s_ + gap_of_mean(random, model_.bursts.every_minutes * kSecondsPerMinute);
    if (canary) {
      begin_process(pod, now_s_);
      if (model_.canary_restarts_seconds > 0)
        pod.restart_s = now_s_ + random.uniform() * model_.canary_restarts_seconds;
    }
    pods_.push_back(std::move(pod));
  }
}

void SimulatedPods::add_users() {
  const auto placed = [&] {
    return User{.track_place = random_.uniform(), .pod_place = random_.uniform()};
  };
  double shares = 0, errors = 0;
  for (int i = 1; i <= model_.sticky_users.users; ++i) {
    auto& user = users_.emplace_back(placed());
    user.share = 1.0 / i;
    user.error_factor = gamma_factor(random_, model_.sticky_users.error_cv);
    shares += user.share;
    errors += user.share * user.error_factor;
  }
  for (auto& user : users_) {
    user.share /= shares;
    user.error_factor *= shares / errors; // all together fail as often as asked
  }
  for (int i = 0; i < model_.bots.bots; ++i) bots_.push_back(placed());
}

SimulatedPods::Pod& SimulatedPods::pod_of(const User& user, double canary_weight) {
  const bool canary = user.track_place < canary_weight;
  const int count = canary ? model_.canary_pods : model_.stable_pods;
  const auto at = static_cast<std::size_t>(user.pod_place * count);
  return pods_[at + (canary ? static_cast<std::size_t>(model_.stable_pods) : 0)];
}

// A step begins: the tracks' requests are given to their pods.
void SimulatedPods::split(double canary_weight) {
  weight_ = canary_weight;
  warm_until_s_.reset();
  if (canary_weight > 0 && !canary_from_s_) {
    canary_from_s_ = now_s_;
    add_pods(Track::canary, model_.canary_pods);
  }
  for (auto& pod : pods_) {
    pod.bots = 0;
    pod.user_error_factor = 1;
    pod.rps = pod.track == Track::canary ? model_.rps * canary_weight / model_.canary_pods
                                         : model_.rps * (1 - canary_weight) / model_.stable_pods;
    if (!users_.empty()) pod.rps = pod.user_error_factor = 0;
  }
  for (const auto& user : users_) {
    auto& pod = pod_of(user, canary_weight);
    pod.rps += user.share * model_.rps;
    pod.user_error_factor += user.share * model_.rps * user.error_factor;
  }
  for (auto& pod : pods_) {
    if (!users_.empty() && pod.rps > 0) pod.user_error_factor /= pod.rps;
  }
  for (const auto& bot : bots_) ++pod_of(bot, canary_weight).bots;
}

void SimulatedPods::begin_process(Pod& pod, double at_s) {
  pod.born_s = at_s;
  if (!(model_.warm_up.seconds > 0)) return;
  if (!warm_until_s_) warm_until_s_ = at_s + model_.warm_up.seconds;
  pod.warm_until_s = *warm_until_s_;
}

void SimulatedPods::open(const Pod& pod, Draft& draft) const {
  Process process;
  process.counts.instance =
      pod.restarts > 0 ? fmt::format("{}-{:04}", pod.name, pod.restarts) : pod.name;
  process.counts.track = pod.track;
  process.counts.warming = draft.from_s < pod.warm_until_s;
  process.counts.bucket_counts.assign(model_.bounds_ms->size() + 1, 0);
  process.routes.resize(draft.rows.size());
  draft.processes.push_back(std::move(process));
}

void SimulatedPods::serve(Pod& pod, Draft& draft, double from_s, double to_s) {
  open(pod, draft);
  double at = from_s;
  while (at < to_s) {
    const double end = std::min(to_s, next_event(pod, at));
    if (!pod.pause.is_on(at)) take(pod, draft, segment(pod, at), end - at, 0);
    pass_events(pod, draft, end);
    at = end;
  }
}

double SimulatedPods::next_event(const Pod& pod, double at_s) const {
  const double onset = canary_from_s_.value_or(kNoEvent) + change_.from_minute * kSecondsPerMinute;
  const double warm = pod.born_s + model_.warm_up.seconds;
  return std::min({pod.pause.next(at_s), pod.slow.next(at_s), pod.drift_until_s, pod.burst_s,
                   pod.restart_s, onset > at_s ? onset : kNoEvent, warm > at_s ? warm : kNoEvent});
}

void SimulatedPods::pass_events(Pod& pod, Draft& draft, double at_s) {
  auto& random = pod.events;
  if (at_s >= pod.pause.to_s) {
    // Requests that came in a pause end with it, all at once, in the cell of its end.
    const auto& [seconds, every] = model_.pauses;
    take(pod, draft, segment(pod, at_s), seconds, seconds * kMsPerSecond);
    pod.pause.from_s = at_s + gap_of_mean(random, std::max(0.0, every - seconds));
    pod.pause.to_s = pod.pause.from_s + seconds;
  }
  if (at_s >= pod.slow.to_s) {
    const double gap = std::max(0.0, model_.slow_minutes.every_minutes - 1) * kSecondsPerMinute;
    pod.slow.from_s = at_s + gap_of_mean(random, gap);
    pod.slow.to_s = pod.slow.from_s + kSecondsPerMinute;
  }
  if (at_s >= pod.drift_until_s) {
    pod.drift = gamma_factor(random, model_.error_drift.cv);
    pod.drift_until_s = at_s + model_.error_drift.minutes * kSecondsPerMinute;
  }
  if (at_s >= pod.burst_s) {
    const auto route =
        static_cast<std::size_t>(pod.requests.uniform() * static_cast<double>(draft.rows.size()));
    draft.count(pod.track, route, model_.bursts.errors, model_.bursts.errors,
                latency(segment(pod, at_s), false, 0), pod.requests);
    pod.burst_s = at_s + gap_of_mean(random, model_.bursts.every_minutes * kSecondsPerMinute);
  }
  if (at_s >= pod.restart_s) {
    pod.restart_s = at_s + model_.canary_restarts_seconds;
    ++pod.restarts;
    begin_process(pod, at_s);
    open(pod, draft);
  }
}

SimulatedPods::Segment SimulatedPods::segment(const Pod& pod, double at_s) const {
  Segment out;
  out.error_rate = model_.error_rate * pod.error_factor * pod.user_error_factor * pod.drift;
  if (at_s < pod.born_s + model_.warm_up.seconds) out.error_rate += model_.warm_up.errors_added;
  out.latency_factor = pod.latency_factor;
  if (pod.slow.is_on(at_s)) out.latency_factor *= model_.slow_minutes.factor;
  if (pod.track == Track::canary) {
    const double minutes = (at_s - *canary_from_s_) / kSecondsPerMinute - change_.from_minute;
    const double ramp = change_.ramp_minutes;
    if (minutes >= 0) out.change = ramp > 0 ? std::min(1.0, minutes / ramp) : 1;
  }
  return out;
}

void SimulatedPods::take(Pod& pod, Draft& draft, const Segment& segment, double seconds,
                         double pause_ms) {
  const auto& plain = latency(segment, false, pause_ms);
  const auto& changed = latency(segment, true, pause_ms);
  const double users =
      pod.rps * seconds / model_.requests_a_user / static_cast<double>(draft.rows.size());
  for (std::size_t i = 0; i < draft.rows.size(); ++i) {
    const bool worse = change_.only_route < 0 || static_cast<std::size_t>(change_.only_route) == i;
    const double added = worse ? change_.error_rate_added * segment.change : 0;
    const double requests = model_.requests_a_user * pod.requests.poisson(users);
    const double errors =
        pod.requests.binomial(requests, std::clamp(segment.error_rate + added, 0.0, 1.0));
    draft.count(pod.track, i, requests, errors, worse ? changed : plain, pod.requests);
  }
  if (pod.bots == 0) return;
  const double requests = pod.requests.poisson(pod.bots * model_.bots.rps * seconds);
  draft.count(pod.track, 0, requests, pod.requests.binomial(requests, model_.bots.error_rate),
              plain, pod.requests);
}

const BucketSampler& SimulatedPods::latency(const Segment& segment, bool changed, double pause_ms) {
  LatencyShape shape{.median_ms = model_.median_ms,
                     .sigma = model_.sigma,
                     .factor = segment.latency_factor,
                     .pause_ms = pause_ms};
  if (changed && segment.change > 0) {
    shape.factor *= 1 + (change_.latency_factor - 1) * segment.change;
    shape.slow_share = change_.slow_share * segment.change;
    shape.slow_factor = change_.slow_factor;
  }
  const auto known = samplers_.find(shape);
  if (known != samplers_.end()) return known->second;
  return samplers_.emplace(shape, BucketSampler(latency_shares(shape, *model_.bounds_ms)))
      .first->second;
}

CountCell SimulatedPods::next(double canary_weight) {
  if (canary_weight != weight_) split(canary_weight);
  Draft draft;
  draft.from_s = now_s_;
  draft.rows.resize(static_cast<std::size_t>(std::max(1, model_.routes)));
  for (std::size_t i = 0; i < draft.rows.size(); ++i) {
    auto& row = draft.rows[i];
    if (model_.routes > 0) row.route = fmt::format("/r{}", i);
    row.share_bounds(model_.bounds_ms);
    for (const auto track : kBothTracks)
      row.of(track).bucket_counts.assign(model_.bounds_ms->size() + 1, 0);
  }
  const double to = now_s_ + model_.cell_seconds;
  for (auto& pod : pods_) serve(pod, draft, now_s_, to);
  auto cell = finish(draft);
  cell.from_ms = std::llround(now_s_ * kMsPerSecond);
  cell.to_ms = std::llround(to * kMsPerSecond);
  now_s_ = to;
  return cell;
}

// The details of processes as the common grid gives them: of tracks that have several alone.
CountCell SimulatedPods::finish(Draft& draft) {
  CountCell cell;
  cell.baseline = !(weight_ > 0);
  cell.weight = weight_;
  std::erase_if(draft.processes, [](const Process& p) { return !(p.counts.requests > 0); });
  std::array<int, kBothTracks.size()> of_track{};
  for (const auto& p : draft.processes) ++of_track[static_cast<std::size_t>(p.counts.track)];
  for (std::size_t i = 0; i < draft.processes.size(); ++i) {
    auto& [counts, routes] = draft.processes[i];
    const bool detailed = of_track[static_cast<std::size_t>(counts.track)] > 1 && !counts.warming;
    for (std::size_t r = 0; detailed && model_.routes > 0 && r < routes.size(); ++r) {
      if (!(routes[r].requests > 0)) continue;
      routes[r].instance = static_cast<std::uint32_t>(i);
      draft.rows[r].parts.push_back(routes[r]);
    }
    if (!detailed) counts.bucket_counts.clear();
    cell.instances.push_back(std::move(counts));
  }
  cell.total.share_bounds(model_.bounds_ms);
  for (auto& row : draft.rows) {
    for (const auto track : kBothTracks) {
      auto& to = cell.total.of(track);
      auto& from = row.of(track);
      to.add_requests(from);
      to.timed += from.timed;
      if (!(from.timed > 0))
        from.bucket_counts.clear();
      else
        cohort::add_rebinned(model_.bounds_ms, from.bucket_counts, model_.bounds_ms,
                             to.bucket_counts);
    }
    if (model_.routes > 0) cell.routes.push_back(std::move(row));
  }
  cell.warming = cell.total.canary.warming_requests > 0;
  if (model_.own_ratio.rate > 0) cell.metrics.push_back(own_ratio());
  return cell;
}

MetricNumbers SimulatedPods::own_ratio() {
  const auto& [rate, clump, of_requests] = model_.own_ratio;
  MetricNumbers out;
  out.signal = "own";
  const auto draw = [&](double share) {
    const double count = random_.poisson(model_.rps * model_.cell_seconds * of_requests * share);
    const double bad = clump * random_.poisson(count * rate / clump);
    return MetricTrack{share > 0, std::min(count, bad), count};
  };
  out.stable = draw(1 - weight_);
  out.canary = draw(weight_);
  return out;
}

std::vector<CountCell> SimulatedPods::baseline() {
  std::vector<CountCell> out;
  const double cells = model_.baseline_minutes * kSecondsPerMinute / model_.cell_seconds;
  for (double i = 0; i < cells; ++i) out.push_back(next(0));
  return out;
}

} // namespace coalmine::lab
