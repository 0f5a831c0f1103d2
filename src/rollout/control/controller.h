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
#include "rollout/spec.h"

namespace coalmine::rollout {

enum class Phase {
  progressing,  // moving to or watching a step
  paused,       // weight held, waiting for a person
  rolling_back, // router is being set to 0
  promoted,
  rolled_back,
  aborted, // terminal
};
std::string_view to_string(Phase phase);
bool is_terminal(Phase phase);

// One line of the journal as people read it.
struct LogEntry {
  std::uint64_t sequence = 0;
  std::int64_t time_ms = 0;
  std::string kind;  // started step weight_set look pause resume promote abort rollback promoted
                     // rolled_back notify router_error …
  std::string text;  // one sentence
  std::string actor; // "coalmine", or who asked
};

struct StepState {
  StepSpec spec;
  std::int64_t started_ms = 0; // when its weight was confirmed; 0: not yet
  std::int64_t ended_ms = 0;
  std::string outcome; // "", "passed", "failed", "skipped"
};

// A snapshot for pages, the CLI and JSON. A plain value.
struct RolloutStatus {
  RolloutId id;
  std::string service;
  std::string canary_version;
  std::string stable_version;
  Phase phase = Phase::progressing;
  std::size_t step = 0;
  std::vector<StepState> steps;
  double weight_asked = 0;
  std::optional<double> weight_applied; // read back; empty: unknown
  std::optional<double> observed_split; // canary share of requests in the step, from telemetry
  std::int64_t observed_valid_ms = 0;   // analysis time accumulated in this step
  std::shared_ptr<const judge::Judgement> judgement; // the newest look; null: none
  std::string reason;                                // the one sentence
  std::int64_t started_ms = 0;
  std::int64_t ended_ms = 0;
  double time_to_rollback_ms = 0; // from decision to weight 0 read back
  std::vector<LogEntry> log;
  std::string actor;
  std::int64_t judged_from_ms = 0; // window of judgement; 0: no look yet
  std::int64_t judged_ms = 0;
};

struct StartRequest {
  std::string service;
  std::string canary_version; // "": the newest version the canary selector has sent
  std::string stable_version; // "": likewise
  std::string actor = "cli";
};

enum class Command { pause, resume, promote, abort };

// Lets tests and simulations stand in for the world. make_router is called once a rollout.
struct ControllerDeps {
  const Clock& clock;
  const cohort::CohortSource& cohorts;
  std::function<Result<std::unique_ptr<route::Router>>(const RouterSpec&)> make_router;
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
  // The newest version that the track's telemetry has named, for a start without versions; "" when
  // none. May be empty.
  std::function<std::string(const RolloutSpec&, bool canary)> newest_version;
};

struct ControllerOptions {
  std::string journal_directory;          // its own; made when missing
  std::uint64_t reserve_bytes = 8u << 20; // kept free for the journal by a ballast file
};

class Controller {
 public:
  // Replays the journal, re-reads the routers of rollouts that were running, and goes on with them.
  static Result<std::unique_ptr<Controller>> open(ControllerOptions options, ControllerDeps deps,
                                                  std::vector<RolloutSpec> specs);
  virtual ~Controller() = default; // stops looking; weights stay as they are

  // All thread-safe. start: already_exists when the service has a running rollout; not_found when
  // no spec names the service.
  virtual Result<RolloutId> start(const StartRequest& request) = 0;
  // promote: passes the current gate by hand (towards risk, so a reason is required). abort: weight
  // 0, phase aborted.
  virtual Status command(RolloutId id, Command command, const std::string& actor,
                         const std::string& reason) = 0;
  virtual std::vector<RolloutStatus> list() const = 0; // newest first, logs left out
  virtual std::optional<RolloutStatus> get(RolloutId id) const = 0;
  virtual std::vector<RolloutSpec> specs() const = 0;

  // Telemetry of this service has been stored: its rollouts look at it soon, instead of at their
  // next interval. Quick.
  virtual void arrived(const std::string& service) = 0;

  // on_change runs on the control thread after every change of any rollout; quick. Returns a
  // function that unsubscribes.
  virtual std::function<void()> subscribe(std::function<void(const RolloutStatus&)> on_change) = 0;
};

} // namespace coalmine::rollout
