// SPDX-License-Identifier: Apache-2.0
#include "net/grpc_frames.h"

#include <algorithm>
#include <cstdint>

#include <fmt/format.h>

namespace coalmine::net {
namespace {

constexpr std::size_t kFirstMessageAllocation = 1u << 20;

std::uint8_t byte_of(char c) { return static_cast<std::uint8_t>(c); }

} // namespace

Status MessageReader::feed(std::string_view bytes) {
  if (prefix_have_ < prefix_.size()) {
    const auto size = std::min(bytes.size(), prefix_.size() - prefix_have_);
    std::copy_n(bytes.data(), size, prefix_.data() + prefix_have_);
    prefix_have_ += size;
    bytes.remove_prefix(size);
    if (prefix_have_ < prefix_.size()) return {};
    TRY(begin_message());
  }
  if (bytes.size() > length_ - message_.size()) {
    return fail(
        ErrorCode::unimplemented,
        "The request has more than one message; this is a unary method and takes exactly one.");
  }
  message_.append(bytes);
  return {};
}

Status MessageReader::begin_message() {
  if (byte_of(prefix_[0]) > 1) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "The request is not a gRPC message: its first byte is {}, which should be 0 or 1.",
            byte_of(prefix_[0])));
  }
  length_ = 0;
  for (std::size_t i = 1; i < prefix_.size(); ++i) length_ = (length_ << 8) | byte_of(prefix_[i]);
  if (length_ > max_message_) {
    return fail(ErrorCode::resource_exhausted,
                fmt::format("The message of {} bytes is larger than the {} bytes that are "
                            "accepted: send smaller batches.",
                            length_, max_message_));
  }
  message_.reserve(std::min(length_, kFirstMessageAllocation));
  return {};
}

Status MessageReader::finish() const {
  if (prefix_have_ == 0)
    return fail(ErrorCode::unimplemented,
                "The request has no message; a unary method takes exactly one.");
  if (prefix_have_ < prefix_.size()) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("The request ends after {} of the 5 bytes before a message.", prefix_have_));
  }
  if (message_.size() < length_) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("The message ends after {} of {} bytes.", message_.size(), length_));
  }
  return {};
}

std::string frame_message(std::string_view message) {
  std::string out;
  out.reserve(message.size() + 5);
  out += '\0';
  for (int shift = 24; shift >= 0; shift -= 8)
    out += static_cast<char>((message.size() >> shift) & 0xff);
  out += message;
  return out;
}

std::string encode_grpc_message(std::string_view text) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    if (c >= ' ' && c <= '~' && c != '%') {
      out += c;
    } else {
      out += {'%', kHex[byte_of(c) >> 4], kHex[byte_of(c) & 15]};
    }
  }
  return out;
}

} // namespace coalmine::net
