// SPDX-License-Identifier: Apache-2.0
#include "receive/receiver.h"

#include "base/executor.h"
#include "base/log.h"
#include "net/grpc_server.h"
#include "receive/fronts.h"
#include "receive/intake.h"

namespace coalmine::receive {
namespace {

// Members in the order they depend on each other; destroyed in reverse: the listeners first, then
// the pool, which finishes the accepted requests.
class ReceiverImpl final : public Receiver {
 public:
  ReceiverImpl(const Options& options, store::Store& store, const Clock& clock,
               SelfMetrics& metrics)
      : intake_(options.limits, store, clock, metrics),
        pool_({.name = "otlp", .threads = options.threads, .queue_limit = options.queue_limit}),
        http_front_(intake_, pool_, clock, options.bearer_token, options.misdirected),
        grpc_front_(intake_, pool_, clock, options.bearer_token, options.misdirected) {}

  Status listen(const Options& options, SelfMetrics& metrics) {
    net::GrpcServer::Options grpc;
    grpc.listen = options.grpc;
    grpc.max_message = options.limits.max_wire_bytes;
    grpc.name = "otlp_grpc";
    grpc.misdirected = options.misdirected;
    TRY_ASSIGN(grpc_, net::GrpcServer::start(
                          std::move(grpc),
                          [this](net::GrpcRequest request, net::GrpcServer::Reply reply) {
                            grpc_front_.handle(std::move(request), std::move(reply));
                          },
                          metrics));
    net::HttpServer::Options http;
    http.listen = options.http;
    http.max_body = options.limits.max_wire_bytes;
    http.name = "otlp_http";
    http.misdirected = options.misdirected;
    http.error_body = [this](int status, std::string message) {
      return http_front_.transport_error(status, message);
    };
    TRY_ASSIGN(http_,
               net::HttpServer::start(
                   std::move(http),
                   [this](net::HttpRequest request, std::unique_ptr<net::Responder> responder) {
                     http_front_.handle(std::move(request), std::move(responder));
                   },
                   metrics));
    log_info("receiving OTLP",
             {{"grpc", grpc_->endpoint().to_string()}, {"http", http_->endpoint().to_string()}});
    return {};
  }

  net::Endpoint grpc_endpoint() const override { return grpc_->endpoint(); }
  net::Endpoint http_endpoint() const override { return http_->endpoint(); }

 private:
  Intake intake_;
  Executor pool_;
  HttpFront http_front_;
  GrpcFront grpc_front_;
  std::unique_ptr<net::GrpcServer> grpc_;
  std::unique_ptr<net::HttpServer> http_;
};

} // namespace

Result<std::unique_ptr<Receiver>> Receiver::start(Options options, store::Store& store,
                                                  const Clock& clock, SelfMetrics& metrics) {
  auto receiver = std::make_unique<ReceiverImpl>(options, store, clock, metrics);
  TRY(receiver->listen(options, metrics));
  return std::unique_ptr<Receiver>(std::move(receiver));
}

} // namespace coalmine::receive
