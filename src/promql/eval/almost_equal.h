// SPDX-License-Identifier: Apache-2.0
#pragma once

namespace coalmine::promql {

// Equal within a relative error; NaN equals NaN, a staleness marker only another one.
bool almost_equal(double a, double b, double epsilon);

} // namespace coalmine::promql
