// SPDX-License-Identifier: Apache-2.0
#include "store/series/head_copier.h"

#include <mutex>
#include <utility>
#include <vector>

#include "store/disk/meta_rows.h"
#include "store/series/head_snapshot.h"

namespace coalmine::store {
namespace {

// From this many unneeded bytes on disk, rewriting the rows next to them is worth it.
constexpr std::uint64_t kWorthRewriting = 1 << 20;

} // namespace

Status HeadCopier::copy_if_due() {
  {
    std::lock_guard lock(locks_.write);
    if (!log_.copy_is_due(least_log_bytes_, kWorthRewriting)) return {};
  }
  return copy();
}

// The head is copied slice by slice, so that writers wait for one slice at most. Each slice has the
// number of the first record that is not in it. When all are written, records before the first of
// these numbers are not needed any more.
Status HeadCopier::copy() {
  std::uint64_t begin = 0;
  std::uint64_t log_bytes = 0;
  std::uint64_t slices = 0;
  {
    std::lock_guard lock(locks_.write);
    begin = log_.next();
    log_bytes = log_.bytes();
    slices = (state_.head.end() + kSliceSeries - 1) / kSliceSeries;
  }
  std::uint64_t bytes = 0;
  for (std::uint64_t slice = 0; slice < slices; ++slice) TRY(copy_slice(slice, bytes));
  std::uint64_t replaced = 0;
  {
    std::lock_guard lock(locks_.write);
    if (log_.has_below(begin)) {
      WriteSet writes;
      writes.erase_range(Family::log, "", number_key(begin));
      TRY(database_.write(writes));
      log_.drop_below(begin);
    }
    replaced = log_.finish_copy(log_bytes, bytes);
  }
  // The rows just written are also in RocksDB's own log, which a start replays too. A flush ends
  // that.
  TRY(database_.flush());
  if (replaced >= kWorthRewriting) TRY(database_.compact(Family::head));
  if (log_bytes >= kWorthRewriting) TRY(database_.compact(Family::log));
  return {};
}

Status HeadCopier::copy_slice(std::uint64_t slice, std::uint64_t& bytes) {
  std::lock_guard lock(locks_.write);
  std::vector<std::pair<SeriesId, const OpenRun*>> runs;
  for (std::uint64_t id = slice * kSliceSeries; id < (slice + 1) * kSliceSeries; ++id) {
    const auto* series = state_.head.find(SeriesId{id});
    if (series != nullptr && !series->samples.empty())
      runs.emplace_back(SeriesId{id}, &series->samples);
  }
  // A slice without samples is written only if an older copy exists, which would come back
  // otherwise.
  if (runs.empty() && log_.slice_record(slice) == 0) return {};
  WriteSet writes;
  writes.put(Family::head, number_key(slice), encode_head_slice(log_.next(), runs));
  bytes += writes.ops().front().value.size();
  TRY(database_.write(writes));
  log_.set_slice_record(slice, log_.next());
  return {};
}

} // namespace coalmine::store
