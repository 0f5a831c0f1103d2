// The rows of the meta family.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/bytes.h"

namespace coalmine::store {

inline constexpr std::uint64_t kSchemaVersion = 6;
// u64: the kSchemaVersion that the directory was written with.
inline constexpr std::string_view kSchemaKey = "schema";
// u64 record, u64 time_ms: Seal in log_book.h.
inline constexpr std::string_view kSealKey = "seal";
inline constexpr std::string_view kNextSeriesKey = "next";       // u64: all lower ids are taken
inline constexpr std::string_view kPresencePrefix = "presence/"; // + presence_key -> presence row
inline constexpr std::string_view kPresenceEnd = "presence0";

inline std::string number_key(std::uint64_t number) {
  std::string out;
  ByteWriter(out).u64_ordered(number);
  return out;
}

inline std::string number_row(std::uint64_t a) {
  std::string out;
  ByteWriter(out).u64(a);
  return out;
}

inline std::string number_row(std::uint64_t a, std::uint64_t b) {
  std::string out;
  ByteWriter w(out);
  w.u64(a);
  w.u64(b);
  return out;
}

} // namespace coalmine::store
