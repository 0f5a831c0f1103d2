// Any bytes as a chunk or a times row: decoded or refused. A decoded chunk is also read as columns,
// and encodes to chunks that decode to as many samples.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include <algorithm>
#include <numeric>

#include "base/bytes.h"
#include "base/check.h"
#include "store/series/chunk_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::decode_chunk(bytes);
  // A valid checksum lets the fuzzer reach the content.
  ByteWriter(bytes).u32(static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size())));
  if (const auto times = store::decode_times_row(bytes); times)
    CHECK(std::ranges::is_sorted(*times));
  // Chunks without their own times get made-up ones.
  std::vector<std::int64_t> times(store::times_row_of(bytes).value_or(0) %
                                  (store::kMaxChunkSamples + 1));
  std::iota(times.begin(), times.end(), 1000);
  const auto run = store::decode_chunk(bytes, times);
  if (!run) return 0;
  store::ChunkColumns reader;
  SampleColumns columns;
  CHECK(reader
            .append_to(columns, bytes,
                       {.from_ms = INT64_MIN, .to_ms = INT64_MAX, .one_window = true}, times)
            .has_value());
  std::size_t samples = 0;
  for (const auto& chunk : store::encode_chunks(*run)) {
    const auto again = store::decode_chunk(chunk.bytes);
    CHECK(again.has_value());
    samples += again->size();
  }
  CHECK(samples == run->size());
  return 0;
}
