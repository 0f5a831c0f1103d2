// SPDX-License-Identifier: Apache-2.0
#include "store/series/log_book.h"

namespace coalmine::store {

void LogBook::add(std::uint64_t bytes, std::int64_t newest_ms) {
  records_.emplace_back(next_++, newest_ms);
  bytes_ += bytes;
}

void LogBook::restore(std::uint64_t record, std::uint64_t bytes, std::int64_t newest_ms) {
  reserve_below(record + 1);
  records_.emplace_back(record, newest_ms);
  bytes_ += bytes;
}

void LogBook::drop_below(std::uint64_t record) {
  while (has_below(record)) records_.pop_front();
}

bool LogBook::has_below(std::uint64_t record) const {
  return !records_.empty() && records_.front().first < record;
}

void LogBook::set_seal(Seal seal) {
  seal_ = seal;
  sealed_since_copy_ = true;
}

std::optional<std::uint64_t> LogBook::needed_from(const Seal& seal) const {
  std::optional<std::uint64_t> out;
  for (const auto& [record, newest_ms] : records_) {
    if (record >= seal.record || newest_ms >= seal.before_ms) break;
    out = record + 1;
  }
  return out;
}

std::uint64_t LogBook::slice_record(std::uint64_t slice) const {
  const auto at = static_cast<std::size_t>(slice);
  return at < slice_records_.size() ? slice_records_[at] : 0;
}

void LogBook::set_slice_record(std::uint64_t slice, std::uint64_t record) {
  const auto at = static_cast<std::size_t>(slice);
  if (at >= slice_records_.size()) slice_records_.resize(at + 1);
  slice_records_[at] = record;
}

void LogBook::restore_slice(std::uint64_t slice, std::uint64_t record, std::uint64_t bytes) {
  set_slice_record(slice, record);
  reserve_below(record);
  copy_bytes_ += bytes;
}

bool LogBook::copy_is_due(std::uint64_t least_bytes, std::uint64_t worth_bytes) const {
  const bool log_is_long = bytes_ >= std::max(least_bytes, copy_bytes_ / 2);
  const bool kept_twice = sealed_since_copy_ && copy_bytes_ >= worth_bytes;
  return log_is_long || kept_twice;
}

std::uint64_t LogBook::finish_copy(std::uint64_t log_bytes, std::uint64_t copy_bytes) {
  bytes_ -= log_bytes;
  sealed_since_copy_ = false;
  return std::exchange(copy_bytes_, copy_bytes);
}

} // namespace coalmine::store
