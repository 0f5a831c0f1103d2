// SPDX-License-Identifier: Apache-2.0
#include "net/server_loop.h"

#include <pthread.h>

#include <boost/asio/post.hpp>
#include <cerrno>
#include <exception>
#include <vector>

#include <fmt/format.h>

#include "base/log.h"

namespace coalmine::net {
namespace {

constexpr std::chrono::milliseconds kAcceptBackoff{100};
constexpr std::chrono::seconds kGrace{2};
constexpr std::chrono::seconds kWarnEvery{10};
constexpr int kBacklog = 1024;

std::string why_not(const Endpoint& endpoint, const boost::system::error_code& error) {
  const auto what = fmt::format("cannot listen on {}: ", endpoint.to_string());
  switch (error.value()) {
    case EADDRINUSE:
      return fmt::format("{}the port is {}; stop that process or choose another port", what,
                         describe_port_holder(endpoint));
    case EACCES:
      return fmt::format(
          "{}permission denied; ports below 1024 need extra rights, choose a higher one", what);
    case EADDRNOTAVAIL:
      return fmt::format(
          "{}no interface of this machine has the address {}; use 127.0.0.1 or 0.0.0.0", what,
          endpoint.host);
    default: return fmt::format("{}{}", what, error.message());
  }
}

Result<Tcp::endpoint> resolve(const Endpoint& endpoint) {
  boost::system::error_code error;
  const auto address =
      asio::ip::make_address(endpoint.host == "localhost" ? "127.0.0.1" : endpoint.host, error);
  if (!error) return Tcp::endpoint(address, endpoint.port);
  asio::io_context io;
  Tcp::resolver resolver(io);
  const auto found = resolver.resolve(endpoint.host, std::to_string(endpoint.port), error);
  if (error || found.empty()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "cannot listen on {}: the host name '{}' has no address ({}); write an IP address",
            endpoint.to_string(), endpoint.host, error.message()));
  }
  return found.begin()->endpoint();
}

} // namespace

std::string peer_name(const Socket& socket) {
  boost::system::error_code error;
  const auto peer = socket.remote_endpoint(error);
  if (error) return "unknown";
  return Endpoint{peer.address().to_string(), peer.port()}.to_string();
}

ServerLoop::ServerLoop(Options options, SelfMetrics& metrics)
    : options_(std::move(options)),
      counters_(metrics, options_.name),
      budget_(std::make_shared<ByteBudget>(options_.max_in_flight_bytes)),
      work_(io_.get_executor()),
      acceptor_(io_.get_executor()),
      ticker_(io_.get_executor()),
      backoff_(io_.get_executor()),
      grace_(io_.get_executor()) {}

ServerLoop::~ServerLoop() { stop(); }

Status ServerLoop::start(MakeConnection make) {
  make_ = std::move(make);
  TRY(bind());
  accept();
  tick();
  thread_ = std::thread([this] {
    pthread_setname_np(pthread_self(), ("io-" + options_.name).substr(0, 15).c_str());
    run();
  });
  return {};
}

Status ServerLoop::bind() {
  TRY_ASSIGN(const auto address, resolve(options_.listen));
  boost::system::error_code error;
  acceptor_.open(address.protocol(), error);
  if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
  if (!error) acceptor_.bind(address, error);
  if (!error) acceptor_.listen(kBacklog, error);
  if (!error) {
    const auto local = acceptor_.local_endpoint(error);
    bound_ = Endpoint{local.address().to_string(), local.port()};
  }
  if (!error) return {};
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  const auto code =
      error.value() == EADDRINUSE ? ErrorCode::unavailable : ErrorCode::failed_precondition;
  return fail(code, why_not(options_.listen, error));
}

void ServerLoop::run() {
  for (;;) {
    try {
      io_.run();
      return;
    } catch (const std::exception& e) {
      // A library threw in a completion (out of memory, mostly). That connection is stuck until its
      // deadline; the server goes on.
      log_error("exception on the I/O thread", {{"server", options_.name}, {"what", e.what()}});
    }
  }
}

void ServerLoop::accept() {
  accepting_ = true;
  acceptor_.async_accept([this](const boost::system::error_code& error, Socket socket) {
    accepting_ = false; // should anything below throw, the next tick accepts again
    if (stopping_ || error == asio::error::operation_aborted) return;
    if (error) return accept_later(error);
    adopt(std::move(socket));
    accept();
  });
}

void ServerLoop::adopt(Socket socket) {
  if (connections_.size() >= options_.max_connections) {
    counters_.rejected(Rejection::too_many_connections);
    return; // the socket closes here
  }
  try {
    boost::system::error_code ignored;
    socket.set_option(Tcp::no_delay(true), ignored);
    socket.set_option(asio::socket_base::keep_alive(true), ignored);
    auto connection = make_(std::move(socket));
    counters_.opened();
    connections_.emplace(connection.get(), connection);
    connection->start();
  } catch (const std::exception& e) {
    log_error("cannot start a connection", {{"server", options_.name}, {"what", e.what()}});
  }
}

// Mostly out of descriptors. The listener survives that: waiting connections stay in the kernel's
// queue until the next attempt.
void ServerLoop::accept_later(const boost::system::error_code& error) {
  if (error == asio::error::connection_aborted) return accept(); // that client had already left
  const auto now = std::chrono::steady_clock::now();
  if (now - last_warning_ > kWarnEvery) {
    last_warning_ = now;
    log_warn("cannot accept connections, will retry",
             {{"server", options_.name}, {"why", error.message()}});
  }
  accepting_ = true;
  backoff_.expires_after(kAcceptBackoff);
  backoff_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled && !stopping_) accept();
  });
}

void ServerLoop::tick() {
  ticker_.expires_after(options_.tick);
  ticker_.async_wait([this](const boost::system::error_code& cancelled) {
    // A tick that was already due when the loop ended is not cancelled any more, and another one
    // would keep run() going for ever.
    if (cancelled || ended_) return;
    try {
      check();
    } catch (const std::exception& e) {
      log_error("exception while checking deadlines",
                {{"server", options_.name}, {"what", e.what()}});
    }
    tick();
  });
}

void ServerLoop::check() {
  if (!accepting_ && !stopping_) accept();
  const auto now = std::chrono::steady_clock::now();
  for (const auto& connection : snapshot()) connection->check_deadlines(now);
}

// A copy, for loops whose body may remove connections.
std::vector<std::shared_ptr<Connection>> ServerLoop::snapshot() const {
  std::vector<std::shared_ptr<Connection>> all;
  all.reserve(connections_.size());
  for (const auto& [_, connection] : connections_) all.push_back(connection);
  return all;
}

void ServerLoop::remove(const Connection* connection) {
  if (connections_.erase(connection) == 0) return;
  counters_.closed();
  if (stopping_ && connections_.empty()) finish_stop();
}

void ServerLoop::stop() {
  if (!thread_.joinable()) return;
  asio::post(io_, [this] { begin_stop(); });
  thread_.join();
}

void ServerLoop::begin_stop() {
  stopping_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  backoff_.cancel();
  grace_.expires_after(kGrace);
  grace_.async_wait([this](const boost::system::error_code& cancelled) {
    if (!cancelled) finish_stop();
  });
  for (const auto& connection : snapshot()) connection->wind_down();
  if (connections_.empty()) finish_stop();
}

void ServerLoop::finish_stop() {
  ended_ = true;
  const auto rest = std::move(connections_);
  connections_.clear();
  for (const auto& [_, connection] : rest) {
    counters_.closed();
    connection->abort();
  }
  ticker_.cancel();
  grace_.cancel();
  work_.reset(); // run() ends once the aborted operations have been delivered
}

} // namespace coalmine::net
