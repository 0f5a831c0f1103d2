// The bounded inflate: the first byte picks the encoding. The output never exceeds the limit.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <cstdlib>

#include "receive/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine::receive;
  if (size == 0) return 0;
  static constexpr std::string_view kEncodings[] = {"gzip", "deflate", "zstd", ""};
  Limits limits;
  limits.max_inflated_bytes = 256u << 10;
  const auto out =
      inflate({reinterpret_cast<const char*>(data) + 1, size - 1}, kEncodings[data[0] % 4], limits);
  if (out && out->size() > limits.max_inflated_bytes) std::abort();
  return 0;
}
