// Implements TraceSource on the embedded store.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "store/store.h"
#include "trace/trace_source.h"

namespace coalmine::datasource {

// Thread-safe. store outlives the result.
std::unique_ptr<trace::TraceSource> make_store_trace_source(const store::Store& store);

} // namespace coalmine::datasource
