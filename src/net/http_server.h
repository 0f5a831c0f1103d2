// The HTTP/1.1 server behind :4318 and :7070 (Boost.Beast inside).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "base/result.h"
#include "base/self_metrics.h"
#include "net/http.h"

namespace coalmine::net {

// Where to listen. ":7070" and "7070" mean 127.0.0.1:7070; port 0 takes a free one.
struct Endpoint {
  std::string host = "127.0.0.1";
  std::uint16_t port = 0;
  bool loopback() const; // 127.0.0.0/8, ::1, localhost
  std::string to_string() const;
};
Result<Endpoint> parse_endpoint(std::string_view text);

// Why a port is not available: names the process that holds it when /proc shows it ("in use by
// otelcol (pid 911)").
std::string describe_port_holder(const Endpoint& endpoint);

// The answer to one request; may be kept and used from any thread, exactly once (send, or
// start_stream). Dropping it unused answers 500. When the client is gone, calls do nothing.
class Responder {
 public:
  virtual ~Responder() = default;
  virtual void send(HttpResponse response) = 0;
  // Server-sent events: writes the head and keeps the connection. The stream ends when the returned
  // object is destroyed.
  class Stream {
   public:
    virtual ~Stream() = default;
    // Any thread. False when the client is gone or more than 1 MiB waits unsent beside the first
    // chunk (a client that does not read).
    virtual bool write(std::string chunk) = 0;
  };
  virtual std::shared_ptr<Stream> start_stream(HttpResponse head) = 0;
};

class MisdirectedSenders;

class HttpServer {
 public:
  struct Options {
    Endpoint listen = {};
    std::size_t max_body = 64u << 20;   // bytes on the wire; more answers 413
    std::size_t max_connections = 1024; // more are closed at once
    // Bodies being read and handled; more answers 503 with Retry-After.
    std::size_t max_in_flight_bytes = 256u << 20;
    std::chrono::seconds idle_timeout{60}; // between requests, and for a request to arrive whole
    std::string name = "http";             // label of the metrics
    // Answer for transport errors (bad request line, body too large…): status and sentence to body;
    // null gives text/plain.
    std::function<HttpResponse(int status, std::string message)> error_body = {};
    std::shared_ptr<MisdirectedSenders> misdirected = nullptr; // told who speaks TLS or HTTP/2
  };
  // Runs on the server's one I/O thread: it must be quick, or hand the work to a pool together with
  // the responder. HEAD arrives as GET; the server leaves the body of the answer out.
  using Handler = std::function<void(HttpRequest, std::unique_ptr<Responder>)>;

  // Binds, listens and starts the I/O thread. unavailable when the port is taken (the message names
  // the holder).
  static Result<std::unique_ptr<HttpServer>> start(Options options, Handler handler,
                                                   SelfMetrics& metrics);
  // Stops accepting, closes idle connections, waits up to two seconds for running requests, joins.
  virtual ~HttpServer() = default;
  // The address really bound.
  virtual Endpoint endpoint() const = 0;
};

} // namespace coalmine::net
