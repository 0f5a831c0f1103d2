// OTLP/protobuf: the first byte picks the signal, the rest is the payload.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>

#include "receive/otlp.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine::receive;
  if (size == 0) return 0;
  const std::string_view payload(reinterpret_cast<const char*>(data) + 1, size - 1);
  Limits limits;
  limits.max_inflated_bytes = 1u << 20;
  (void)decode(static_cast<Signal>(data[0] % 3), Encoding::protobuf, payload, "127.0.0.1",
               1'700'000'000'000, limits);
  return 0;
}
