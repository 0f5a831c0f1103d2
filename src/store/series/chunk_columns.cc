// Reads chunks as columns of numbers.
// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstring>
#include <memory>
#include <span>

#include "store/series/chunk_codec.h"
#include "store/series/chunk_parts.h"
#include "telemetry/packed_column.h"

namespace coalmine::store {

Status ChunkColumns::append_to(SampleColumns& out, std::string_view bytes,
                               const ColumnRequest& request, std::span<const std::int64_t> times) {
  ByteReader r("");
  const auto chunk = open_chunk(bytes, r, times, own_times_);
  if (!chunk) return damaged_chunk();
  const ChunkHead& head = chunk->head;
  if (head.body == ChunkBody::exponential) {
    out.uniform = false;
    return {};
  }
  from_ms_ = request.from_ms;
  to_ms_ = request.to_ms;
  times_ = chunk->times;
  column_.resize(times_.size());
  read_starts(r);
  wanted_.clear();
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (times_[i] >= from_ms_ && times_[i] <= to_ms_)
      wanted_.push_back(static_cast<std::uint32_t>(i));
  }
  summarised_ = head.summarised;
  ends_do_ = request.one_window && times_.size() > 2 && wanted_.size() == times_.size();
  const std::size_t rows = out.times.size();
  const std::size_t hidden = out.hidden;
  if (r.ok() && head.body == ChunkBody::classic) read_classic(r, out, request.part);
  if (r.ok() && head.body != ChunkBody::classic)
    read_floats(r, head.body == ChunkBody::integers, out);
  if (r.ok()) return {};
  out.hidden = hidden;
  out.times.resize(rows);
  out.values.resize(rows * out.width);
  return damaged_chunk();
}

// Skips the start times, which columns do not hold.
void ChunkColumns::read_starts(ByteReader& r) {
  for (std::uint64_t i = 0; i < times_.size() && r.ok();) {
    const auto run = r.varint();
    (void)r.zigzag();
    if (run == 0 || run > times_.size() - i) return break_reader(r);
    i += run;
  }
}

void ChunkColumns::read_floats(ByteReader& r, bool integers, SampleColumns& out) {
  if (summarised_ && has_summary(r)) {
    double first = 0;
    double last = 0;
    if (integers) {
      const auto [from, to] = read_rise(r);
      first = static_cast<double>(from);
      last = static_cast<double>(to);
    } else {
      first = r.f64();
      last = r.f64();
    }
    if (ends_do_) {
      out.add(times_.front(), first);
      out.add(times_.back(), last);
      out.hidden += times_.size() - 2;
      return;
    }
  }
  if (integers) {
    read_numbers(r, column_);
    for (const auto i : wanted_) out.add(times_[i], static_cast<double>(column_[i]));
    return;
  }
  XorReader values;
  for (const auto time_ms : times_) {
    const double value = values.read(r);
    if (time_ms >= from_ms_ && time_ms <= to_ms_) out.add(time_ms, value);
  }
}

void ChunkColumns::skip_stale(ByteReader& r) {
  const auto count = r.varint();
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    const auto at = r.varint();
    if (at >= times_.size()) return break_reader(r);
    std::erase(wanted_, static_cast<std::uint32_t>(at));
  }
}

// Adds the steps of a row to the column. Sums of steps are the steps of the sums, so the numbers
// are computed only once at the end.
void ChunkColumns::add_numbers(ByteReader& r, std::span<std::int64_t> column) {
  column.front() = r.zigzag();
  read_column(r, column.subspan(1));
  for (std::size_t i = 0; i < column.size(); ++i) steps_[i] = plus(steps_[i], column[i]);
}

// Writes the numbers of the wanted rows, `stride` places apart.
void ChunkColumns::write_column_of(double* at, std::size_t stride) const {
  std::int64_t sum = 0;
  std::size_t i = 0;
  for (const auto wanted : wanted_) {
    for (; i <= wanted; ++i) sum = plus(sum, steps_[i]);
    *at =
        sum >= 0 ? static_cast<double>(sum) : static_cast<double>(static_cast<std::uint64_t>(sum));
    at += stride;
  }
}

// Returns true when first and last row were enough and have been added.
bool ChunkColumns::read_classic_ends(ByteReader& r, std::size_t buckets, SampleColumns& out,
                                     HistogramPart part) {
  double* rows[2] = {nullptr, nullptr};
  if (ends_do_) {
    out.add(times_.front());
    rows[1] = out.add(times_.back());
    rows[0] = rows[1] - out.width;
    out.hidden += times_.size() - 2;
  }
  const auto put = [&](std::size_t column, double first, double last) {
    if (!ends_do_) return;
    rows[0][column] = first;
    rows[1][column] = last;
  };
  std::int64_t below[2] = {0, 0};
  for (std::size_t i = 0; i < buckets && r.ok(); ++i) {
    const auto [first, last] = read_rise(r);
    below[0] = plus(below[0], first);
    below[1] = plus(below[1], last);
    if (part == HistogramPart::buckets && i + 1 < buckets)
      put(i, static_cast<double>(below[0]), static_cast<double>(below[1]));
  }
  const auto [first, last] = read_rise(r);
  const double first_sum = r.f64();
  const double last_sum = r.f64();
  if (part == HistogramPart::sum) {
    put(0, first_sum, last_sum);
  } else {
    put(out.width - 1, static_cast<double>(first), static_cast<double>(last));
  }
  return ends_do_;
}

void ChunkColumns::read_classic(ByteReader& r, SampleColumns& out, HistogramPart part) {
  const auto size = r.varint();
  if (size > r.remaining() / sizeof(double)) return break_reader(r);
  const auto packed = r.raw(static_cast<std::size_t>(size) * sizeof(double));
  skip_stale(r);
  if (!r.ok() || size >= r.remaining())
    return break_reader(r); // each bucket takes two bytes at least
  if (wanted_.empty()) return;
  // The bounds are nearly always the same as before. Then no new list is made.
  const bool known =
      out.bounds != nullptr && out.bounds->size() == size &&
      (size == 0 || std::memcmp(out.bounds->data(), packed.data(), packed.size()) == 0);
  if (part == HistogramPart::buckets && !known) {
    std::vector<double> list(static_cast<std::size_t>(size));
    if (size > 0) std::memcpy(list.data(), packed.data(), packed.size());
    out.set_bounds(std::make_shared<const std::vector<double>>(std::move(list)));
  }
  if (!out.uniform) return;
  if (summarised_ && has_summary(r) &&
      read_classic_ends(r, static_cast<std::size_t>(size) + 1, out, part))
    return;
  if (!r.ok()) return;
  const std::size_t before = out.times.size();
  for (const auto i : wanted_) out.times.push_back(times_[i]);
  out.values.resize(out.times.size() * out.width);
  double* const rows = out.values.data() + before * out.width;
  steps_.assign(times_.size(), 0);
  const std::span column(column_);
  for (std::size_t bucket = 0; bucket <= size; ++bucket) {
    add_numbers(r, column);
    if (part == HistogramPart::buckets && bucket < size) write_column_of(rows + bucket, out.width);
  }
  add_numbers(r, column); // the count minus all buckets
  if (part != HistogramPart::sum) return write_column_of(rows + out.width - 1, out.width);
  const auto whole = r.u8();
  if (whole > 1) return break_reader(r);
  if (whole == 1) read_numbers(r, column_);
  XorReader sums;
  double* at = rows;
  std::size_t next = 0;
  for (std::size_t i = 0; i < times_.size(); ++i) {
    const double sum = whole == 1 ? static_cast<double>(column_[i]) : sums.read(r);
    if (next < wanted_.size() && wanted_[next] == i) {
      *at++ = sum;
      ++next;
    }
  }
}

} // namespace coalmine::store
