// The writing half of HttpConnection: answers, event streams, and the end.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <iterator>

#include <fmt/format.h>

#include "net/http_connection.h"
#include "net/percent.h"

namespace coalmine::net {
namespace {

constexpr std::chrono::seconds kLastWrite{2};
constexpr std::size_t kAnswerAtOnce = 1u << 20;
constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";

bool written_by_server(std::string_view name) {
  return same_text(name, "Content-Length") || same_text(name, "Connection") ||
         same_text(name, "Date") || same_text(name, "Transfer-Encoding");
}

// A line break inside a header would let its author write further headers.
std::string date_now() {
  const std::time_t now = std::time(nullptr);
  std::tm parts{};
  gmtime_r(&now, &parts);
  std::array<char, 40> text{};
  const auto size = std::strftime(text.data(), text.size(), "%a, %d %b %Y %H:%M:%S GMT", &parts);
  return {text.data(), size};
}

} // namespace

void HttpConnection::touch() {
  deadline_ = std::chrono::steady_clock::now() + core_.options.idle_timeout;
}

// Also called where nothing of the request is left to read; then the rest of the connection is
// simply discarded.
void HttpConnection::reject(int status, Rejection reason, std::string message) {
  core_.loop.counters().rejected(reason);
  HttpResponse response;
  if (core_.options.error_body && reason != Rejection::wrong_protocol) {
    response = core_.options.error_body(status, std::move(message));
    response.status = status;
  } else {
    response = {status, {{"Content-Type", "text/plain; charset=utf-8"}}, std::move(message) + "\n"};
  }
  if (status == 503 && header(response.headers, "Retry-After").empty())
    response.headers.emplace_back("Retry-After", "1");
  charge_.release();
  request_ = {};
  parser_.reset();
  keep_alive_ = false;
  timed_out_ = false;
  in_.clear();
  answer(std::move(response));
}

void HttpConnection::write_continue() {
  // These 25 bytes fit at once, since the client has read everything before them. If they do not,
  // they are not worth a wait (the socket does not block).
  boost::system::error_code error;
  const auto size = socket_.write_some(asio::buffer(kContinue), error);
  if (error || size != kContinue.size()) close();
}

void HttpConnection::write_head(const HttpResponse& response, std::string_view framing) {
  head_.clear();
  auto out = std::back_inserter(head_);
  fmt::format_to(out, "HTTP/1.1 {} {}\r\n", response.status, reason_phrase(response.status));
  for (const auto& [name, value] : response.headers) {
    if (!written_by_server(name) && one_line(name) && one_line(value))
      fmt::format_to(out, "{}: {}\r\n", name, value);
  }
  fmt::format_to(out, "Date: {}\r\n{}", date_now(), framing);
  if (!keep_alive_) {
    head_ += "Connection: close\r\n";
  } else if (http_1_0_) {
    head_ += "Connection: keep-alive\r\n";
  }
  head_ += "\r\n";
}

void HttpConnection::answer(HttpResponse response) {
  if (step_ == Step::closed) return;
  step_ = Step::writing;
  touch();
  if (core_.loop.stopping()) keep_alive_ = false;
  const bool bodiless = response.status == 204 || response.status == 304 || response.status < 200;
  write_head(response, bodiless ? std::string{}
                                : fmt::format("Content-Length: {}\r\n", response.body.size()));
  body_ = bodiless || head_only_ ? std::string{} : std::move(response.body);
  const std::array<asio::const_buffer, 2> buffers{asio::buffer(head_), asio::buffer(body_)};
  // The completion condition runs after every piece: a client that keeps reading keeps its
  // connection.
  const auto progress = [this](const boost::system::error_code& error, std::size_t) -> std::size_t {
    touch();
    return error ? 0 : kAnswerAtOnce;
  };
  asio::async_write(
      socket_, buffers, progress,
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        self->on_written();
      });
}

void HttpConnection::on_written() {
  body_ = {};
  if (keep_alive_) {
    next_request();
  } else {
    drain();
  }
}

// HTTP/1.1 clients get chunks, so that they can tell an end from a cut; older ones the bare bytes.
void HttpConnection::begin_stream(HttpResponse head, std::shared_ptr<StreamState> state) {
  if (step_ == Step::closed) {
    state->gone = true;
    return;
  }
  step_ = Step::streaming;
  keep_alive_ = false;
  stream_ = std::move(state);
  write_head(head, http_1_0_ ? "" : "Transfer-Encoding: chunked\r\n");
  stream_out_ = head_;
  if (head_only_) {
    stream_->gone = true;
    stream_->queue.with([](auto& queue) { queue.ended = true; });
  }
  pump_stream();
  if (!head_only_) watch_client();
}

void HttpConnection::stream_ready() {
  if (step_ == Step::streaming && !stream_busy_) pump_stream();
}

void HttpConnection::pump_stream() {
  auto queue = stream_->queue.with([](auto& shared) {
    StreamState::Queue taken{std::move(shared.chunks), shared.ended, false};
    shared.chunks.clear();
    shared.announced = false;
    return taken;
  });
  for (const auto& chunk : queue.chunks) {
    stream_writing_ += chunk.size();
    if (http_1_0_ || chunk.empty()) {
      stream_out_ += chunk; // an empty chunk would end the body
    } else {
      fmt::format_to(std::back_inserter(stream_out_), "{:x}\r\n{}\r\n", chunk.size(), chunk);
    }
  }
  if (queue.ended && !http_1_0_ && !head_only_) stream_out_ += "0\r\n\r\n";
  if (stream_out_.empty()) return queue.ended ? drain() : void();
  stream_busy_ = true;
  touch();
  const auto progress = [this](const boost::system::error_code& error, std::size_t) -> std::size_t {
    touch();
    return error ? 0 : kAnswerAtOnce;
  };
  asio::async_write(socket_, asio::buffer(stream_out_), progress,
                    [self = shared_from_this(), last = queue.ended](
                        const boost::system::error_code& error, std::size_t) {
                      if (self->step_ == Step::closed) return;
                      if (error) return self->close();
                      self->stream_busy_ = false;
                      self->stream_out_.clear();
                      self->stream_->unsent -= std::exchange(self->stream_writing_, 0);
                      if (last) return self->drain();
                      self->pump_stream();
                    });
}

// A client that receives events sends nothing more. We only wait for it to close.
void HttpConnection::watch_client() {
  in_.clear();
  socket_.async_read_some(
      in_.prepare(4096),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ != Step::streaming) return;
        if (error) return self->close();
        self->watch_client();
      });
}

// Closing a socket with unread bytes resets the connection, which could destroy the answer on its
// way. So the bytes are read first.
void HttpConnection::drain() {
  // watch_client() still reads; its read is cancelled below.
  const bool streamed = step_ == Step::streaming && !head_only_;
  step_ = Step::draining;
  if (stream_) stream_->gone = true;
  deadline_ = std::chrono::steady_clock::now() + kLastWrite;
  boost::system::error_code error;
  socket_.shutdown(Socket::shutdown_send, error);
  if (error) return close();
  if (streamed) socket_.cancel(error);
  discard();
}

void HttpConnection::discard() {
  in_.clear();
  socket_.async_read_some(
      in_.prepare(std::max<std::size_t>(in_.capacity(), 4096)),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        self->discard();
      });
}

void HttpConnection::check_deadlines(SteadyTime now) {
  if (step_ == Step::handling) look_for_client();
  if (now < deadline_) return;
  boost::system::error_code ignored;
  switch (step_) {
    case Step::receiving:
      if (timed_out_) return close(); // no read was pending: an exception cut the chain
      timed_out_ = true;
      touch();
      socket_.cancel(ignored); // the pending read ends, and on_read_error answers 408
      return;
    case Step::streaming:
      if (stream_busy_) close();
      return;
    case Step::handling:
    case Step::closed: return;
    case Step::idle:
    case Step::writing:
    case Step::draining: close();
  }
}

void HttpConnection::wind_down() {
  if (step_ == Step::idle || step_ == Step::streaming || step_ == Step::draining) close();
}

void HttpConnection::abort() { close(); }

void HttpConnection::close() {
  if (step_ == Step::closed) return;
  step_ = Step::closed;
  if (stream_) stream_->gone = true;
  charge_.release();
  boost::system::error_code ignored;
  socket_.close(ignored);
  core_.loop.remove(this);
}

} // namespace coalmine::net
