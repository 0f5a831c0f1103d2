// One HTTP/1.1 connection of the server: reads requests one after the other, hands each to the
// handler, writes its answer.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "net/http2_refusal.h"
#include "net/http_server.h"
#include "net/server_loop.h"

namespace coalmine::net {

// State shared by the connections of one server. Owned by the server and by every pending
// responder, so that a late answer finds a live (if stopped) loop.
struct HttpCore : std::enable_shared_from_this<HttpCore> {
  HttpCore(HttpServer::Options given, HttpServer::Handler run, SelfMetrics& metrics);

  const HttpServer::Options options;
  const HttpServer::Handler handler;
  ServerLoop loop;
};

// State shared by the two ends of an event stream. Chunks go through this queue and not through
// posted calls, because a loop keeps no order between calls that different threads post.
struct StreamState {
  struct Queue {
    std::vector<std::string> chunks;
    bool ended = false;
    bool announced = false; // a call of stream_ready() is on its way
  };
  Guarded<Queue> queue;
  std::atomic<bool> gone{false};
  std::atomic<std::size_t> unsent{0};
};

// Runs on the loop's thread only; responders reach it through posted calls. Its steps:
//   idle -> receiving -> handling -> writing -> idle   a request and its answer
//   handling -> streaming                              server-sent events, until a side ends them
//   any -> draining -> closed                          after the last answer, while the client may
//                                                      still be sending
class HttpConnection final : public Connection,
                             public std::enable_shared_from_this<HttpConnection> {
 public:
  HttpConnection(HttpCore& core, Socket socket);

  void start() override;
  void check_deadlines(SteadyTime now) override;
  void wind_down() override;
  void abort() override;

  // For responders, on the loop's thread.
  void answer(HttpResponse response);
  void begin_stream(HttpResponse head, std::shared_ptr<StreamState> state);
  void stream_ready(); // there is something in the queue

 private:
  enum class Step { idle, receiving, handling, writing, streaming, draining, closed };
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  // Reading (http_connection.cc)
  void next_request();
  void read_more();
  void on_bytes();
  bool foreign_protocol();
  void refuse_http2();
  void misdirected(std::string_view what); // told, where somebody listens
  void parse_head();
  void on_head();
  bool check_head();
  bool take_target(std::string_view target);
  void begin_body();
  void begin_sized_body(std::size_t length);
  void read_sized_body();
  void parse_chunks();
  bool charge_body(std::size_t bytes);
  void hand_over();
  void look_for_client();
  void on_read_error(const boost::system::error_code& error);
  void on_parse_error(const boost::system::error_code& error);

  // Writing (http_connection_write.cc)
  void reject(int status, Rejection reason, std::string message);
  void write_continue();
  void write_head(const HttpResponse& response, std::string_view framing);
  void on_written();
  void pump_stream();
  void watch_client();
  void drain();
  void discard();
  void close();
  void touch();

  HttpCore& core_;
  Socket socket_;
  std::string peer_;
  Step step_ = Step::idle;
  SteadyTime deadline_;

  // The request being read.
  boost::beast::flat_buffer in_;
  std::optional<Parser> parser_;
  std::optional<Http2Refusal> refusal_; // the client speaks HTTP/2
  HttpRequest request_;
  std::shared_ptr<std::atomic<bool>> gone_; // of the request being handled
  std::size_t body_length_ = 0;
  std::size_t body_have_ = 0;
  Charge charge_;
  bool first_bytes_ = true;
  bool timed_out_ = false;
  bool head_only_ = false; // a HEAD request
  bool http_1_0_ = false;
  bool keep_alive_ = false;

  // The answer being written.
  std::string head_;
  std::string body_;
  std::shared_ptr<StreamState> stream_;
  std::string stream_out_;         // framed, being written
  std::size_t stream_writing_ = 0; // bytes of chunks inside stream_out_
  bool stream_busy_ = false;
};

} // namespace coalmine::net
