// A column of integers in as few bits as its frames need.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>

#include "base/bytes.h"

namespace coalmine {

// column = %x00              ; all zero
//        / %x01 *frame       ; of 32 values each, the last of what is left
// frame  = width:u8 *OCTET   ; width (0 to 64) bits a value, lowest bit first, filled up to whole
//                            ; octets. Values are zigzag, unless %x80 is added to width: then no
//                            ; value is negative.
void write_column(ByteWriter& w, std::span<const std::int64_t> values);
// Fills values. On damage the reader is no longer ok.
void read_column(ByteReader& r, std::span<std::int64_t> values);

} // namespace coalmine
