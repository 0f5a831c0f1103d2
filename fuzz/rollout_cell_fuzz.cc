// Any bytes as a kept cell or a feed's memory, behind a checksum that fits: read or refused. A cell
// that was read is written and read again.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include "base/bytes.h"
#include "base/check.h"
#include "rollout/evidence/cell_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  using namespace coalmine::rollout;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  ByteWriter(bytes).u32(static_cast<std::uint32_t>(XXH3_64bits(data, size)));
  (void)decode_memory(bytes);
  CellTexts texts({{1, "/pay"}, {2, "pod@1"}, {4, "a note"}});
  auto cell = decode_cell(bytes, texts);
  if (!cell) return 0;
  round_counts(*cell);
  const auto again = decode_cell(encode_cell(*cell, texts), texts);
  CHECK(again.has_value());
  CHECK(again->from_ms == cell->from_ms && again->to_ms == cell->to_ms);
  CHECK(again->total.canary.requests == cell->total.canary.requests);
  CHECK(again->routes.size() == cell->routes.size());
  for (std::size_t i = 0; i < cell->routes.size(); ++i)
    CHECK(again->routes[i].parts.size() == cell->routes[i].parts.size());
  CHECK(again->instances.size() == cell->instances.size());
  for (std::size_t i = 0; i < cell->instances.size(); ++i)
    CHECK(again->instances[i].bucket_counts == cell->instances[i].bucket_counts);
  return 0;
}
