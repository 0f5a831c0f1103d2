// The reading half of HttpConnection.
// SPDX-License-Identifier: Apache-2.0
#include "net/http_connection.h"

#include <sys/socket.h>

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <exception>

#include <fmt/format.h>

#include "base/log.h"
#include "net/http_responder.h"
#include "net/misdirected_senders.h"
#include "net/percent.h"

namespace coalmine::net {
namespace {

namespace http = boost::beast::http;

// With less room, reads of 100 KB bodies fall apart into hundreds of calls.
constexpr std::size_t kReadSize = 64u << 10;
constexpr std::uint32_t kHeadLimit = 64u << 10;
constexpr std::size_t kFirstBodyAllocation = 1u
                                             << 20; // of a body whose length is only claimed so far
constexpr std::string_view kHttp2Preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

} // namespace

HttpCore::HttpCore(HttpServer::Options given, HttpServer::Handler run, SelfMetrics& metrics)
    : options(std::move(given)),
      handler(std::move(run)),
      loop({.listen = options.listen,
            .max_connections = options.max_connections,
            .max_in_flight_bytes = options.max_in_flight_bytes,
            .tick = std::clamp<std::chrono::milliseconds>(options.idle_timeout / 10,
                                                          std::chrono::milliseconds{50},
                                                          std::chrono::milliseconds{1000}),
            .name = options.name},
           metrics) {}

HttpConnection::HttpConnection(HttpCore& core, Socket socket)
    : core_(core), socket_(std::move(socket)), peer_(peer_name(socket_)) {
  in_.reserve(kReadSize);
  boost::system::error_code ignored;
  socket_.non_blocking(true, ignored);
}

void HttpConnection::start() { next_request(); }

void HttpConnection::next_request() {
  step_ = Step::idle;
  touch();
  parser_.emplace();
  parser_->header_limit(kHeadLimit);
  parser_->body_limit(boost::none); // bounded here, where the length is known for the message
  request_ = {};
  charge_ = Charge(core_.loop.budget());
  if (in_.size() > 0) {
    on_bytes(); // the client pipelines
  } else if (core_.loop.stopping()) {
    close();
  } else {
    read_more();
  }
}

void HttpConnection::read_more() {
  const auto room = std::max<std::size_t>(in_.capacity() - in_.size(), 4096);
  socket_.async_read_some(
      in_.prepare(room),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
        if (self->step_ == Step::closed) return;
        if (error) return self->on_read_error(error);
        self->in_.commit(size);
        self->on_bytes();
      });
}

void HttpConnection::on_bytes() {
  if (refusal_) return refuse_http2();
  if (step_ == Step::idle) {
    step_ = Step::receiving;
    touch();
  }
  if (first_bytes_ && foreign_protocol()) return;
  if (parser_->is_header_done()) {
    parse_chunks();
  } else {
    parse_head();
  }
}

// True when the connection does not begin with HTTP/1 (it has been answered then), or when it is
// too early to say (more is being read).
bool HttpConnection::foreign_protocol() {
  const std::string_view seen(static_cast<const char*>(in_.data().data()), in_.size());
  if (seen.front() == kTlsHandshake) {
    const std::string what =
        "This port speaks plain HTTP/1.1, and the connection begins with a TLS handshake: use "
        "http://.";
    misdirected(what);
    reject(400, Rejection::wrong_protocol, what);
    return true;
  }
  if (!kHttp2Preface.starts_with(seen.substr(0, kHttp2Preface.size()))) {
    first_bytes_ = false;
    return false;
  }
  if (seen.size() < kHttp2Preface.size()) {
    read_more();
  } else {
    const auto what = fmt::format(
        "This is the HTTP/1.1 port ({}), and the connection begins with HTTP/2: gRPC goes to the "
        "OTLP/gRPC port, 4317 by default.",
        core_.options.name);
    core_.loop.counters().rejected(Rejection::wrong_protocol);
    misdirected(what);
    in_.consume(kHttp2Preface.size());
    refusal_.emplace(what);
    step_ = Step::idle; // whoever calls nothing within the deadline is closed
    touch();
    refuse_http2();
  }
  return true;
}

void HttpConnection::misdirected(std::string_view what) {
  if (core_.options.misdirected) core_.options.misdirected->note(core_.options.name, peer_, what);
}

void HttpConnection::refuse_http2() {
  head_ = refusal_->take({static_cast<const char*>(in_.data().data()), in_.size()});
  in_.clear();
  if (head_.empty()) return refusal_->is_over() ? drain() : read_more();
  asio::async_write(
      socket_, asio::buffer(head_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        return self->refusal_->is_over() ? self->drain() : self->read_more();
      });
}

void HttpConnection::parse_head() {
  boost::system::error_code error;
  const auto used = parser_->put(in_.data(), error);
  in_.consume(used);
  if (error == http::error::need_more) return read_more();
  if (error) return on_parse_error(error);
  on_head();
}

void HttpConnection::on_head() {
  const auto& head = parser_->get();
  request_.method = std::string(head.method_string());
  request_.peer = peer_;
  request_.headers.reserve(static_cast<std::size_t>(std::distance(head.begin(), head.end())));
  for (const auto& field : head) request_.headers.emplace_back(field.name_string(), field.value());
  http_1_0_ = head.version() < 11;
  keep_alive_ = head.keep_alive();
  head_only_ = head.method() == http::verb::head;
  if (head_only_) request_.method = "GET"; // the same answer, without its body
  if (check_head() && take_target(std::string_view(head.target().data(), head.target().size())))
    begin_body();
}

bool HttpConnection::check_head() {
  const auto coding = header(request_.headers, "Transfer-Encoding");
  if (!coding.empty() && !same_text(coding, "chunked")) {
    reject(
        501, Rejection::bad_request,
        fmt::format("Transfer-Encoding '{}' is not supported: send 'chunked' or a Content-Length.",
                    coding));
    return false;
  }
  if (!coding.empty() && parser_->get().count(http::field::content_length) > 0) {
    reject(400, Rejection::bad_request,
           "The request has both Content-Length and Transfer-Encoding: send one of them.");
    return false;
  }
  if (parser_->get().count(http::field::host) != 1 && !http_1_0_) {
    reject(400, Rejection::bad_request, "The request needs exactly one Host header.");
    return false;
  }
  if (const auto expect = header(request_.headers, "Expect");
      !expect.empty() && !same_text(expect, "100-continue")) {
    reject(417, Rejection::bad_request,
           fmt::format("Expect '{}' is not known: only 100-continue is.", expect));
    return false;
  }
  return true;
}

// "/path?query", or "http://host/path?query" as clients of a proxy write it.
bool HttpConnection::take_target(std::string_view target) {
  if (target.starts_with("http://") || target.starts_with("https://")) {
    const auto path = target.find('/', target.find("://") + 3);
    target = path == std::string_view::npos ? "/" : target.substr(path);
  }
  target = target.substr(0, target.find('#'));
  const auto question = target.find('?');
  if (question != std::string_view::npos) request_.query = std::string(target.substr(question + 1));
  if (percent_decode(target.substr(0, question), Plus::plus, request_.path)) return true;
  reject(400, Rejection::bad_request,
         fmt::format("The path '{}' has a '%' without two hex digits behind it: write %25 for the "
                     "sign itself.",
                     target.substr(0, question)));
  return false;
}

void HttpConnection::begin_body() {
  const auto length = parser_->content_length();
  if (!parser_->chunked() && (!length || *length == 0)) return hand_over();
  if (length && *length > core_.options.max_body) {
    return reject(413, Rejection::too_large,
                  fmt::format("The request body of {} bytes is larger than the {} bytes that are "
                              "accepted: send smaller batches.",
                              *length, core_.options.max_body));
  }
  if (in_.size() == 0 && !http_1_0_ && !header(request_.headers, "Expect").empty())
    write_continue();
  if (step_ == Step::closed) return;
  if (length) return begin_sized_body(static_cast<std::size_t>(*length));
  parser_->eager(true);
  parse_chunks();
}

// A body of known length is read straight into its string, past the parser and its copy.
void HttpConnection::begin_sized_body(std::size_t length) {
  body_length_ = length;
  body_have_ = std::min(length, in_.size());
  if (!charge_body(body_have_)) return;
  request_.body.reserve(std::min(length, std::max(kFirstBodyAllocation, body_have_)));
  request_.body.assign(static_cast<const char*>(in_.data().data()), body_have_);
  in_.consume(body_have_);
  read_sized_body();
}

void HttpConnection::read_sized_body() {
  if (body_have_ == body_length_) return hand_over();
  if (request_.body.size() == body_have_) {
    // Memory follows what arrives, not what the client claims.
    const auto size = std::min(body_length_, std::max(kFirstBodyAllocation, body_have_ * 2));
    request_.body.resize_and_overwrite(
        size, [size](char*, std::size_t) { return size; }); // no zeros written
  }
  const auto room =
      asio::buffer(request_.body.data() + body_have_, request_.body.size() - body_have_);
  socket_.async_read_some(
      room, [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
        if (self->step_ == Step::closed) return;
        if (error) return self->on_read_error(error);
        self->body_have_ += size;
        if (self->charge_body(size)) self->read_sized_body();
      });
}

void HttpConnection::parse_chunks() {
  while (!parser_->is_done()) {
    if (in_.size() == 0) return read_more();
    boost::system::error_code error;
    const auto before = parser_->get().body().size();
    const auto used = parser_->put(in_.data(), error);
    in_.consume(used);
    const auto size = parser_->get().body().size();
    if (size > core_.options.max_body) {
      return reject(413, Rejection::too_large,
                    fmt::format("The chunked request body is larger than the {} bytes that are "
                                "accepted: send smaller batches.",
                                core_.options.max_body));
    }
    if (!charge_body(size - before)) return;
    if (error == http::error::need_more) return read_more();
    if (error) return on_parse_error(error);
  }
  request_.body = std::move(parser_->get().body());
  hand_over();
}

bool HttpConnection::charge_body(std::size_t bytes) {
  if (charge_.grow(bytes)) return true;
  reject(503, Rejection::overloaded,
         fmt::format(
             "Requests in flight already hold {} of {} bytes: send this one again in a second.",
             core_.loop.budget()->used(), core_.loop.budget()->limit()));
  return false;
}

void HttpConnection::hand_over() {
  step_ = Step::handling;
  gone_ = std::make_shared<std::atomic<bool>>(false);
  request_.client_gone = gone_;
  auto responder = make_responder(core_, shared_from_this(), std::move(charge_));
  try {
    core_.handler(std::move(request_), std::move(responder));
  } catch (const std::exception& e) {
    // The responder died with the handler and answers 500.
    log_error("exception in a request handler",
              {{"server", core_.options.name}, {"what", e.what()}});
  }
}

// Nothing is read while a request is handled; a peek shows whether the client has closed its end.
void HttpConnection::look_for_client() {
  char byte = 0;
  const auto seen = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  const bool closed =
      seen == 0 || (seen < 0 && errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
  if (closed && gone_) *gone_ = true;
}

void HttpConnection::on_read_error(const boost::system::error_code& error) {
  if (timed_out_) {
    const auto seconds = core_.options.idle_timeout.count();
    return reject(408, Rejection::timeout,
                  fmt::format("The request did not arrive whole within {} s.", seconds));
  }
  if (error == asio::error::eof && step_ == Step::receiving) {
    return reject(400, Rejection::bad_request, "The request ends before it is complete.");
  }
  if (step_ == Step::receiving)
    core_.loop.counters().rejected(Rejection::bad_request); // reset in the middle
  close();
}

void HttpConnection::on_parse_error(const boost::system::error_code& error) {
  if (error == http::error::header_limit) {
    return reject(
        431, Rejection::too_large,
        fmt::format("The request line and headers are larger than {} bytes.", kHeadLimit));
  }
  reject(400, Rejection::bad_request,
         fmt::format("This is not a valid HTTP/1.1 request: {}.", error.message()));
}

} // namespace coalmine::net
