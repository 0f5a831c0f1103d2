// SPDX-License-Identifier: Apache-2.0
#include "app/server.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>

#include "app/analysis_span.h"
#include "app/backup.h"
#include "app/doctor.h"
#include "app/store_questions.h"
#include "app/telemetry_doubts.h"
#include "app/track_versions.h"
#include "app/version.h"
#include "base/clock.h"
#include "base/executor.h"
#include "base/guarded.h"
#include "base/log.h"
#include "base/self_metrics.h"
#include "base/timer.h"
#include "cohort/cohorts.h"
#include "cohort/count_feed.h"
#include "datasource/own_source.h"
#include "datasource/prometheus.h"
#include "datasource/series_source.h"
#include "datasource/store_queryable.h"
#include "datasource/store_traces.h"
#include "net/http_client.h"
#include "receive/receiver.h"
#include "receive/remote_write.h"
#include "rollout/control/controller.h"
#include "rollout/evidence/cohort_selector.h"
#include "route/router.h"
#include "store/store.h"

namespace coalmine::app {
namespace {

// Pieces a heavy range query is cut into at most.
const std::size_t kSlices = std::clamp<std::size_t>(std::thread::hardware_concurrency(), 2, 4);

// What stores, targets and collectors have at the end to answer what they were asked.
constexpr std::chrono::milliseconds kStopGrace{300};

// Only loopback may be open to everybody, unless somebody said so. The API checks its own address.
Status check_exposure(const net::Endpoint& endpoint, std::string_view flag,
                      const ServerOptions& options) {
  if (endpoint.loopback() || options.insecure || !options.otlp_token.empty()) return {};
  return fail(
      ErrorCode::failed_precondition,
      fmt::format("{} {} is reachable from other machines and would accept telemetry from anybody\n"
                  "  Ask for a token:   server: {{ otlp_token: file:/path }} in the config file\n"
                  "  or stay local:     {} :{}\n"
                  "  or accept it:      --insecure",
                  flag, endpoint.to_string(), flag, endpoint.port));
}

Status make_directories(const std::string& directory) {
  std::error_code failure;
  std::filesystem::create_directories(std::filesystem::path(directory) / "journal", failure);
  if (!failure)
    std::filesystem::create_directories(std::filesystem::path(directory) / "telemetry", failure);
  if (!failure) return {};
  return fail(ErrorCode::failed_precondition,
              fmt::format("cannot make the data directory {}: {}\n  Choose another:   --data DIR",
                          directory, failure.message()));
}

// The embedded store as serve/ sees it. store outlives it.
class StoreHoldings final : public serve::Holdings {
 public:
  explicit StoreHoldings(const store::Store& store) : store_(store) {}
  std::vector<Presence> presence() const override { return store_.presence(); }
  std::vector<MetricMetadata> metadata() const override { return store_.metadata(); }
  StoreStats stats() const override { return store_.stats(); }

 private:
  const store::Store& store_;
};

// Members are in the order of construction; destruction is the reverse, so nothing outlives what it
// uses.
class RunningServer final : public Server {
 public:
  explicit RunningServer(ServerOptions options) : options_(std::move(options)) {}

  // Who does not answer is not waited for. Nobody is answered any more before anything is taken
  // down. Without the snapshot the next start takes longer, no more.
  ~RunningServer() override {
    ready_ = false;
    if (controller_) controller_->prepare_stop();
    http_->stop(kStopGrace);
    api_.reset();
    arrivals_.with([](rollout::Controller*& controller) { controller = nullptr; });
    controller_.reset();
    spans_http_->stop(kStopGrace);
    spans_.reset();
    receiver_.reset();
    maintenance_.reset();
    if (!store_) return;
    if (const auto done = store_->snapshot(); !done)
      log_warn("no snapshot could be taken", {{"reason", done.error().message}});
  }

  Status open() {
    TRY(check_exposure(options_.otlp_grpc, "--otlp-grpc", options_));
    TRY(check_exposure(options_.otlp_http, "--otlp-http", options_));
    TRY(make_directories(options_.data_directory));
    TRY(open_store());
    TRY(start_receiver());
    start_spans();
    TRY(open_controller());
    TRY(start_api());
    ready_ = true;
    return {};
  }

  net::Endpoint api_endpoint() const override { return api_->endpoint(); }
  net::Endpoint otlp_grpc_endpoint() const override { return receiver_->grpc_endpoint(); }
  net::Endpoint otlp_http_endpoint() const override { return receiver_->http_endpoint(); }

 private:
  std::string inside(std::string_view name) const {
    return (std::filesystem::path(options_.data_directory) / name).string();
  }

  Status open_store() {
    auto options = options_.store;
    options.directory = inside("telemetry");
    if (!options_.prometheus) {
      options.on_arrival = [this](const std::string& service) {
        arrivals_.with([&](rollout::Controller* controller) {
          if (controller != nullptr) controller->arrived(service);
        });
      };
    }
    TRY_ASSIGN(store_, store::Store::open(std::move(options), clock_, metrics_));
    holdings_.emplace(*store_);
    traces_ = datasource::make_store_trace_source(*store_);
    if (options_.prometheus) {
      TRY_ASSIGN(auto prometheus, datasource::make_prometheus(options_.prometheus->client, *http_));
      cohorts_ = datasource::make_series_cohort_source(*prometheus, options_.prometheus->names);
      feeds_ = datasource::make_series_count_feed_source(*prometheus, options_.prometheus->names);
      own_metrics_ = datasource::make_series_metric_source(*prometheus, *prometheus,
                                                           options_.prometheus->names);
      queryable_ = std::move(prometheus);
    } else {
      queryable_ = datasource::make_store_queryable(*store_);
      cohorts_ = datasource::make_own_cohort_source(*store_, *queryable_);
      feeds_ = datasource::make_own_count_feed_source(*store_, *queryable_);
      slices_.emplace(Executor::Options{
          .name = "query-slice", .threads = kSlices - 1, .queue_limit = 64, .nice = 5});
      expressions_ = promql::make_engine_expression_source(*queryable_, clock_);
      own_metrics_ = datasource::make_series_metric_source(*queryable_, *expressions_, {});
    }
    maintenance_.emplace(std::chrono::milliseconds(options_.maintain_interval_ms), [this] {
      if (const auto done = store_->maintain(); !done)
        log_warn("store maintenance failed", {{"reason", done.error().message}});
    });
    return {};
  }

  Status start_receiver() {
    receive::Options options;
    options.grpc = options_.otlp_grpc;
    options.http = options_.otlp_http;
    options.bearer_token = options_.otlp_token;
    options.misdirected = misdirected_;
    options.limits.promoted = PromotedAttributes(options_.promoted_attributes);
    remote_write_.emplace(options.limits, *store_, clock_, metrics_);
    TRY_ASSIGN(receiver_, receive::Receiver::start(std::move(options), *store_, clock_, metrics_));
    return {};
  }

  void start_spans() {
    const auto& endpoint = options_.telemetry_endpoint;
    if (endpoint == "off") return;
    auto target = endpoint == "self" ? make_store_target(*store_, clock_)
                                     : make_endpoint_target(endpoint, *spans_http_);
    spans_.emplace(AnalysisSpans::Options{.version = std::string(kVersion)}, std::move(target),
                   clock_, metrics_);
  }

  void record(const rollout::VerdictContext& context, const judge::Judgement& judgement) {
    if (spans_) spans_->record(context, judgement);
  }

  Status open_controller() {
    rollout::ControllerDeps deps{.clock = clock_,
                                 .cohorts = *cohorts_,
                                 .make_router = route::make_router,
                                 .http = *http_,
                                 .metrics = metrics_,
                                 .on_look = {},
                                 .feeds = feeds_.get(),
                                 .own_metrics = own_metrics_.get()};
    deps.on_look = [this](const rollout::RolloutStatus& status, const judge::Judgement& judgement) {
      record({.service = status.service,
              .canary_version = status.canary_version,
              .stable_version = status.stable_version,
              .from_ms = status.judged_from_ms,
              .to_ms = status.judged_ms},
             judgement);
    };
    deps.telemetry_doubts = doubts();
    deps.versions = versions();
    rollout::ControllerOptions options;
    options.journal_directory = inside("journal");
    TRY_ASSIGN(controller_, rollout::Controller::open(std::move(options), std::move(deps),
                                                      std::move(options_.specs)));
    arrivals_.with([&](rollout::Controller*& controller) { controller = controller_.get(); });
    return {};
  }

  rollout::AskVersions versions() {
    using Seen = std::optional<rollout::SeenVersions>;
    return [this](const rollout::RolloutSpec& spec, Track track) -> Seen {
      if (!options_.prometheus)
        return seen_versions(spec, track, store_->presence(), clock_.wall_ms());
      // What another store has was never seen here.
      return questions_
          .ask<Seen>([this, spec, track] {
            return seen_versions(spec, track, *cohorts_, clock_.wall_ms());
          })
          .value_or(std::nullopt);
    };
  }

  std::vector<serve::Finding> doctor(const std::string& service) {
    Examined on;
    on.listening = fmt::format("coalmine {} answers on {}, OTLP on {} (gRPC) and {} (HTTP)",
                               kVersion, options_.listen.to_string(),
                               otlp_grpc_endpoint().to_string(), otlp_http_endpoint().to_string());
    on.now_ms = clock_.wall_ms();
    std::error_code unknown;
    const auto space = std::filesystem::space(options_.data_directory, unknown);
    if (!unknown) on.disk_free_bytes = space.available;
    on.specs = controller_->specs();
    on.rollouts = controller_->list();
    on.presence = store_->presence();
    on.misdirected = misdirected_->list();
    on.make_router = route::make_router;
    on.troubles = controller_->troubles();
    on.cohorts = cohorts_.get();
    if (options_.prometheus) {
      on.ask_store = [this](const rollout::RolloutSpec& spec) -> Status {
        const auto now_ms = clock_.wall_ms();
        TRY(cohorts_->counts(rollout::cohort_selector(spec, Track::stable, ""), now_ms - 60'000,
                             now_ms));
        return {};
      };
    }
    on.versions = versions();
    on.telemetry_doubts = doubts();
    return examine(on, service);
  }

  std::function<std::vector<std::string>(const rollout::RolloutSpec&)> doubts() {
    return [this](const rollout::RolloutSpec& spec) {
      if (!options_.prometheus)
        return telemetry_doubts(spec, store_->presence(), *cohorts_, clock_.wall_ms());
      // What another store has was never seen here, so nobody knows how often it comes.
      return questions_
          .ask<std::vector<std::string>>(
              [this, spec] { return telemetry_doubts(spec, {}, *cohorts_, clock_.wall_ms()); })
          .value_or(std::vector<std::string>());
    };
  }

  Status start_api() {
    serve::Options options;
    options.listen = options_.listen;
    options.operator_token = options_.operator_token;
    options.viewer_token = options_.viewer_token;
    options.write_token = options_.otlp_token;
    options.insecure = options_.insecure;
    options.dashboards = std::move(options_.dashboards);
    options.version = std::string(kVersion);
    serve::Deps deps{.holdings = *holdings_,
                     .traces = *traces_,
                     .queryable = *queryable_,
                     .cohorts = *cohorts_,
                     .rollouts = *controller_,
                     .clock = clock_,
                     .metrics = metrics_,
                     .on_analysis = {},
                     .ready = {},
                     .remote_write = {},
                     .query_helpers = slices_ ? &*slices_ : nullptr,
                     .query_slices = kSlices,
                     .own_metrics = own_metrics_.get(),
                     .feeds = feeds_.get(),
                     .backup = {},
                     .misdirected = misdirected_};
    deps.versions = versions();
    deps.remote_write = [this](const net::HttpRequest& request) {
      return remote_write_->handle(request);
    };
    deps.on_analysis = [this](const rollout::VerdictContext& context,
                              const judge::Judgement& judgement) { record(context, judgement); };
    deps.ready = [this] { return ready_.load(); };
    deps.backup = [this](const std::string& to) {
      return backup(options_.data_directory, *store_, to);
    };
    deps.doctor = [this](const std::string& service) { return doctor(service); };
    deps.explain = config::explain_with_defaults;
    deps.plain_spec = config::plain_spec;
    TRY_ASSIGN(api_, serve::Api::start(std::move(options), std::move(deps)));
    return {};
  }

  ServerOptions options_;
  SystemClock clock_;
  SelfMetrics metrics_;
  std::shared_ptr<net::MisdirectedSenders> misdirected_ =
      std::make_shared<net::MisdirectedSenders>(clock_);
  std::unique_ptr<net::HttpClient> http_ = net::make_http_client();
  std::unique_ptr<net::HttpClient> spans_http_ = net::make_http_client(); // it stops later
  std::atomic<bool> ready_{false};
  Guarded<rollout::Controller*> arrivals_; // who is told of arrivals; null: nobody yet, or any more
  std::unique_ptr<store::Store> store_;
  std::optional<StoreHoldings> holdings_;
  std::unique_ptr<trace::TraceSource> traces_;
  std::optional<Executor> slices_; // of range queries on the embedded store; asking a remote one
                                   // twice would bring nothing
  std::unique_ptr<promql::Queryable> queryable_;
  std::unique_ptr<cohort::CohortSource> cohorts_;
  std::unique_ptr<cohort::CountFeedSource> feeds_;
  std::unique_ptr<promql::ExpressionSource> expressions_; // of the embedded store
  std::unique_ptr<cohort::MetricSource> own_metrics_;
  StoreQuestions questions_{clock_}; // to another store than our own
  std::optional<Timer> maintenance_;
  std::optional<receive::RemoteWrite> remote_write_;
  std::unique_ptr<receive::Receiver> receiver_;
  std::optional<AnalysisSpans> spans_;
  std::unique_ptr<rollout::Controller> controller_;
  std::unique_ptr<serve::Api> api_;
};

} // namespace

Result<std::unique_ptr<Server>> Server::start(ServerOptions options) {
  auto server = std::make_unique<RunningServer>(std::move(options));
  TRY(server->open());
  return server;
}

} // namespace coalmine::app
