// HttpServer and its Responder. (The connection: http_connection.h.)
// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <boost/asio/dispatch.hpp>
#include <boost/asio/post.hpp>
#include <cstddef>
#include <utility>

#include "net/http_connection.h"
#include "net/http_responder.h"

namespace coalmine::net {
namespace {

// A client may have this much less than what was written beside the first chunk, which is as large
// as it is: whoever is dropped for it comes back for the same again.
constexpr std::size_t kStreamLimit = 1u << 20;

// The handler's end of an event stream. Any thread. Holds the core, so that posting stays safe
// after the server has gone.
class LiveStream final : public Responder::Stream {
 public:
  LiveStream(std::shared_ptr<HttpCore> core, std::weak_ptr<HttpConnection> connection,
             std::shared_ptr<StreamState> state)
      : core_(std::move(core)), connection_(std::move(connection)), state_(std::move(state)) {}
  ~LiveStream() override {
    announce([](auto& queue) { queue.ended = true; });
  }

  bool write(std::string chunk) override {
    if (state_->gone || state_->unsent > kStreamLimit + first_) return false;
    if (is_first_.exchange(false)) first_ = chunk.size();
    state_->unsent += chunk.size();
    announce([&](auto& queue) { queue.chunks.push_back(std::move(chunk)); });
    return true;
  }

 private:
  template <typename F>
  void announce(F&& change) {
    const bool wake = state_->queue.with([&](auto& queue) {
      change(queue);
      return !std::exchange(queue.announced, true);
    });
    if (!wake) return;
    asio::post(core_->loop.io(), [connection = connection_] {
      if (const auto alive = connection.lock()) alive->stream_ready();
    });
  }

  const std::shared_ptr<HttpCore> core_;
  const std::weak_ptr<HttpConnection> connection_;
  const std::shared_ptr<StreamState> state_;
  std::atomic<bool> is_first_ = true;
  std::atomic<std::size_t> first_ = 0; // bytes of the first chunk
};

// Any thread, one at a time. The calls it posts hold the connection weakly: a queue inside the loop
// must not keep the loop alive.
class LiveResponder final : public Responder {
 public:
  LiveResponder(std::shared_ptr<HttpCore> core, std::weak_ptr<HttpConnection> connection,
                Charge charge)
      : core_(std::move(core)), connection_(std::move(connection)), charge_(std::move(charge)) {}
  ~LiveResponder() override {
    if (!used_)
      send({500,
            {{"Content-Type", "text/plain; charset=utf-8"}},
            "The server gave no answer to this request.\n"});
  }

  void send(HttpResponse response) override {
    if (std::exchange(used_, true)) return;
    charge_.release();
    asio::dispatch(core_->loop.io(),
                   [connection = connection_, response = std::move(response)]() mutable {
                     if (const auto alive = connection.lock()) alive->answer(std::move(response));
                   });
  }

  std::shared_ptr<Stream> start_stream(HttpResponse head) override {
    auto state = std::make_shared<StreamState>();
    if (std::exchange(used_, true)) {
      state->gone = true;
    } else {
      charge_.release();
      asio::post(core_->loop.io(),
                 [connection = connection_, head = std::move(head), state]() mutable {
                   if (const auto alive = connection.lock()) {
                     alive->begin_stream(std::move(head), std::move(state));
                   } else {
                     state->gone = true;
                   }
                 });
    }
    return std::make_shared<LiveStream>(core_, connection_, std::move(state));
  }

 private:
  const std::shared_ptr<HttpCore> core_;
  const std::weak_ptr<HttpConnection> connection_;
  Charge charge_;
  bool used_ = false;
};

class BeastServer final : public HttpServer {
 public:
  explicit BeastServer(std::shared_ptr<HttpCore> core) : core_(std::move(core)) {}
  ~BeastServer() override { core_->loop.stop(); }
  Endpoint endpoint() const override { return core_->loop.endpoint(); }

 private:
  const std::shared_ptr<HttpCore> core_;
};

} // namespace

std::unique_ptr<Responder> make_responder(HttpCore& core, std::weak_ptr<HttpConnection> connection,
                                          Charge charge) {
  return std::make_unique<LiveResponder>(core.shared_from_this(), std::move(connection),
                                         std::move(charge));
}

Result<std::unique_ptr<HttpServer>> HttpServer::start(Options options, Handler handler,
                                                      SelfMetrics& metrics) {
  const auto core = std::make_shared<HttpCore>(std::move(options), std::move(handler), metrics);
  TRY(core->loop.start([raw = core.get()](Socket socket) {
    return std::make_shared<HttpConnection>(*raw, std::move(socket));
  }));
  return std::make_unique<BeastServer>(core);
}

} // namespace coalmine::net
