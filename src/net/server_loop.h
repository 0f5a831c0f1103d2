// The part that the HTTP/1.1 and the gRPC server share: one I/O thread, the listening socket, the
// set of connections, an orderly end.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/asio/basic_socket_acceptor.hpp>
#include <boost/asio/basic_stream_socket.hpp>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>
#include <chrono>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "net/admission.h"
#include "net/http_server.h"
#include "net/server_counters.h"

namespace coalmine::net {

inline constexpr char kTlsHandshake = 0x16; // the first byte of a TLS connection

namespace asio = boost::asio;
using Tcp = asio::ip::tcp;
using Socket = asio::basic_stream_socket<Tcp, asio::io_context::executor_type>;
using SteadyTime = std::chrono::steady_clock::time_point;

// One accepted connection. Everything runs on the loop's thread; the loop owns it until remove().
class Connection {
 public:
  virtual ~Connection() = default;
  virtual void start() = 0;
  // Called at every tick: closes the connection when it has waited too long.
  virtual void check_deadlines(SteadyTime now) = 0;
  // The server is about to stop: close now when idle, else after the running requests.
  virtual void wind_down() = 0;
  // Close now.
  virtual void abort() = 0;
};

// Accepts connections and runs them on one thread of its own. The owner calls start() and stop(),
// once each and in that order. The members under "On the loop's thread" are called only there. Any
// thread may post to io(), also after stop(): such calls are not run and die with the loop.
class ServerLoop {
 public:
  struct Options {
    Endpoint listen;
    std::size_t max_connections = 1024;
    std::size_t max_in_flight_bytes = 256u << 20;
    std::chrono::milliseconds tick{1000}; // interval of the deadline checks
    std::string name;
  };
  using MakeConnection = std::function<std::shared_ptr<Connection>(Socket)>;

  ServerLoop(Options options, SelfMetrics& metrics);
  ~ServerLoop();
  ServerLoop(const ServerLoop&) = delete;
  ServerLoop& operator=(const ServerLoop&) = delete;

  // Binds, listens, starts the thread. The error names the holder of a taken port.
  Status start(MakeConnection make);
  // Stops accepting, winds connections down, waits for the running requests (two seconds at most),
  // joins the thread.
  void stop();

  const Endpoint& endpoint() const { return bound_; }
  asio::io_context& io() { return io_; }
  ServerCounters& counters() { return counters_; }
  const std::shared_ptr<ByteBudget>& budget() const { return budget_; }

  // On the loop's thread.
  bool stopping() const { return stopping_; }
  void remove(const Connection* connection);

 private:
  Status bind();
  void run();
  void accept();
  void adopt(Socket socket);
  void accept_later(const boost::system::error_code& error);
  void tick();
  void check();
  std::vector<std::shared_ptr<Connection>> snapshot() const;
  void begin_stop();
  void finish_stop();

  const Options options_;
  ServerCounters counters_;
  std::shared_ptr<ByteBudget> budget_;
  MakeConnection make_;
  Endpoint bound_;
  bool stopping_ = false;
  bool ended_ = false;        // no connection is left, nothing may be started any more
  bool accepting_ = false;    // an accept, or the wait before the next one, is pending
  SteadyTime last_warning_{}; // about connections that cannot be accepted
  asio::io_context io_{1};
  asio::executor_work_guard<asio::io_context::executor_type> work_;
  asio::basic_socket_acceptor<Tcp, asio::io_context::executor_type> acceptor_;
  asio::basic_waitable_timer<std::chrono::steady_clock,
                             asio::wait_traits<std::chrono::steady_clock>,
                             asio::io_context::executor_type>
      ticker_, backoff_, grace_;
  std::unordered_map<const Connection*, std::shared_ptr<Connection>> connections_;
  std::thread thread_;
};

// "127.0.0.1:53211", or "unknown" when the socket is already dead.
std::string peer_name(const Socket& socket);

} // namespace coalmine::net
