// What goes from the journal's database, a little at a time. Private to journal.cc; the caller
// holds its mutex.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <cstddef>

#include "base/result.h"

namespace coalmine::rollout {

// Which rollouts have ended, and when, without reading their states.
Status make_ended_index(sqlite3* db);
// Within a transaction: erases a little, in a few milliseconds at most. Of rollouts that have ended
// the newest ended_kept stay, the newest of each service, and the one with the greatest id, which
// no other may get. False: there was nothing to erase.
Result<bool> prune_a_little(sqlite3* db, std::size_t ended_kept);

} // namespace coalmine::rollout
