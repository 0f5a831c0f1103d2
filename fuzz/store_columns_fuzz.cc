// Any bytes as the columns of a segment, without compression and checksum: read or refused. Columns
// that were read are written and read again.
// SPDX-License-Identifier: Apache-2.0
#include "base/check.h"
#include "store/spans/span_columns.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  ByteReader reader(bytes);
  const auto table = store::read_columns(reader);
  if (!reader.ok()) return 0;
  for (std::size_t i = 0; i < table.rows.size(); ++i) (void)table.span(i);
  std::string again;
  store::write_columns(again, table);
  ByteReader second(again);
  CHECK(store::read_columns(second).rows.size() == table.rows.size());
  CHECK(second.ok());
  return 0;
}
