// Any bytes as an inflated WriteRequest: decoded or refused.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string_view>

#include "receive/remote_write.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  (void)coalmine::receive::decode_remote_write({reinterpret_cast<const char*>(data), size},
                                               1'795'000'000'000, {});
  return 0;
}
