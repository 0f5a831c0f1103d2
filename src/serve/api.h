// Everything on :7070: own API under /v1/, Prometheus API under /api/v1/, /healthz, /readyz,
// /metrics, the page at /.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "base/clock.h"
#include "base/result.h"
#include "base/self_metrics.h"
#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "net/http_server.h"
#include "net/misdirected_senders.h"
#include "promql/panel.h"
#include "promql/queryable.h"
#include "rollout/control/controller.h"
#include "rollout/json.h"
#include "serve/finding.h"
#include "serve/holdings.h"
#include "trace/trace_source.h"

namespace coalmine {
class Executor;
}

namespace coalmine::serve {

struct Options {
  net::Endpoint listen{"127.0.0.1", 7070};
  // "": none; the server must then listen on loopback or run with --insecure.
  std::string operator_token;
  std::string viewer_token;
  std::string write_token; // lets its bearer send telemetry (POST /api/v1/write) and nothing else
  bool insecure = false;
  // Further names of this server that a Host header may carry (a proxy's).
  std::vector<std::string> host_names;
  std::vector<promql::Dashboard> dashboards;
  std::size_t query_threads = 2;
  std::int64_t query_timeout_ms = 30'000;
  std::string version;
};

struct Backup {
  std::string directory; // absolute
  std::size_t files = 0;
  std::uint64_t bytes = 0;
};

struct Deps {
  const Holdings& holdings;
  const trace::TraceSource& traces;
  const promql::Queryable& queryable;
  const cohort::CohortSource& cohorts;
  rollout::Controller& rollouts;
  const Clock& clock;
  SelfMetrics& metrics;
  // Called after every one-shot analysis (POST /v1/analyze); exports the seed's canary.analysis
  // span. May be empty.
  std::function<void(const rollout::VerdictContext&, const judge::Judgement&)> on_analysis;
  std::function<bool()> ready;
  // POST /api/v1/write (Prometheus remote write); any thread. May be empty: then there is no such
  // path.
  std::function<net::HttpResponse(const net::HttpRequest&)> remote_write{};
  Executor* query_helpers = nullptr; // share the work of heavy range queries; null: none
  std::size_t query_slices = 1;      // at most this many pieces
  const cohort::MetricSource* own_metrics = nullptr; // of users, for one-shot analyses
  // Cells for one-shot analyses by judges that weigh evidence. Null: made from cohorts.
  const cohort::CountFeedSource* feeds = nullptr;
  // Copies telemetry and journal to a directory of the server's machine (POST /v1/backup). Empty:
  // answered as unimplemented.
  std::function<Result<Backup>(const std::string& directory)> backup{};
  // Who sends telemetry where it cannot arrive; null: nobody is told, and none is shown.
  std::shared_ptr<net::MisdirectedSenders> misdirected = nullptr;
  // The versions of a track that telemetry has named. May be empty.
  rollout::AskVersions versions{};
  // What is right and what is wrong, of a service or of all (GET /v1/doctor). Empty: unimplemented.
  std::function<std::vector<Finding>(const std::string& service)> doctor{};
  // What a rollout of a spec does, in words (GET /v1/config). Empty: the words are left out.
  std::function<std::string(const rollout::RolloutSpec&)> explain{};
  // The spec of a service of which nothing is configured. Empty: nobody is told what are defaults.
  std::function<rollout::RolloutSpec(const std::string& service)> plain_spec{};
};

class Api {
 public:
  // failed_precondition: asked to listen beyond loopback without a token or --insecure.
  static Result<std::unique_ptr<Api>> start(Options options, Deps deps);
  virtual ~Api() = default;
  virtual net::Endpoint endpoint() const = 0;
};

} // namespace coalmine::serve
