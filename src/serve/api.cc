// SPDX-License-Identifier: Apache-2.0
#include "serve/api.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/executor.h"
#include "serve/answer.h"
#include "serve/dispatch.h"
#include "serve/events.h"
#include "serve/query_clock.h"
#include "serve/rollout_metrics.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kMaxBody = 4u << 20;
constexpr std::size_t kQueryQueue = 64;
constexpr int kQueryNice = 5; // telemetry that comes in and the judge go first
constexpr std::size_t kQuickQueue = 512;
// A start waits for its router; one that hangs makes room for others.
constexpr std::size_t kMostStarts = 32;
// A command may wait ten seconds for the journal.
constexpr std::size_t kCommandThreads = 4;
constexpr std::size_t kIngestThreads = 1; // the store has one writer
constexpr std::size_t kIngestQueue = 64;
constexpr std::size_t kQuickThreads = 2;
constexpr std::size_t kSearchThreads = 1;
constexpr std::size_t kAnalysisThreads = 2;
constexpr std::size_t kBackupQueue = 4;

// Made and destroyed by one thread; serve runs on the listener's. Destruction ends the streams,
// then the listener, then the pools with their running tasks, then the parts that those use.
class ApiServer final : public Api {
 public:
  ApiServer(Options options, Deps deps)
      : options_(std::move(options)),
        clock_(deps.clock),
        deps_{.holdings = deps.holdings,
              .traces = deps.traces,
              .queryable = deps.queryable,
              .cohorts = deps.cohorts,
              .rollouts = deps.rollouts,
              .clock = clock_,
              .metrics = deps.metrics,
              .on_analysis = std::move(deps.on_analysis),
              .ready = std::move(deps.ready),
              .remote_write = std::move(deps.remote_write),
              .query_helpers = deps.query_helpers,
              .query_slices = deps.query_slices,
              .own_metrics = deps.own_metrics,
              .feeds = deps.feeds,
              .backup = std::move(deps.backup),
              .misdirected = std::move(deps.misdirected),
              .versions = std::move(deps.versions),
              .doctor = std::move(deps.doctor),
              .explain = std::move(deps.explain)},
        dispatch_(options_, deps_, options_.listen),
        events_(deps_.rollouts, {}),
        queries_({.name = "query",
                  .threads = std::max<std::size_t>(1, options_.query_threads),
                  .queue_limit = kQueryQueue,
                  .nice = kQueryNice}),
        searches_({.name = "search",
                   .threads = kSearchThreads,
                   .queue_limit = kQueryQueue,
                   .nice = kQueryNice}),
        analyses_({.name = "analysis", .threads = kAnalysisThreads, .queue_limit = kQueryQueue}),
        backups_({.name = "backup", .threads = 1, .queue_limit = kBackupQueue, .nice = kQueryNice}),
        starts_({.name = "start",
                 .threads = kCommandThreads,
                 .queue_limit = kQuickQueue,
                 .most_threads = kMostStarts}),
        commands_({.name = "command", .threads = kCommandThreads, .queue_limit = kQuickQueue}),
        ingest_({.name = "write", .threads = kIngestThreads, .queue_limit = kIngestQueue}),
        quick_({.name = "api", .threads = kQuickThreads, .queue_limit = kQuickQueue}) {}

  ~ApiServer() override {
    clock_.stop();
    events_.close();
  }

  Status listen() {
    net::HttpServer::Options options{
        .listen = options_.listen, .max_body = kMaxBody, .name = "api"};
    options.misdirected = deps_.misdirected;
    options.error_body = [](int status, const std::string& message) {
      auto answer = error_answer(status, message);
      harden(answer);
      return answer;
    };
    TRY_ASSIGN(server_,
               net::HttpServer::start(
                   std::move(options),
                   [this](net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
                     serve(std::move(request), std::move(responder));
                   },
                   deps_.metrics));
    return {};
  }
  net::Endpoint endpoint() const override { return server_->endpoint(); }

 private:
  // A waiting request. Shared, because a full queue drops the task, and the client still wants an
  // answer.
  struct Call {
    net::HttpRequest request;
    std::unique_ptr<net::Responder> responder;
    std::int64_t arrived_ms = 0;
  };

  void serve(net::HttpRequest request, std::unique_ptr<net::Responder> responder);
  void answer(Call& call) const;
  Executor& pool(Lane lane);

  const Options options_;
  QueryClock clock_;
  const Deps deps_;
  const Dispatch dispatch_;
  EventStreams events_;
  Executor queries_;
  Executor searches_;
  Executor analyses_;
  Executor backups_;
  Executor starts_;
  Executor commands_;
  Executor ingest_;
  Executor quick_;
  std::unique_ptr<net::HttpServer> server_;
};

Executor& ApiServer::pool(Lane lane) {
  switch (lane) {
    case Lane::query: return queries_;
    case Lane::search: return searches_;
    case Lane::analysis: return analyses_;
    case Lane::backup: return backups_;
    case Lane::start: return starts_;
    case Lane::command: return commands_;
    case Lane::ingest: return ingest_;
    case Lane::quick: return quick_;
  }
  return quick_;
}

// On the listener's I/O thread: only hands over.
void ApiServer::serve(net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
  const bool stream = request.path == "/v1/events" && request.method == "GET";
  auto& pool = this->pool(stream ? Lane::quick : dispatch_.lane(request));
  auto call = std::make_shared<Call>(std::move(request), std::move(responder), clock_.steady_ms());
  const bool accepted = pool.try_submit([this, call, stream] {
    if (!stream) return answer(*call);
    if (auto refused = dispatch_.refusal(call->request))
      return call->responder->send(std::move(*refused));
    events_.open(std::move(call->responder));
  });
  if (!accepted)
    call->responder->send(
        dispatch_.busy(call->request, "too many requests are waiting; try again in a second"));
}

void ApiServer::answer(Call& call) const {
  if (clock_.stopped())
    return call.responder->send(dispatch_.busy(call.request, "the server is stopping"));
  if (clock_.steady_ms() - call.arrived_ms > options_.query_timeout_ms) {
    // Its client has given up, most likely; those behind it have not yet.
    return call.responder->send(dispatch_.busy(
        call.request, fmt::format("the request waited longer than {} s for its turn; try again",
                                  options_.query_timeout_ms / 1000)));
  }
  call.responder->send(dispatch_.handle(call.request));
}

} // namespace

Result<std::unique_ptr<Api>> Api::start(Options options, Deps deps) {
  TRY(check_listen(options));
  register_rollout_metrics(deps.metrics, deps.rollouts);
  deps.metrics.family(
      "coalmine_build_info", "The version of this server.", "gauge", [version = options.version] {
        return std::vector<std::pair<MetricLabels, double>>{{{{"version", version}}, 1.0}};
      });
  auto server = std::make_unique<ApiServer>(std::move(options), std::move(deps));
  TRY(server->listen());
  return server;
}

} // namespace coalmine::serve
