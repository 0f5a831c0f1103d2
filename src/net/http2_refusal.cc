// SPDX-License-Identifier: Apache-2.0
#include "net/http2_refusal.h"

#include <algorithm>

#include <fmt/format.h>

namespace coalmine::net {
namespace {

constexpr std::size_t kFrameHead = 9;
constexpr std::size_t kMostTaken = 64u << 10; // a call comes at once; more is no client of ours
constexpr char kHeadersFrame = 1;
constexpr char kResetFrame = 3;
constexpr char kSettingsFrame = 4;
constexpr char kGoawayFrame = 7;

std::string refusal_frame(char type, char flags, std::string_view stream,
                          std::string_view payload) {
  std::string out;
  for (const int shift : {16, 8, 0}) out += static_cast<char>((payload.size() >> shift) & 0xff);
  out += type;
  out += flags;
  out += stream;
  out += payload;
  return out;
}

// A string of HPACK: its length as an integer with a prefix of seven bits, then its bytes.
std::string hpack_text(std::string_view text) {
  constexpr std::size_t kPrefix = 127;
  std::string out;
  if (text.size() < kPrefix) {
    out += static_cast<char>(text.size());
  } else {
    out += static_cast<char>(kPrefix);
    auto rest = text.size() - kPrefix;
    for (; rest >= 128; rest /= 128) out += static_cast<char>(rest % 128 + 128);
    out += static_cast<char>(rest);
  }
  out += text;
  return out;
}

// A header that enters no table.
std::string hpack_header(std::string_view name, std::string_view value) {
  return fmt::format("{}{}{}", '\0', hpack_text(name), hpack_text(value));
}

} // namespace

std::string Http2Refusal::refuse_call(std::string_view stream) const {
  std::string message;
  for (const char c : sentence_) { // as gRPC has it
    if (c == '%') message += "%25";
    if (c != '%') message += c;
  }
  const auto headers = fmt::format(
      "\x88{}{}{}", hpack_header("content-type", "application/grpc"), // 0x88: ":status: 200"
      hpack_header("grpc-status", "12"), hpack_header("grpc-message", message));
  const std::string_view none("\0\0\0\0", 4);
  // END_HEADERS and END_STREAM, then NO_ERROR: nobody reads the rest of the call. The connection
  // ends with the last stream that was answered.
  return refusal_frame(kSettingsFrame, 1, none, "") +
         refusal_frame(kHeadersFrame, 5, stream, headers) +
         refusal_frame(kResetFrame, 0, stream, none) +
         refusal_frame(kGoawayFrame, 0, none, fmt::format("{}{}", stream, none));
}

std::string Http2Refusal::take(std::string_view bytes) {
  std::string out;
  if (!greeted_) out = refusal_frame(kSettingsFrame, 0, std::string_view("\0\0\0\0", 4), "");
  greeted_ = true;
  taken_ += bytes.size();
  while (!over_ && !bytes.empty()) {
    const auto size = std::min(skip_ > 0 ? skip_ : kFrameHead - head_.size(), bytes.size());
    if (skip_ > 0) {
      skip_ -= size;
    } else {
      head_ += bytes.substr(0, size);
    }
    bytes.remove_prefix(size);
    if (head_.size() < kFrameHead) continue;
    const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(head_[i]); };
    skip_ = (std::size_t{byte(0)} << 16) | (std::size_t{byte(1)} << 8) | byte(2);
    if (head_[3] == kHeadersFrame) {
      out += refuse_call(std::string_view(head_).substr(5, 4));
      over_ = true;
    }
    head_.clear();
  }
  over_ = over_ || taken_ > kMostTaken;
  return out;
}

} // namespace coalmine::net
