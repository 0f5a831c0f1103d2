// Any bytes as a slice of the head's copy: read or refused; what was read can be walked, and written again so that it reads.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "store/head_snapshot.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::decode_head_slice(bytes);
  ByteWriter(bytes).u64(XXH3_64bits(bytes.data(), bytes.size())); // past the checksum
  const auto slice = store::decode_head_slice(bytes);
  if (!slice) return 0;
  std::vector<std::pair<SeriesId, const store::OpenRun*>> runs;
  for (const auto& [series, run] : slice->runs) {
    (void)run.slice(INT64_MIN, INT64_MAX);
    runs.emplace_back(series, &run);
  }
  CHECK(store::decode_head_slice(store::encode_head_slice(slice->record, runs)).has_value());
  return 0;
}
