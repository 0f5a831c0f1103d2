// A copy of a journal for a backup, while its owner writes on.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"

namespace coalmine::rollout {

// The journal in one directory as one transaction sees it, into another, which is made for the
// owner only and must have no journal yet. Checked after it was written. unavailable: a disk
// refuses; data_loss: damaged.
Status copy_journal(const std::string& from, const std::string& to);

} // namespace coalmine::rollout
