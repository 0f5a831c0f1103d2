// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/silence.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/rfc3339.h"
#include "rollout/evidence/cohort_selector.h"

namespace coalmine::rollout {
namespace {

// Requests that an instance must have been sent before its silence says anything.
constexpr double kDueRequests = 10;

// Requests that the track reported under a version since a time; 0 too when the store is silent.
double requests_as(const LookRequest& request, const LookSources& sources, Track track,
                   const std::string& version, std::int64_t since_ms) {
  const auto counts = sources.cohorts.counts(cohort_selector(*request.spec, track, version),
                                             since_ms, request.look.to_ms);
  if (!counts) return 0;
  double out = 0;
  for (const auto& route : counts->routes) out += route.counts.requests;
  return out;
}

// Sets heard.other_version where the track reports under one that is not watched. Returns the
// requests that it reported so since since_ms.
double find_other_version(const LookRequest& request, const LookSources& sources, Track track,
                          std::int64_t since_ms, TrackHeard& heard) {
  const auto& watched = track == Track::canary ? request.canary_version : request.stable_version;
  if (watched.empty() || !sources.versions) return 0;
  const auto seen = sources.versions(*request.spec, track);
  const auto newest = seen ? newest_reporting(*seen) : std::string();
  if (newest.empty() || newest == watched) return 0;
  const auto requests = requests_as(request, sources, track, newest, since_ms);
  if (requests > 0) heard.other_version = newest;
  return requests;
}

// An instance's name without the version that the grid puts behind it.
std::string shown(const std::string& name) { return name.substr(0, name.find('@')); }

std::string silent_instances(const LookRequest& request, const EvidenceFeed& feed) {
  const auto found = feed.instances(Track::canary, request.spec->canary_silent_grace_ms);
  std::string names;
  std::size_t silent = 0;
  std::int64_t since_ms = INT64_MAX;
  for (const auto& one : found.silent) {
    const double share = 1 / static_cast<double>(std::max<std::size_t>(1, found.live));
    if (feed.requests_since(Track::canary, one.last_ms) * share < kDueRequests) continue;
    names += (names.empty() ? "" : ", ") + shown(one.name);
    since_ms = std::min(since_ms, one.last_ms);
    ++silent;
  }
  if (silent == 0) return "";
  return fmt::format(
      "{} of {} instances of the canary {} reported nothing since {} while the others report: {}",
      silent, found.most, silent == 1 ? "has" : "have", rfc3339_seconds(since_ms), names);
}

} // namespace

void add_silence(const LookRequest& request, const LookSources& sources, LookResult& out) {
  const auto& feed = *sources.feed;
  const auto canary = feed.progress(Track::canary);
  const auto stable = feed.progress(Track::stable);
  out.canary.heard_ms = canary.heard_ms;
  out.stable.heard_ms = stable.heard_ms;
  out.export_interval_ms = std::max(canary.interval_ms, stable.interval_ms);
  out.silent_since_ms =
      std::max({canary.heard_ms, stable.unbroken_since_ms, request.watched_from_ms});
  // A sampler may have kept nothing of a canary that serves: no request is known to be due.
  if (!feed.counts_sampled()) {
    out.stable_since = feed.requests_since(Track::stable, out.silent_since_ms);
    out.silent_instances = silent_instances(request, feed);
  }

  const auto& spec = *request.spec;
  const auto grace = grace_for(std::min(spec.canary_silent_grace_ms, spec.no_data_grace_ms),
                               out.export_interval_ms);
  if (request.look.to_ms - out.silent_since_ms >= grace && stable.heard_ms > out.silent_since_ms) {
    out.canary_other_requests =
        find_other_version(request, sources, Track::canary, out.silent_since_ms, out.canary);
  }
  const auto stable_since = std::max(stable.heard_ms, request.watched_from_ms);
  if (request.look.to_ms - stable_since >= grace)
    find_other_version(request, sources, Track::stable, stable_since, out.stable);
}

} // namespace coalmine::rollout
