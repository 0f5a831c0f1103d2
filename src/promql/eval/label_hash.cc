// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/label_hash.h"

#include <xxhash.h>

#include <string>

namespace coalmine::promql {

std::uint64_t prometheus_label_hash(const Labels& labels) {
  // Each text is preceded by its length: one byte, or 255 and three bytes little-endian.
  std::string bytes;
  const auto put = [&](std::string_view text) {
    if (text.size() < 255) {
      bytes += static_cast<char>(text.size());
    } else {
      bytes += '\xff';
      for (const unsigned shift : {0U, 8U, 16U})
        bytes += static_cast<char>((text.size() >> shift) & 0xff);
    }
    bytes += text;
  };
  for (const auto [name, value] : labels) {
    put(name);
    put(value);
  }
  return XXH64(bytes.data(), bytes.size(), 0);
}

} // namespace coalmine::promql
