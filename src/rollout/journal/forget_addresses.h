// Private to the journal.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include "base/result.h"

namespace coalmine::rollout {

// Version 0.1 kept the whole URLs of webhooks, which are secrets, in specs and in lines about
// notices. What is left of them is the address (notify::shown_address). Does nothing when none is
// there.
Status forget_addresses(sqlite3* db);

} // namespace coalmine::rollout
