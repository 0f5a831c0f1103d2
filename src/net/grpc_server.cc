// GrpcServer over nghttp2. (The connection: grpc_connection.h.)
// SPDX-License-Identifier: Apache-2.0
#include "net/grpc_server.h"

#include <algorithm>
#include <new>
#include <utility>

#include "net/grpc_connection.h"

namespace coalmine::net {
namespace {

H2Options make_h2_options() {
  nghttp2_option* raw = nullptr;
  if (nghttp2_option_new(&raw) != 0) throw std::bad_alloc();
  nghttp2_option_set_no_closed_streams(raw, 1);
  // Our FloodGuard counts resets and says ENHANCE_YOUR_CALM; the library's own limit only stands
  // behind it.
  nghttp2_option_set_stream_reset_rate_limit(raw, 10'000, 1'000);
  return H2Options(raw);
}

class Nghttp2Server final : public GrpcServer {
 public:
  explicit Nghttp2Server(std::shared_ptr<GrpcCore> core) : core_(std::move(core)) {}
  ~Nghttp2Server() override { core_->loop.stop(); }
  Endpoint endpoint() const override { return core_->loop.endpoint(); }

 private:
  const std::shared_ptr<GrpcCore> core_;
};

} // namespace

GrpcCore::GrpcCore(GrpcServer::Options given, GrpcServer::Handler run, SelfMetrics& metrics)
    : options(std::move(given)),
      handler(std::move(run)),
      callbacks(make_h2_callbacks()),
      h2_options(make_h2_options()),
      loop({.listen = options.listen,
            .max_connections = options.max_connections,
            .max_in_flight_bytes = options.max_in_flight_bytes,
            .tick = std::chrono::milliseconds{std::clamp<std::int64_t>(
                options.request_timeout.count() * 100, 50, 1000)},
            .name = options.name},
           metrics) {}

Result<std::unique_ptr<GrpcServer>> GrpcServer::start(Options options, Handler handler,
                                                      SelfMetrics& metrics) {
  const auto core = std::make_shared<GrpcCore>(std::move(options), std::move(handler), metrics);
  TRY(core->loop.start([raw = core.get()](Socket socket) {
    return std::make_shared<GrpcConnection>(*raw, std::move(socket));
  }));
  return std::make_unique<Nghttp2Server>(core);
}

} // namespace coalmine::net
