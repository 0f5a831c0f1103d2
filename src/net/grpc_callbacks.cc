// nghttp2's C callbacks, passed on to the connection. No exception may cross the C code: it ends
// the connection instead.
// SPDX-License-Identifier: Apache-2.0
#include <exception>

#include "base/log.h"
#include "net/grpc_connection.h"

namespace coalmine::net {
namespace {

template <typename F>
int guarded(void* user, F&& call) {
  try {
    call(*static_cast<GrpcConnection*>(user));
    return 0;
  } catch (const std::exception& e) {
    log_error("exception on a gRPC connection", {{"what", e.what()}});
    return NGHTTP2_ERR_CALLBACK_FAILURE;
  }
}

std::string_view text(const std::uint8_t* bytes, std::size_t size) {
  return {reinterpret_cast<const char*>(bytes), size};
}

int begin_headers(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
  return guarded(user, [&](auto& connection) { connection.on_begin_request(frame->hd.stream_id); });
}

int header_field(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                 std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                 std::uint8_t, void* user) {
  if (frame->headers.cat != NGHTTP2_HCAT_REQUEST)
    return 0; // trailers of a request mean nothing to a unary call
  return guarded(user, [&](auto& connection) {
    connection.on_request_header(frame->hd.stream_id, text(name, name_size),
                                 text(value, value_size));
  });
}

int frame_received(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return guarded(user, [&](auto& connection) { connection.on_frame(*frame); });
}

int data_chunk(nghttp2_session*, std::uint8_t, std::int32_t stream, const std::uint8_t* bytes,
               std::size_t size, void* user) {
  return guarded(user, [&](auto& connection) { connection.on_body(stream, text(bytes, size)); });
}

int frame_sent(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  return guarded(user, [&](auto& connection) { connection.on_frame_sent(*frame); });
}

int stream_closed(nghttp2_session*, std::int32_t stream, std::uint32_t, void* user) {
  return guarded(user, [&](auto& connection) { connection.on_stream_closed(stream); });
}

} // namespace

H2Callbacks make_h2_callbacks() {
  nghttp2_session_callbacks* raw = nullptr;
  if (nghttp2_session_callbacks_new(&raw) != 0) throw std::bad_alloc();
  nghttp2_session_callbacks_set_on_begin_headers_callback(raw, &begin_headers);
  nghttp2_session_callbacks_set_on_header_callback(raw, &header_field);
  nghttp2_session_callbacks_set_on_frame_recv_callback(raw, &frame_received);
  nghttp2_session_callbacks_set_on_data_chunk_recv_callback(raw, &data_chunk);
  nghttp2_session_callbacks_set_on_frame_send_callback(raw, &frame_sent);
  nghttp2_session_callbacks_set_on_stream_close_callback(raw, &stream_closed);
  return H2Callbacks(raw);
}

} // namespace coalmine::net
