// The embedded store as a Queryable: presents classic histograms as _bucket/_sum/_count,
// exponential ones as native histograms.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>

#include "promql/queryable.h"
#include "store/store.h"

namespace coalmine::datasource {

// store must outlive the result.
std::unique_ptr<promql::Queryable> make_store_queryable(const store::Store& store);

} // namespace coalmine::datasource
