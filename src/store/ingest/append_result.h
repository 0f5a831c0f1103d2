// What an append says about the parts of a batch that it did not keep.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace coalmine::store {

// The receiver answers the client with partial success.
struct AppendResult {
  std::size_t rejected_points = 0;
  std::size_t rejected_spans = 0;
  std::size_t rejected_logs = 0;
  std::string reason; // one sentence, "" when nothing was rejected
};

} // namespace coalmine::store
