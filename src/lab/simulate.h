// `coalmine simulate`: what a judge decides about releases whose truth is known.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "lab/simulation.h"

namespace coalmine::lab {

// Runs body(0..count-1) on as many threads as there are cores; every index writes its own result,
// so the order does not matter.
void for_each_run(std::size_t count, const std::function<void(std::size_t)>& body);

// The published comparison of judges in the reference's configuration: one hour of looks, no
// margins. Markdown.
std::string reference_tables(std::size_t runs, std::uint64_t seed);
// False rollbacks and delays when every instance exports at its own moments. Markdown.
std::string export_tables(std::size_t runs, std::uint64_t seed);
// The product's defaults: the decision rule by true difference, and the default margins by traffic
// and error rate. Markdown.
std::string default_tables(std::size_t runs, std::uint64_t seed);
// Latency in buckets that tell little: a tail beyond stable, one bucket, a stable that warms up,
// no durations, exports every minute. Markdown.
std::string latency_table(std::size_t runs, std::uint64_t seed);
// Requests that depend on each other, as those of real pods do: equal versions, and regressions in
// the same traffic. Takes long, and says on stderr how far it is. Markdown.
std::string hard_table(std::size_t runs, std::uint64_t seed);

} // namespace coalmine::lab
