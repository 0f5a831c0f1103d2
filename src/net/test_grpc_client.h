// A small gRPC client over nghttp2 for the server tests. It can also misbehave.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <memory>
#include <string>
#include <string_view>

#include "net/grpc_frames.h"
#include "net/test_client.h"

namespace coalmine::net::test {

// What came back on one stream.
struct GrpcAnswer {
  Headers headers; // and trailers
  std::string body;
  bool closed = false;
  std::uint32_t error = 0; // of RST_STREAM
  std::string field(std::string_view name) const { return std::string(header(headers, name)); }
};

// Single thread. Streams are answered while run() is on the stack.
class GrpcClient {
 public:
  explicit GrpcClient(const Endpoint& endpoint) : socket_(endpoint) {
    nghttp2_session_callbacks* callbacks = nullptr;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_header_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name,
                      std::size_t name_size, const std::uint8_t* value, std::size_t value_size,
                      std::uint8_t, void* user) {
          static_cast<GrpcClient*>(user)->answers[frame->hd.stream_id].headers.emplace_back(
              std::string(reinterpret_cast<const char*>(name), name_size),
              std::string(reinterpret_cast<const char*>(value), value_size));
          return 0;
        });
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(
        callbacks, [](nghttp2_session*, std::uint8_t, std::int32_t stream,
                      const std::uint8_t* bytes, std::size_t size, void* user) {
          static_cast<GrpcClient*>(user)->answers[stream].body.append(
              reinterpret_cast<const char*>(bytes), size);
          return 0;
        });
    nghttp2_session_callbacks_set_on_stream_close_callback(
        callbacks, [](nghttp2_session*, std::int32_t stream, std::uint32_t error, void* user) {
          auto& answer = static_cast<GrpcClient*>(user)->answers[stream];
          answer.closed = true;
          answer.error = error;
          return 0;
        });
    nghttp2_session_callbacks_set_on_frame_recv_callback(
        callbacks, [](nghttp2_session*, const nghttp2_frame* frame, void* user) {
          auto& self = *static_cast<GrpcClient*>(user);
          if (frame->hd.type == NGHTTP2_GOAWAY)
            self.goaway = static_cast<int>(frame->goaway.error_code);
          if (frame->hd.type == NGHTTP2_PING && (frame->hd.flags & NGHTTP2_FLAG_ACK) != 0)
            ++self.pongs;
          return 0;
        });
    nghttp2_session_client_new(&session_, callbacks, this);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, nullptr, 0);
  }
  ~GrpcClient() { nghttp2_session_del(session_); }

  // Starts a request with exactly this body (already framed). hold: the body never ends.
  std::int32_t start(std::string body, Headers headers = {}, bool hold = false) {
    Headers all = {{":method", "POST"},
                   {":scheme", "http"},
                   {":path", "/test.Service/Call"},
                   {":authority", "localhost"},
                   {"content-type", "application/grpc"},
                   {"te", "trailers"}};
    for (auto& [name, value] : headers) {
      const auto same = std::find_if(all.begin(), all.end(),
                                     [&](const auto& field) { return field.first == name; });
      if (same != all.end()) {
        same->second = value;
      } else {
        all.emplace_back(name, value);
      }
    }
    std::vector<nghttp2_nv> fields;
    const auto bytes = [](const std::string& text) {
      return reinterpret_cast<std::uint8_t*>(const_cast<char*>(text.data()));
    };
    for (const auto& [name, value] : all)
      fields.push_back(
          {bytes(name), bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
    auto source = std::make_unique<Source>(Source{std::move(body), 0, hold});
    nghttp2_data_provider provider{};
    provider.source.ptr = source.get();
    provider.read_callback = [](nghttp2_session*, std::int32_t, std::uint8_t* out, std::size_t room,
                                std::uint32_t* flags, nghttp2_data_source* from, void*) -> ssize_t {
      auto& body_source = *static_cast<Source*>(from->ptr);
      const auto size = std::min(room, body_source.bytes.size() - body_source.sent);
      if (size == 0 && body_source.hold) return NGHTTP2_ERR_DEFERRED;
      std::memcpy(out, body_source.bytes.data() + body_source.sent, size);
      body_source.sent += size;
      if (body_source.sent == body_source.bytes.size() && !body_source.hold)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
      return static_cast<ssize_t>(size);
    };
    const auto stream =
        nghttp2_submit_request(session_, nullptr, fields.data(), fields.size(), &provider, nullptr);
    sources_.push_back(std::move(source));
    return stream;
  }

  GrpcAnswer call(std::string body, Headers headers = {}) {
    const auto stream = start(std::move(body), std::move(headers));
    run([&] { return answers[stream].closed; });
    return answers[stream];
  }

  bool send() {
    const std::uint8_t* bytes = nullptr;
    for (auto size = nghttp2_session_mem_send(session_, &bytes); size > 0;
         size = nghttp2_session_mem_send(session_, &bytes)) {
      if (!socket_.send({reinterpret_cast<const char*>(bytes), static_cast<std::size_t>(size)}))
        return false;
    }
    return true;
  }

  // Exchanges bytes until done() or the connection ends. False in the latter case.
  bool run(const std::function<bool()>& done) {
    for (;;) {
      send();
      if (done()) return true;
      const auto bytes = socket_.receive();
      if (bytes.empty()) return false;
      if (nghttp2_session_mem_recv(session_, reinterpret_cast<const std::uint8_t*>(bytes.data()),
                                   bytes.size()) < 0)
        return false;
    }
  }

  nghttp2_session* session() { return session_; }
  RawClient& socket() { return socket_; }

  std::map<std::int32_t, GrpcAnswer> answers;
  int goaway = -1;
  int pongs = 0;

 private:
  struct Source {
    std::string bytes;
    std::size_t sent;
    bool hold;
  };
  RawClient socket_;
  nghttp2_session* session_ = nullptr;
  std::vector<std::unique_ptr<Source>> sources_;
};

} // namespace coalmine::net::test
