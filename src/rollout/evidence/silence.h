// What a look heard of both tracks: who is silent since when, what should have come meanwhile, and
// under which other version it came.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include "rollout/evidence/look.h"

namespace coalmine::rollout {

// sources.feed is given and has caught up. Asks the store only about a track that has not
// been heard for a while.
void add_silence(const LookRequest& request, const LookSources& sources, LookResult& out);

} // namespace coalmine::rollout
