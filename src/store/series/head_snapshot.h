// Encodes copies of the head, so that a start need not replay the samples one by one.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/series/open_run.h"

namespace coalmine::store {

// The head is copied in slices of this many series ids, each under its own row of the head family:
// its number (u64 big-endian).
inline constexpr std::uint64_t kSliceSeries = 256;

// The state of these series after the log records below `record`. Later records must be replayed on
// it.
struct HeadSlice {
  std::uint64_t record = 0;
  std::vector<std::pair<SeriesId, OpenRun>> runs;
};

// slice       = %x01 record:u64 bounds:varint *(size:varint *f64)
//               count:varint *(series:varint run) checksum:u64
// run         = %x00 frames:varint *frame frame_bytes:text
//             / %x01 record:text   ; exponential histograms: a record of the log (record_codec.h)
// frame       = bytes:varint rows:varint first_ms:zigzag last_ms:zigzag bounds:varint
//               bounds: 0 for plain numbers, else 1 + the place in the list above
// frame_bytes = the frames, one after the other, as OpenRun holds them
// checksum    = XXH3-64 of everything before it
std::string encode_head_slice(std::uint64_t record,
                              const std::vector<std::pair<SeriesId, const OpenRun*>>& runs);
// data_loss: damaged.
Result<HeadSlice> decode_head_slice(std::string_view bytes);

} // namespace coalmine::store
