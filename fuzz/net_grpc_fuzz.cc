// The gRPC frame reader: the result does not depend on how the bytes are cut, and memory never
// exceeds the bytes received.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/base64.h"
#include "base/check.h"
#include "net/grpc_frames.h"

namespace {

// The message, or the error as text.
std::string read(std::string_view bytes, std::size_t piece) {
  coalmine::net::MessageReader reader(4096);
  while (!bytes.empty()) {
    const auto fed = reader.feed(bytes.substr(0, piece));
    if (!fed) return "error: " + std::string(coalmine::to_string(fed.error().code));
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  const auto whole = reader.finish();
  return whole ? "message: " + reader.take() : "error: " + whole.error().message;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  if (size == 0) return 0;
  const std::size_t piece = bytes[0] % 16u + 1u;
  const std::string_view body(reinterpret_cast<const char*>(bytes) + 1, size - 1);
  const auto at_once = read(body, body.size() + 1);
  CHECK(at_once == read(body, piece));
  if (at_once.starts_with("message: "))
    CHECK(body.substr(1) == coalmine::net::frame_message(at_once.substr(9)).substr(1));
  coalmine::net::encode_grpc_message(body);
  (void)coalmine::decode_base64(coalmine::base64(body));
  return 0;
}
