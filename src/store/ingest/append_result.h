// The result of an append: which parts of a batch were not kept, and why.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace coalmine::store {

// The receiver reports it to the client as partial success.
struct AppendResult {
  std::size_t rejected_points = 0;
  std::size_t rejected_spans = 0;
  std::size_t rejected_logs = 0;
  std::string reason; // one sentence, "" when nothing was rejected
};

} // namespace coalmine::store
