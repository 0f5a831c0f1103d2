// One HTTP/2 connection that carries unary gRPC calls.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nghttp2/nghttp2.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>

#include "net/flood_guard.h"
#include "net/grpc_frames.h"
#include "net/grpc_server.h"
#include "net/server_loop.h"

namespace coalmine::net {

struct H2Delete {
  void operator()(nghttp2_session_callbacks* p) const { nghttp2_session_callbacks_del(p); }
  void operator()(nghttp2_option* p) const { nghttp2_option_del(p); }
  void operator()(nghttp2_session* p) const { nghttp2_session_del(p); }
};
using H2Callbacks = std::unique_ptr<nghttp2_session_callbacks, H2Delete>;
using H2Options = std::unique_ptr<nghttp2_option, H2Delete>;
using H2Session = std::unique_ptr<nghttp2_session, H2Delete>;

// Counted as RFC 9113 does: names, values and 32 bytes for each field.
inline constexpr std::uint32_t kHeaderListLimit = 32u << 10;

// State shared by the connections of one server. Owned by the server and by every pending reply.
struct GrpcCore : std::enable_shared_from_this<GrpcCore> {
  GrpcCore(GrpcServer::Options given, GrpcServer::Handler run, SelfMetrics& metrics);

  const GrpcServer::Options options;
  const GrpcServer::Handler handler;
  H2Callbacks callbacks;
  H2Options h2_options;
  ServerLoop loop;
};

// Runs on the loop's thread only. Replies reach it through posted calls and name their stream (ids
// are never used twice). Bytes flow: socket -> nghttp2 -> callbacks (grpc_callbacks.cc) -> on_*()
// here -> handler; reply() -> nghttp2 -> flush() -> socket. nghttp2 calls back only inside
// receive() and flush(), so replying inside a handler is safe.
class GrpcConnection final : public Connection,
                             public std::enable_shared_from_this<GrpcConnection> {
 public:
  GrpcConnection(GrpcCore& core, Socket socket);

  void start() override;
  void check_deadlines(SteadyTime now) override;
  void wind_down() override;
  void abort() override;

  // On the loop's thread. Nothing happens when the stream is gone or answered.
  void reply(std::int32_t stream, GrpcResponse response);

  // From nghttp2's callbacks.
  void on_begin_request(std::int32_t stream);
  void on_request_header(std::int32_t stream, std::string_view name, std::string_view value);
  void on_frame(const nghttp2_frame& frame);
  void on_body(std::int32_t stream, std::string_view bytes);
  void on_frame_sent(const nghttp2_frame& frame);
  void on_stream_closed(std::int32_t stream);
  // Fills a DATA frame of an answer; sets nghttp2's flags at the end.
  std::size_t on_send_body(std::int32_t stream, std::uint8_t* out, std::size_t room,
                           std::uint32_t& flags);

 private:
  // One stream from its first header until it closes.
  struct Call {
    explicit Call(std::size_t max_message) : reader(max_message) {}
    std::string method;
    std::string path;
    Headers headers;
    std::size_t header_bytes = 0;
    MessageReader reader;
    Charge charge;
    SteadyTime deadline;
    bool whole = false;    // the request has ended
    bool answered = false; // or handed over and answered
    bool handed_over = false;
    std::string out; // body of the answer
    std::size_t out_sent = 0;
    Headers trailers; // sent after the body; none for plain HTTP answers
  };
  enum class Step { preface, open, draining, closed };

  Call* find(std::int32_t stream);
  void read();
  void on_read(std::size_t size);
  void check_preface(std::string_view bytes);
  void wrong_protocol(bool tls);
  void misdirected(std::string_view what); // counted, and told
  bool open_session();
  void receive(std::string_view bytes);
  void flush();
  bool collect_output();
  void settle();
  void drain();
  void discard();
  void close();

  void on_request_head(std::int32_t stream, Call& call);
  void on_request_end(std::int32_t stream, Call& call);
  void hand_over(std::int32_t stream, Call& call);
  void refuse(std::int32_t stream, Call& call, const Error& error, Rejection reason);
  void submit_http(std::int32_t stream, Call& call, int status, std::string text);
  void submit_grpc(std::int32_t stream, Call& call, GrpcResponse response);
  void submit(std::int32_t stream, Call& call, const Headers& head);
  void count_cheap(CheapFrame kind);

  GrpcCore& core_;
  Socket socket_;
  const std::string peer_;
  Step step_ = Step::preface;
  H2Session session_;
  std::unordered_map<std::int32_t, std::unique_ptr<Call>> calls_;
  FloodGuard flood_;
  SteadyTime last_bytes_;
  SteadyTime write_deadline_;
  std::string preface_;
  std::string out_;
  bool inside_ = false; // nghttp2 is on the stack
  bool writing_ = false;
  bool winding_down_ = false;
  std::array<char, 64u << 10> in_;
};

// The callbacks above, as nghttp2 wants them. Made once per server.
H2Callbacks make_h2_callbacks();

} // namespace coalmine::net
