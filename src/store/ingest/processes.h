// Whether a resource tells its process from others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "telemetry/resource.h"

namespace coalmine::store {

// The address of the sender does not: behind a Collector all processes have one.
bool names_process(const Attributes& attributes);

} // namespace coalmine::store
