// Any bytes as a segment of spans or its summary: decoded or refused. A decoded value encodes to
// bytes that decode.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "store/spans/span_segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::decode_segment(bytes);
  ByteWriter(bytes).u64(XXH3_64bits(bytes.data(), bytes.size())); // past the checksum
  if (const auto segment = store::decode_segment(bytes)) {
    CHECK(store::decode_segment(
              store::encode_segment(segment->spans, segment->logs, store::SegmentPacking::quick))
              .has_value());
    CHECK(store::decode_summary(
              store::encode_summary(store::summarise(segment->spans, segment->logs, {})))
              .has_value());
  }
  (void)store::decode_summary(bytes);
  return 0;
}
