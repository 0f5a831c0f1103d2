// SPDX-License-Identifier: Apache-2.0
#include "serve/api.h"

#include "base/executor.h"
#include "serve/dispatch.h"
#include "serve/events.h"
#include "serve/rollout_metrics.h"

namespace coalmine::serve {
namespace {

net::HttpResponse busy() {
  auto response = error_response({ErrorCode::unavailable, "too many requests are waiting; try again in a second"});
  response.headers.emplace_back("Retry-After", "1");
  return response;
}

// Members are destroyed in reverse: the listener first, then the pools with what they still run, then what they use.
class ApiServer final : public Api {
 public:
  ApiServer(Options options, Deps deps)
      : options_(std::move(options)), deps_(std::move(deps)), events_(deps_.rollouts),
        // Queries have threads of their own, so that a heavy one cannot keep a command waiting.
        queries_({.name = "query", .threads = options_.query_threads, .queue_limit = 256}), others_({.name = "api", .threads = 1, .queue_limit = 1024}) {}

  Status listen() {
    TRY_ASSIGN(server_, net::HttpServer::start({.listen = options_.listen, .max_body = 4u << 20, .name = "api", .error_body = nullptr},
                                               [this](net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
                                                 serve(std::move(request), std::move(responder));
                                               },
                                               deps_.metrics));
    return {};
  }
  net::Endpoint endpoint() const override { return server_->endpoint(); }

 private:
  void serve(net::HttpRequest request, std::unique_ptr<net::Responder> responder);

  const Options options_;
  const Deps deps_;
  EventStreams events_;
  const Dispatch dispatch_{options_, deps_, options_.listen};
  Executor queries_;
  Executor others_;
  std::unique_ptr<net::HttpServer> server_;
};

// On the listener's I/O thread: only hands over.
void ApiServer::serve(net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
  if (request.path == "/v1/events" && request.method == "GET") {
    if (auto refused = dispatch_.refusal(request)) return responder->send(std::move(*refused));
    return events_.open(std::move(responder));
  }
  // Shared, because a full queue drops the task, and the client still wants an answer.
  auto shared = std::make_shared<std::unique_ptr<net::Responder>>(std::move(responder));
  auto& pool = is_query(request) ? queries_ : others_;
  const bool accepted = pool.try_submit([this, request = std::move(request), shared] { (*shared)->send(dispatch_.handle(request)); });
  if (!accepted) (*shared)->send(busy());
}

} // namespace

Result<std::unique_ptr<Api>> Api::start(Options options, Deps deps) {
  TRY(check_listen(options));
  register_rollout_metrics(deps.metrics, deps.rollouts);
  auto& metrics = deps.metrics;
  metrics.gauge("coalmine_build_info", "The version of this server.", {{"version", options.version}}, [] { return 1.0; });
  auto server = std::make_unique<ApiServer>(std::move(options), std::move(deps));
  TRY(server->listen());
  return server;
}

} // namespace coalmine::serve
