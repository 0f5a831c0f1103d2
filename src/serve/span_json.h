// Spans and failures as docs/http-api.md has them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>

#include "trace/failures.h"

namespace coalmine::serve {

boost::json::object span_json(const StoredSpan& stored);
boost::json::object failure_json(const trace::Failure& failure);

} // namespace coalmine::serve
