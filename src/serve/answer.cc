// SPDX-License-Identifier: Apache-2.0
#include "serve/answer.h"

#include <fmt/format.h>
#include <zlib.h>

#include <limits>

#include "base/json_string.h"
#include "base/text.h"
#include "net/grpc_server.h"

namespace coalmine::serve {
namespace {

constexpr std::size_t kWorthCompressing = 4096;
constexpr std::size_t kMaxCompressed = 1u << 30; // zlib counts in 32 bits

std::string error_body(std::string_view code, std::string_view message) {
  std::string out = "{\"error\":{\"code\":";
  append_json_string(out, code);
  out += ",\"message\":";
  append_json_string(out, message);
  return out + "}}";
}

ErrorCode code_of(int status) {
  switch (status) {
    case 408: return ErrorCode::deadline_exceeded;
    case 413:
    case 431: return ErrorCode::resource_exhausted;
    case 503: return ErrorCode::unavailable;
    default: return status < 500 ? ErrorCode::invalid_argument : ErrorCode::internal;
  }
}

bool has(const net::HttpResponse& answer, std::string_view name) {
  return !net::header(answer.headers, name).empty();
}

} // namespace

net::HttpResponse json_answer(int status, std::string body) {
  return {
      .status = status, .headers = {{"Content-Type", "application/json"}}, .body = std::move(body)};
}

net::HttpResponse text_answer(int status, std::string body, std::string_view type) {
  return {
      .status = status, .headers = {{"Content-Type", std::string(type)}}, .body = std::move(body)};
}

net::HttpResponse error_answer(const Error& error) {
  return json_answer(net::to_http(error.code), error_body(to_string(error.code), error.message));
}

net::HttpResponse error_answer(int status, std::string_view message) {
  return json_answer(status, error_body(to_string(code_of(status)), message));
}

bool accepts_gzip(const net::HttpRequest& request) {
  auto rest = net::header(request.headers, "Accept-Encoding");
  while (!rest.empty()) {
    const auto comma = rest.find(',');
    const auto item = rest.substr(0, comma);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
    const auto semicolon = item.find(';');
    const auto coding = trimmed(item.substr(0, semicolon), " \t");
    if (coding != "gzip" && coding != "*") continue;
    const auto weight = semicolon == std::string_view::npos
                            ? std::string_view()
                            : trimmed(item.substr(semicolon + 1), " \t");
    // "q=0", "q=0.000": not wanted at all.
    return !weight.starts_with("q=0") ||
           weight.find_first_of("123456789") != std::string_view::npos;
  }
  return false;
}

std::string gzip(std::string_view bytes, int level) {
  if (bytes.size() > kMaxCompressed) return {};
  z_stream stream{};
  constexpr int kGzipWindow = 15 + 16;
  constexpr int kMemory = 8;
  if (deflateInit2(&stream, level, Z_DEFLATED, kGzipWindow, kMemory, Z_DEFAULT_STRATEGY) != Z_OK)
    return {};
  std::string out(deflateBound(&stream, static_cast<uLong>(bytes.size())), '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  stream.avail_in = static_cast<uInt>(bytes.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  const bool done = deflate(&stream, Z_FINISH) == Z_STREAM_END;
  out.resize(done ? stream.total_out : 0);
  deflateEnd(&stream);
  return out;
}

void compress(const net::HttpRequest& request, net::HttpResponse& answer) {
  if (answer.body.size() < kWorthCompressing || has(answer, "Content-Encoding")) return;
  if (!has(answer, "Vary")) answer.headers.emplace_back("Vary", "Accept-Encoding");
  if (!accepts_gzip(request)) return;
  auto smaller = gzip(answer.body, 1);
  if (smaller.empty()) return;
  answer.body = std::move(smaller);
  answer.headers.emplace_back("Content-Encoding", "gzip");
}

void harden(net::HttpResponse& answer) {
  answer.headers.emplace_back("Content-Security-Policy",
                              "default-src 'self'; base-uri 'none'; form-action 'none'; "
                              "frame-ancestors 'none'; object-src 'none'");
  answer.headers.emplace_back("X-Content-Type-Options", "nosniff");
  answer.headers.emplace_back("X-Frame-Options", "DENY");
  answer.headers.emplace_back("Referrer-Policy", "no-referrer");
  // Another site may not read an answer by including it as a script or an image.
  answer.headers.emplace_back("Cross-Origin-Resource-Policy", "same-origin");
  if (!has(answer, "Cache-Control")) answer.headers.emplace_back("Cache-Control", "no-store");
}

} // namespace coalmine::serve
