// A feed whose closed cells are kept, so that a restart gives the judge the same cells again and
// reads from the telemetry only what came behind them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "rollout/evidence/cell_book.h"
#include "rollout/evidence/evidence_feed.h"

namespace coalmine::rollout {

// Makes the feed that reads the telemetry: behind the kept cells, or everything where past is null.
using FeedBehind = std::function<std::unique_ptr<EvidenceFeed>(std::shared_ptr<const KeptPast>)>;

// Gives out the kept cells of record first, then those of the feed behind them, which it rounds,
// keeps and counts. So the cells, the totals and the requests since a moment are the same whether
// the process was restarted or not, after any cell.
std::unique_ptr<EvidenceFeed> make_kept_feed(std::unique_ptr<CellRecord> record, FeedBehind behind);
// One read gives out kept cells until it has this many, so that no look takes long.
inline constexpr std::size_t kMostRecalled = 2'000;

} // namespace coalmine::rollout
