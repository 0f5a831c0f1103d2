// A record of the durable log: the samples of one append, in normalised form.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "base/ids.h"
#include "base/result.h"
#include "store/series/samples.h"

namespace coalmine::store {

struct StagedSample {
  SeriesId series;
  Sample sample;
};

// record   = %x01 count:varint bounds_count:varint *bounds *entry checksum:u64
// bounds   = size:varint *f64
// entry    = series:varint type:u8 time_ms:zigzag age_ms:zigzag body
//            time: relative to the entry before
//            age: time - start; 0, with %x10 in type, when the start is unknown
// type     = kind (0 float, 1 classic, 2 exponential)
//            plus %x10: unknown start, plus %x20: stale (not for floats)
// body     = f64                                                      ; float
//          / bounds_index:varint *count:varint total:varint sum:f64   ; classic: one count more
//                                                                     ; than bounds
//          / scale:zigzag zero_threshold:f64 zero_count:varint buckets buckets
//            total:varint sum:f64                                     ; exponential
// buckets  = offset:zigzag size:varint *count:varint
// checksum = XXH3-64 of everything before it
std::string encode_record(const std::vector<StagedSample>& samples);
// data_loss: damaged.
Result<std::vector<StagedSample>> decode_record(std::string_view bytes);

} // namespace coalmine::store
