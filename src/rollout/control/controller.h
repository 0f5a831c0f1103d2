// The rollouts: started, stepped, rolled back, remembered. One control thread owns them all.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/ids.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "cohort/metric_source.h"
#include "judge/judge.h"
#include "net/http_client.h"
#include "rollout/kept_rollouts.h"
#include "rollout/rollout.h"
#include "rollout/seen_versions.h"
#include "rollout/spec.h"
#include "telemetry/track.h"

namespace coalmine::rollout {

struct StartRequest {
  std::string service;
  std::string canary_version; // "": the newest that reports, or the first one that will
  std::string stable_version; // "": likewise
  std::string actor = "cli";
};

using MakeRouter =
    std::function<Result<std::unique_ptr<route::Router>>(const route::RouterOptions&)>;

// Lets tests and simulations stand in for the world. make_router is called once a rollout; it and
// the routers must not use what ends with the controller's owner: a call that hangs outlives both.
struct ControllerDeps {
  const Clock& clock;
  const cohort::CohortSource& cohorts;
  MakeRouter make_router;
  net::HttpClient& http; // notifications
  SelfMetrics& metrics;
  // Called on an effect thread after every look; exports the seed's canary.analysis span. May be
  // empty.
  std::function<void(const RolloutStatus&, const judge::Judgement&)> on_look;
  // Where judges that weigh evidence get their cells, and the guard of the split its counts; null:
  // cells from cohorts and no guard, for tests.
  const cohort::CountFeedSource* feeds = nullptr;
  // Where the metrics of users are read; null: none, and specs that name some cannot be decided.
  const cohort::MetricSource* own_metrics = nullptr;
  // The versions that a track's telemetry has named, for a start that names none. May be empty.
  AskVersions versions{};
  // What the service's telemetry says against a rollout that begins now: sentences. May be empty.
  std::function<std::vector<std::string>(const RolloutSpec&)> telemetry_doubts{};
};

struct ControllerOptions {
  std::string journal_directory;          // its own; made when missing
  std::uint64_t reserve_bytes = 8u << 20; // kept free for the journal by a ballast file
  KeptRollouts kept{};
};

using StatusPointer = std::shared_ptr<const RolloutStatus>; // never null

class Controller {
 public:
  // Replays the journal, re-reads the routers of rollouts that were running, and goes on with them.
  static Result<std::unique_ptr<Controller>> open(ControllerOptions options, ControllerDeps deps,
                                                  std::vector<RolloutSpec> specs);
  virtual ~Controller() = default; // stops looking; weights stay as they are

  // All thread-safe. start: already_exists when the service has a running rollout; not_found when
  // no spec names the service; failed_precondition when its router lacks what the spec names or
  // gives the canary most of the traffic already, when both tracks are at one version, and when a
  // rollout of another service moves the same traffic. Asks the router, so it may take its timeout,
  // and route::longest_call_ms when the router hangs.
  // What is doubtful is in the log, kind "warning".
  virtual Result<RolloutId> start(const StartRequest& request) = 0;
  // promote: passes the current gate by hand (towards risk, so a reason is required). abort: weight
  // 0, phase aborted. abandon: ends at once, and the router is not asked again (a reason is
  // required). promote_full: to the last step at once (a reason). undo: gives the traffic of the
  // newest release of a service, promoted, back to stable; asks the router first.
  virtual Status command(RolloutId id, Command command, const std::string& actor,
                         const std::string& reason) = 0;
  // Newest first: all that run, and the newest that have ended (ControllerOptions::kept). They are
  // shared, so that a list costs no more than their number.
  virtual std::vector<StatusPointer> list() const = 0;
  virtual std::optional<RolloutStatus> get(RolloutId id) const = 0;
  virtual std::vector<RolloutSpec> specs() const = 0;

  // What keeps the rollouts' record or their notices from where they belong, now: sentences.
  virtual std::vector<std::string> troubles() const { return {}; }

  // Telemetry of this service has been stored: its rollouts look at it soon, instead of at their
  // next interval. Quick.
  virtual void arrived(const std::string& service) = 0;

  // on_change runs on the control thread after every change of any rollout; quick. Returns a
  // function that unsubscribes.
  virtual std::function<void()> subscribe(std::function<void(const RolloutStatus&)> on_change) = 0;

  // Before its end, and before what it asks is stopped: a source or a target that does not answer
  // from now on is no news. Rollbacks go on.
  virtual void prepare_stop() = 0;
};

} // namespace coalmine::rollout
