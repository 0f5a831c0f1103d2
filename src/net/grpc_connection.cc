// The HTTP/2 half of GrpcConnection: bytes in, bytes out, deadlines, the end. (Calls:
// grpc_calls.cc.)
// SPDX-License-Identifier: Apache-2.0
#include "net/grpc_connection.h"

#include <algorithm>
#include <boost/asio/buffer.hpp>
#include <boost/asio/write.hpp>
#include <vector>

#include <fmt/format.h>

#include "net/misdirected_senders.h"

namespace coalmine::net {
namespace {

constexpr std::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr std::uint32_t kStreamWindow = 1u << 20;
constexpr std::int32_t kConnectionWindow = 4 << 20;
constexpr std::uint32_t kFrameSize = 256u << 10;
constexpr std::size_t kWriteAtOnce = 256u << 10;
constexpr std::chrono::seconds kStalledWrite{60};
constexpr std::chrono::seconds kDrain{2};

// True while nghttp2 is on the stack, also when something throws.
class Inside {
 public:
  explicit Inside(bool& flag) : flag_(flag) { flag_ = true; }
  ~Inside() { flag_ = false; }
  Inside(const Inside&) = delete;
  Inside& operator=(const Inside&) = delete;

 private:
  bool& flag_;
};

} // namespace

GrpcConnection::GrpcConnection(GrpcCore& core, Socket socket)
    : core_(core),
      socket_(std::move(socket)),
      peer_(peer_name(socket_)),
      last_bytes_(std::chrono::steady_clock::now()) {}

void GrpcConnection::start() { read(); }

void GrpcConnection::read() {
  socket_.async_read_some(
      asio::buffer(in_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
        if (self->step_ == Step::closed || self->step_ == Step::draining) return;
        if (error) return self->close();
        self->on_read(size);
        if (self->step_ == Step::preface || self->step_ == Step::open) self->read();
      });
}

void GrpcConnection::on_read(std::size_t size) {
  last_bytes_ = std::chrono::steady_clock::now();
  const std::string_view bytes(in_.data(), size);
  if (step_ == Step::preface) {
    check_preface(bytes);
  } else {
    receive(bytes);
  }
}

void GrpcConnection::check_preface(std::string_view bytes) {
  preface_ += bytes;
  const std::string_view seen(preface_);
  if (!kPreface.starts_with(seen.substr(0, kPreface.size())))
    return wrong_protocol(seen.front() == kTlsHandshake);
  if (seen.size() < kPreface.size()) return;
  if (!open_session()) return close();
  step_ = Step::open;
  receive(std::exchange(preface_, {}));
}

void GrpcConnection::misdirected(std::string_view what) {
  core_.loop.counters().rejected(Rejection::wrong_protocol);
  if (core_.options.misdirected) core_.options.misdirected->note(core_.options.name, peer_, what);
}

void GrpcConnection::wrong_protocol(bool tls) {
  const std::string text = tls ? "This port speaks gRPC over plain HTTP/2, and the connection "
                                 "begins with a TLS handshake: use http:// or "
                                 "an insecure channel."
                               : "This is the OTLP/gRPC port and speaks HTTP/2, and the connection "
                                 "begins with something else: OTLP/HTTP "
                                 "goes to the OTLP/HTTP port, 4318 by default.";
  misdirected(text);
  out_ = fmt::format(
      "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Length: "
      "{}\r\nConnection: close\r\n\r\n{}\n",
      text.size() + 1, text);
  step_ = Step::draining;
  write_deadline_ = last_bytes_ + kDrain;
  asio::async_write(
      socket_, asio::buffer(out_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        self->drain();
      });
}

bool GrpcConnection::open_session() {
  nghttp2_session* raw = nullptr;
  if (nghttp2_session_server_new2(&raw, core_.callbacks.get(), this, core_.h2_options.get()) != 0)
    return false;
  session_.reset(raw);
  const std::array<nghttp2_settings_entry, 4> settings = {
      {{NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, core_.options.max_streams},
       {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kStreamWindow},
       {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrameSize},
       {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kHeaderListLimit}}};
  return nghttp2_submit_settings(raw, NGHTTP2_FLAG_NONE, settings.data(), settings.size()) == 0 &&
         nghttp2_session_set_local_window_size(raw, NGHTTP2_FLAG_NONE, 0, kConnectionWindow) == 0;
}

void GrpcConnection::receive(std::string_view bytes) {
  const auto used = [&] {
    const Inside inside(inside_);
    return nghttp2_session_mem_recv(
        session_.get(), reinterpret_cast<const std::uint8_t*>(bytes.data()), bytes.size());
  }();
  if (used == NGHTTP2_ERR_FLOODED) {
    core_.loop.counters().rejected(Rejection::flood);
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
  } else if (used < 0) {
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_PROTOCOL_ERROR);
  }
  flush();
}

void GrpcConnection::flush() {
  if (inside_ || writing_ || step_ != Step::open) return;
  if (!collect_output()) return close();
  if (out_.empty()) return settle();
  writing_ = true;
  write_deadline_ = std::chrono::steady_clock::now() + kStalledWrite;
  asio::async_write(
      socket_, asio::buffer(out_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        self->writing_ = false;
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        self->flush();
      });
}

bool GrpcConnection::collect_output() {
  const Inside inside(inside_);
  out_.clear();
  while (out_.size() < kWriteAtOnce) {
    const std::uint8_t* bytes = nullptr;
    const auto size = nghttp2_session_mem_send(session_.get(), &bytes);
    if (size < 0) return false;
    if (size == 0) break;
    out_.append(reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size));
  }
  return true;
}

// Called when nothing is left to write. Ends the connection if HTTP/2 is over, or if it winds down
// and no call is left.
void GrpcConnection::settle() {
  const bool over = nghttp2_session_want_read(session_.get()) == 0 &&
                    nghttp2_session_want_write(session_.get()) == 0;
  if (over || (winding_down_ && calls_.empty())) drain();
}

// Closing a socket with unread bytes resets the connection, which could destroy a GOAWAY on its
// way. So the bytes are read first.
void GrpcConnection::drain() {
  step_ = Step::draining;
  write_deadline_ = std::chrono::steady_clock::now() + kDrain;
  boost::system::error_code error;
  socket_.shutdown(Socket::shutdown_send, error);
  if (error) return close();
  socket_.cancel(error); // a read may be pending; it must not compete
  discard();
}

void GrpcConnection::discard() {
  socket_.async_read_some(
      asio::buffer(in_),
      [self = shared_from_this()](const boost::system::error_code& error, std::size_t) {
        if (self->step_ == Step::closed) return;
        if (error) return self->close();
        self->discard();
      });
}

void GrpcConnection::check_deadlines(SteadyTime now) {
  if (step_ == Step::draining || writing_) {
    if (now >= write_deadline_) close();
    return;
  }
  if (step_ == Step::preface) {
    if (now - last_bytes_ < core_.options.request_timeout) return;
    core_.loop.counters().rejected(Rejection::timeout);
    return close();
  }
  std::vector<std::int32_t> late;
  for (const auto& [id, call] : calls_) {
    if (!call->whole && !call->answered && now >= call->deadline) late.push_back(id);
  }
  for (const auto id : late) {
    const auto message = fmt::format("The request did not arrive whole within {} s.",
                                     core_.options.request_timeout.count());
    if (auto* call = find(id))
      refuse(id, *call, {ErrorCode::deadline_exceeded, message}, Rejection::timeout);
  }
  if (calls_.empty() && now - last_bytes_ >= core_.options.idle_timeout) {
    nghttp2_session_terminate_session(session_.get(), NGHTTP2_NO_ERROR);
  }
  flush();
}

void GrpcConnection::wind_down() {
  winding_down_ = true;
  if (step_ != Step::open) return close();
  nghttp2_submit_goaway(session_.get(), NGHTTP2_FLAG_NONE,
                        nghttp2_session_get_last_proc_stream_id(session_.get()), NGHTTP2_NO_ERROR,
                        nullptr, 0);
  flush();
}

void GrpcConnection::abort() { close(); }

void GrpcConnection::close() {
  if (step_ == Step::closed) return;
  step_ = Step::closed;
  calls_.clear();
  boost::system::error_code ignored;
  socket_.close(ignored);
  core_.loop.remove(this);
}

} // namespace coalmine::net
