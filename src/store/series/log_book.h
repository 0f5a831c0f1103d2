// Keeps which log records a start still has to replay. The others are covered by chunks or copies
// of the head.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <cstdint>
#include <deque>
#include <optional>
#include <utility>
#include <vector>

namespace coalmine::store {

// Samples before before_ms of records with a lower number are in chunks.
struct Seal {
  std::uint64_t record = 0;
  std::int64_t before_ms = 0;
};

// Guarded by Locks::write. Records are numbered from 1 without gaps.
class LogBook {
 public:
  // The number of the next record.
  std::uint64_t next() const { return next_; }
  // Marks every lower number as taken.
  void reserve_below(std::uint64_t record) { next_ = std::max(next_, record); }
  // Record next() was written. newest_ms: of its samples.
  void add(std::uint64_t bytes, std::int64_t newest_ms);
  // An earlier process wrote this record.
  void restore(std::uint64_t record, std::uint64_t bytes, std::int64_t newest_ms);
  // Records below have been erased.
  void drop_below(std::uint64_t record);
  bool has_below(std::uint64_t record) const;
  // The size of the records since the last copy of the head.
  std::uint64_t bytes() const { return bytes_; }

  const Seal& seal() const { return seal_; }
  // Sets the seal. A copy of the head made before now holds samples that are in chunks too.
  void set_seal(Seal seal);
  bool is_sealed(std::uint64_t record, std::int64_t time_ms) const {
    return record < seal_.record && time_ms < seal_.before_ms;
  }
  // Once this seal holds, records below the returned number are not needed any more. nullopt: all
  // are still needed.
  std::optional<std::uint64_t> needed_from(const Seal& seal) const;

  // The head is copied in slices. Records below slice_record(slice) are in the copy of the slice;
  // 0: there is no copy.
  std::uint64_t slice_record(std::uint64_t slice) const;
  void set_slice_record(std::uint64_t slice, std::uint64_t record);
  void restore_slice(std::uint64_t slice, std::uint64_t record, std::uint64_t bytes);
  // True when the log is long, or when much of the copy is in chunks too. least_bytes: the least
  // size of a long log. worth_bytes: a smaller copy is not worth writing again.
  bool copy_is_due(std::uint64_t least_bytes, std::uint64_t worth_bytes) const;
  // Called when all slices were copied, together with log records of log_bytes. Returns the size of
  // the copy that this one replaces.
  std::uint64_t finish_copy(std::uint64_t log_bytes, std::uint64_t copy_bytes);

 private:
  std::uint64_t next_ = 1;
  std::deque<std::pair<std::uint64_t, std::int64_t>> records_; // number, newest sample
  std::uint64_t bytes_ = 0;
  Seal seal_;
  std::vector<std::uint64_t> slice_records_; // by slice
  std::uint64_t copy_bytes_ = 0;
  bool sealed_since_copy_ = true;
};

} // namespace coalmine::store
