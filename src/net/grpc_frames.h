// The gRPC layer above HTTP/2 in pure functions: length-prefixed messages and the coding of
// trailers.
//
//   body      = *message                       ; unary: exactly one
//   message   = flag length payload
//   flag      = %x00 / %x01                    ; 1: payload is compressed as grpc-encoding says
//   length    = 4OCTET                         ; big-endian
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coalmine::net {

// Assembles one message from a body that arrives in pieces. Allocates for the bytes received, not
// for the length claimed. One thread. Must not be fed again after an error.
class MessageReader {
 public:
  explicit MessageReader(std::size_t max_message) : max_message_(max_message) {}

  // resource_exhausted: longer than allowed; unimplemented: a second message; invalid_argument: no
  // gRPC frame.
  Status feed(std::string_view bytes);
  // At the end of the body: fails unless exactly one whole message came.
  Status finish() const;

  bool compressed() const { return prefix_[0] == 1; }
  std::string take() { return std::move(message_); }

 private:
  Status begin_message();

  const std::size_t max_message_;
  std::array<char, 5> prefix_{};
  std::size_t prefix_have_ = 0;
  std::size_t length_ = 0;
  std::string message_;
};

// Prefix and payload of an uncompressed message.
std::string frame_message(std::string_view message);

// grpc-message: printable ASCII except '%' stands for itself.
std::string encode_grpc_message(std::string_view text);

} // namespace coalmine::net
