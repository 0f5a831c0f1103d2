// Any bytes as a record of the durable log: decoded or refused. A decoded record encodes to bytes
// that decode.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "store/series/record_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::decode_record(bytes);
  ByteWriter(bytes).u64(XXH3_64bits(bytes.data(), bytes.size())); // past the checksum
  if (const auto record = store::decode_record(bytes))
    CHECK(store::decode_record(store::encode_record(*record)).has_value());
  return 0;
}
