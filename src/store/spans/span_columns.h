// Encodes the spans of a segment as columns of bytes. The grammar is in docs/formats.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/bytes.h"
#include "store/spans/segment_parts.h"
#include "telemetry/span_table.h"

namespace coalmine::store {

void write_columns(std::string& out, const SpanTable& table);
// Breaks the reader when the bytes are damaged. Every index in the result is in range.
SpanTable read_columns(ByteReader& r);

} // namespace coalmine::store
