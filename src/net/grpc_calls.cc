// The gRPC half of GrpcConnection: calls come in, replies go out.
// SPDX-License-Identifier: Apache-2.0
#include <sys/types.h>

#include <algorithm>
#include <boost/asio/dispatch.hpp>
#include <cstring>
#include <exception>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "base/base64.h"
#include "base/log.h"
#include "net/grpc_connection.h"

namespace coalmine::net {
namespace {

constexpr std::size_t kShownType = 100; // of a content type, bytes

// Goes out with each request. Answers INTERNAL when it is dropped unused; holds the budget of the
// request until then.
class ReplyTicket {
 public:
  ReplyTicket(std::shared_ptr<GrpcCore> core, std::weak_ptr<GrpcConnection> connection,
              std::int32_t stream, Charge charge)
      : core_(std::move(core)),
        connection_(std::move(connection)),
        stream_(stream),
        charge_(std::move(charge)) {}
  ReplyTicket(ReplyTicket&&) noexcept = default;
  ReplyTicket& operator=(ReplyTicket&&) = delete;
  ~ReplyTicket() {
    if (core_)
      (*this)({.status = GrpcStatus::internal,
               .status_message = "The server gave no answer to this call."});
  }

  void operator()(GrpcResponse response) {
    const auto core = std::exchange(core_, nullptr);
    if (!core) return;
    charge_.release();
    asio::dispatch(core->loop.io(), [connection = std::move(connection_), stream = stream_,
                                     response = std::move(response)]() mutable {
      if (const auto alive = connection.lock()) alive->reply(stream, std::move(response));
    });
  }

 private:
  std::shared_ptr<GrpcCore> core_; // null once used or moved from
  std::weak_ptr<GrpcConnection> connection_;
  std::int32_t stream_;
  Charge charge_;
};

bool grpc_content_type(std::string_view type) {
  constexpr std::string_view kType = "application/grpc";
  return type.starts_with(kType) &&
         (type.size() == kType.size() || type[kType.size()] == '+' || type[kType.size()] == ';');
}

Headers trailers_of(const GrpcResponse& response) {
  Headers trailers = {{"grpc-status", std::to_string(static_cast<int>(response.status))}};
  if (!response.status_message.empty())
    trailers.emplace_back("grpc-message", encode_grpc_message(response.status_message));
  if (!response.status_details.empty())
    trailers.emplace_back("grpc-status-details-bin",
                          base64(response.status_details, Base64Padding::without));
  return trailers;
}

// Views into headers, which must live until nghttp2 has copied them.
std::vector<nghttp2_nv> name_values(const Headers& headers) {
  std::vector<nghttp2_nv> out;
  out.reserve(headers.size());
  const auto bytes = [](const std::string& text) {
    return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
  };
  for (const auto& [name, value] : headers)
    out.push_back({bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  return out;
}

ssize_t read_body(nghttp2_session*, std::int32_t stream, std::uint8_t* out, std::size_t room,
                  std::uint32_t* flags, nghttp2_data_source* source, void*) {
  return static_cast<ssize_t>(
      static_cast<GrpcConnection*>(source->ptr)->on_send_body(stream, out, room, *flags));
}

} // namespace

GrpcConnection::Call* GrpcConnection::find(std::int32_t stream) {
  const auto found = calls_.find(stream);
  return found == calls_.end() ? nullptr : found->second.get();
}

void GrpcConnection::on_begin_request(std::int32_t stream) {
  auto call = std::make_unique<Call>(core_.options.max_message);
  call->charge = Charge(core_.loop.budget());
  call->deadline = last_bytes_ + core_.options.request_timeout;
  calls_.emplace(stream, std::move(call));
}

void GrpcConnection::on_request_header(std::int32_t stream, std::string_view name,
                                       std::string_view value) {
  auto* call = find(stream);
  if (call == nullptr) return;
  call->header_bytes += name.size() + value.size() + 32;
  if (call->header_bytes > kHeaderListLimit) {
    call->headers.clear();
  } else if (name == ":method") {
    call->method = value;
  } else if (name == ":path") {
    call->path = value;
  } else if (!name.starts_with(':')) {
    call->headers.emplace_back(name, value);
  }
}

void GrpcConnection::on_frame(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_PING: return count_cheap(CheapFrame::ping);
    case NGHTTP2_SETTINGS: return count_cheap(CheapFrame::settings);
    case NGHTTP2_RST_STREAM: return count_cheap(CheapFrame::reset);
    case NGHTTP2_PRIORITY: return count_cheap(CheapFrame::priority);
    case NGHTTP2_DATA:
    case NGHTTP2_HEADERS: break;
    default: return;
  }
  const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  if (frame.hd.type == NGHTTP2_DATA && frame.hd.length == 0 && !end)
    count_cheap(CheapFrame::empty_data);
  auto* call = find(frame.hd.stream_id);
  if (call == nullptr) return;
  call->whole = end;
  if (frame.hd.type == NGHTTP2_HEADERS && frame.headers.cat == NGHTTP2_HCAT_REQUEST)
    on_request_head(frame.hd.stream_id, *call);
  if (end && !call->answered) on_request_end(frame.hd.stream_id, *call);
}

void GrpcConnection::count_cheap(CheapFrame kind) {
  if (flood_.allow(kind, std::chrono::steady_clock::now())) return;
  if (nghttp2_session_want_read(session_.get()) == 0) return; // already on the way out
  core_.loop.counters().rejected(Rejection::flood);
  nghttp2_session_terminate_session(session_.get(), NGHTTP2_ENHANCE_YOUR_CALM);
}

void GrpcConnection::on_request_head(std::int32_t stream, Call& call) {
  if (call.header_bytes > kHeaderListLimit) {
    const auto message =
        fmt::format("The headers of {} bytes are larger than the {} bytes that are accepted.",
                    call.header_bytes, kHeaderListLimit);
    return refuse(stream, call, {ErrorCode::resource_exhausted, message}, Rejection::too_large);
  }
  if (call.method != "POST") {
    const auto what = fmt::format(
        "gRPC calls are POST requests, this is {}. OTLP/HTTP goes to the OTLP/HTTP port, 4318 by "
        "default.",
        call.method);
    core_.loop.counters().rejected(Rejection::wrong_protocol); // a browser, no telemetry
    return submit_http(stream, call, 405, what + "\n");
  }
  if (const auto type = header(call.headers, "content-type"); !grpc_content_type(type)) {
    const auto what = fmt::format(
        "This is the OTLP/gRPC port; it takes application/grpc, not '{}'. OTLP/HTTP "
        "goes to the OTLP/HTTP port, 4318 by default.",
        type.substr(0, kShownType));
    misdirected(what);
    return submit_http(stream, call, 415, what + "\n");
  }
}

void GrpcConnection::on_body(std::int32_t stream, std::string_view bytes) {
  auto* call = find(stream);
  if (call == nullptr || call->answered) return;
  if (!call->charge.grow(bytes.size())) {
    const auto message = fmt::format(
        "Requests in flight already hold {} of {} bytes: send this one again in a moment.",
        core_.loop.budget()->used(), core_.loop.budget()->limit());
    return refuse(stream, *call, {ErrorCode::unavailable, message}, Rejection::overloaded);
  }
  if (const auto fed = call->reader.feed(bytes); !fed) {
    const bool large = fed.error().code == ErrorCode::resource_exhausted;
    refuse(stream, *call, fed.error(), large ? Rejection::too_large : Rejection::bad_request);
  }
}

void GrpcConnection::on_request_end(std::int32_t stream, Call& call) {
  if (call.handed_over) return;
  if (const auto whole = call.reader.finish(); !whole)
    return refuse(stream, call, whole.error(), Rejection::bad_request);
  const auto encoding = header(call.headers, "grpc-encoding");
  if (call.reader.compressed() && (encoding.empty() || encoding == "identity")) {
    return refuse(stream, call,
                  {ErrorCode::internal,
                   "The message is marked as compressed, but no grpc-encoding says how."},
                  Rejection::bad_request);
  }
  hand_over(stream, call);
}

void GrpcConnection::hand_over(std::int32_t stream, Call& call) {
  call.handed_over = true;
  GrpcRequest request;
  request.path = std::move(call.path);
  request.encoding = std::string(header(call.headers, "grpc-encoding"));
  request.headers = std::move(call.headers);
  request.compressed = call.reader.compressed();
  request.message = call.reader.take();
  request.peer = peer_;
  ReplyTicket ticket(core_.shared_from_this(), weak_from_this(), stream, std::move(call.charge));
  try {
    core_.handler(std::move(request), std::move(ticket));
  } catch (const std::exception& e) {
    // The ticket died with the handler and answers INTERNAL.
    log_error("exception in a gRPC handler", {{"server", core_.options.name}, {"what", e.what()}});
  }
}

void GrpcConnection::reply(std::int32_t stream, GrpcResponse response) {
  auto* call = step_ == Step::open ? find(stream) : nullptr;
  if (call == nullptr || call->answered) return;
  submit_grpc(stream, *call, std::move(response));
  flush();
}

void GrpcConnection::refuse(std::int32_t stream, Call& call, const Error& error, Rejection reason) {
  core_.loop.counters().rejected(reason);
  submit_grpc(stream, call, {.status = to_grpc(error.code), .status_message = error.message});
}

void GrpcConnection::submit_http(std::int32_t stream, Call& call, int status, std::string text) {
  call.out = std::move(text);
  Headers head = {{":status", std::to_string(status)},
                  {"content-type", "text/plain; charset=utf-8"}};
  if (status == 405) head.emplace_back("allow", "POST");
  submit(stream, call, head);
}

void GrpcConnection::submit_grpc(std::int32_t stream, Call& call, GrpcResponse response) {
  Headers head = {{":status", "200"},
                  {"content-type", "application/grpc"},
                  {"grpc-accept-encoding", "identity,gzip"}};
  auto trailers = trailers_of(response);
  if (response.status == GrpcStatus::ok) {
    call.out = frame_message(response.message);
    call.trailers = std::move(trailers);
  } else { // "trailers only": one block of headers is the whole answer
    std::move(trailers.begin(), trailers.end(), std::back_inserter(head));
  }
  submit(stream, call, head);
}

void GrpcConnection::submit(std::int32_t stream, Call& call, const Headers& head) {
  call.answered = true;
  call.charge.release();
  call.reader.take(); // drops the bytes of a refused request
  nghttp2_data_provider body{};
  body.source.ptr = this;
  body.read_callback = &read_body;
  const auto fields = name_values(head);
  if (nghttp2_submit_response(session_.get(), stream, fields.data(), fields.size(),
                              call.out.empty() ? nullptr : &body) != 0) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, stream, NGHTTP2_INTERNAL_ERROR);
  }
}

std::size_t GrpcConnection::on_send_body(std::int32_t stream, std::uint8_t* out, std::size_t room,
                                         std::uint32_t& flags) {
  auto* call = find(stream);
  if (call == nullptr) {
    flags |= NGHTTP2_DATA_FLAG_EOF;
    return 0;
  }
  const auto size = std::min(room, call->out.size() - call->out_sent);
  std::memcpy(out, call->out.data() + call->out_sent, size);
  call->out_sent += size;
  if (call->out_sent < call->out.size()) return size;
  flags |= NGHTTP2_DATA_FLAG_EOF;
  if (!call->trailers.empty()) {
    flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
    const auto fields = name_values(call->trailers);
    nghttp2_submit_trailer(session_.get(), stream, fields.data(), fields.size());
  }
  return size;
}

void GrpcConnection::on_frame_sent(const nghttp2_frame& frame) {
  if (frame.hd.type == NGHTTP2_GOAWAY && frame.goaway.error_code != NGHTTP2_NO_ERROR &&
      frame.goaway.error_code != NGHTTP2_ENHANCE_YOUR_CALM) {
    return core_.loop.counters().rejected(Rejection::bad_request);
  }
  if (frame.hd.type == NGHTTP2_RST_STREAM && frame.rst_stream.error_code != NGHTTP2_NO_ERROR)
    return count_cheap(CheapFrame::reset);
  if ((frame.hd.type != NGHTTP2_HEADERS && frame.hd.type != NGHTTP2_DATA) ||
      (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) == 0)
    return;
  // Answered before the request was whole: ask the client to stop sending (RFC 9113 8.1).
  if (const auto* call = find(frame.hd.stream_id); call != nullptr && !call->whole) {
    nghttp2_submit_rst_stream(session_.get(), NGHTTP2_FLAG_NONE, frame.hd.stream_id,
                              NGHTTP2_NO_ERROR);
  }
}

void GrpcConnection::on_stream_closed(std::int32_t stream) { calls_.erase(stream); }

} // namespace coalmine::net
