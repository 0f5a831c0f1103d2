// Bytes of the sequential judge's state. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <span>
#include <vector>

#include "base/bytes.h"
#include "judge/tails.h"

namespace coalmine::judge {

void write_numbers(ByteWriter& out, std::span<const double> numbers);
bool read_numbers(ByteReader& in, std::vector<double>& numbers); // false: damaged
void write_buckets(ByteWriter& out, const Buckets& buckets);
bool read_buckets(ByteReader& in, Buckets& buckets);

} // namespace coalmine::judge
