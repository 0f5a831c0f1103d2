// SPDX-License-Identifier: Apache-2.0
#include "store/series/record_codec.h"

#include <xxhash.h>

#include <map>

#include "base/bytes.h"
#include "base/wrapping.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kRecordVersion = 1;
constexpr std::uint8_t kKindMask = 0x0f;
constexpr std::uint8_t kUnknownStart = 0x10;
constexpr std::uint8_t kStaleType = 0x20;

using BoundsList = std::vector<BucketBounds>;
using Buckets = ExponentialHistogram::Buckets;

std::size_t index_of(BoundsList& list, const BucketBounds& bounds) {
  for (std::size_t i = list.size(); i-- > 0;) {
    if (list[i] == bounds || *list[i] == *bounds) return i;
  }
  list.push_back(bounds);
  return list.size() - 1;
}

void write_buckets(RoomWriter& w, const Buckets& buckets) {
  w.zigzag(buckets.offset);
  w.varint(buckets.counts.size());
  for (const auto n : buckets.counts) w.varint(n);
}

Buckets read_record_buckets(ByteReader& r) {
  Buckets out;
  out.offset = static_cast<std::int32_t>(r.zigzag());
  const auto size = r.varint();
  if (size > r.remaining()) {
    (void)r.raw(r.remaining() + 1); // more counts than bytes: damaged
    return out;
  }
  out.counts.reserve(static_cast<std::size_t>(size));
  for (std::uint64_t i = 0; i < size; ++i) out.counts.push_back(r.varint());
  return out;
}

// The largest size of an entry.
std::size_t most_bytes(const Sample& sample) {
  constexpr std::size_t kFixed = 16 * kMaxVarint;
  if (const auto* classic = std::get_if<ClassicSample>(&sample))
    return kFixed + classic->value.counts.size() * kMaxVarint;
  if (const auto* exponential = std::get_if<ExponentialSample>(&sample)) {
    return kFixed +
           (exponential->value.positive.counts.size() + exponential->value.negative.counts.size()) *
               kMaxVarint;
  }
  return kFixed;
}

struct BodyWriter {
  RoomWriter& w;
  BoundsList& bounds;

  void operator()(const FloatSample& s) const { w.f64(s.value); }
  void operator()(const ClassicSample& s) const {
    w.varint(index_of(bounds, s.value.bounds));
    for (const auto n : s.value.counts) w.varint(n);
    w.varint(s.value.count);
    w.f64(s.value.sum);
  }
  void operator()(const ExponentialSample& s) const {
    w.zigzag(s.value.scale);
    w.f64(s.value.zero_threshold);
    w.varint(s.value.zero_count);
    write_buckets(w, s.value.positive);
    write_buckets(w, s.value.negative);
    w.varint(s.value.count);
    w.f64(s.value.sum);
  }
};

struct StaleFlag {
  bool operator()(const FloatSample&) const { return false; }
  bool operator()(const ClassicSample& s) const { return s.stale; }
  bool operator()(const ExponentialSample& s) const { return s.stale; }
};

Sample read_record_body(ByteReader& r, std::uint8_t type, const BoundsList& bounds) {
  const bool stale = (type & kStaleType) != 0;
  switch (type & kKindMask) {
    case 0: return FloatSample{0, 0, r.f64()};
    case 1: {
      ClassicSample out;
      out.stale = stale;
      const auto at = r.varint();
      if (at >= bounds.size() || bounds[static_cast<std::size_t>(at)]->size() >= r.remaining()) {
        (void)r.raw(r.remaining() + 1);
        return out;
      }
      out.value.bounds = bounds[static_cast<std::size_t>(at)];
      out.value.counts.resize(out.value.bounds->size() + 1);
      for (auto& n : out.value.counts) n = r.varint();
      out.value.count = r.varint();
      out.value.sum = r.f64();
      return out;
    }
    case 2: {
      ExponentialSample out;
      out.stale = stale;
      out.value.scale = static_cast<std::int32_t>(r.zigzag());
      out.value.zero_threshold = r.f64();
      out.value.zero_count = r.varint();
      out.value.positive = read_record_buckets(r);
      out.value.negative = read_record_buckets(r);
      out.value.count = r.varint();
      out.value.sum = r.f64();
      return out;
    }
    default: (void)r.raw(r.remaining() + 1); return FloatSample{};
  }
}

std::unexpected<Error> damaged() {
  return fail(ErrorCode::data_loss, "a record of the log is damaged");
}

} // namespace

std::string encode_record(const std::vector<StagedSample>& samples) {
  BoundsList bounds;
  std::string entries;
  entries.reserve(samples.size() * 32);
  std::int64_t before = 0;
  for (const auto& [series, sample] : samples) {
    const std::int64_t time = time_of(sample);
    const std::int64_t start = start_of(sample);
    RoomWriter w(entries, most_bytes(sample));
    w.varint(series.value);
    w.u8(static_cast<std::uint8_t>(sample.index() | (start == 0 ? kUnknownStart : 0u) |
                                   (std::visit(StaleFlag{}, sample) ? kStaleType : 0u)));
    w.zigzag(wrapping_subtract(time, before));
    w.zigzag(start == 0 ? 0 : wrapping_subtract(time, start));
    std::visit(BodyWriter{w, bounds}, sample);
    before = time;
  }
  std::string out;
  ByteWriter head(out);
  head.u8(kRecordVersion);
  head.varint(samples.size());
  head.varint(bounds.size());
  for (const auto& list : bounds) {
    head.varint(list->size());
    for (const double bound : *list) head.f64(bound);
  }
  out += entries;
  head.u64(XXH3_64bits(out.data(), out.size()));
  return out;
}

Result<std::vector<StagedSample>> decode_record(std::string_view bytes) {
  if (bytes.size() < sizeof(std::uint64_t)) return damaged();
  const auto body = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (ByteReader(bytes.substr(body.size())).u64() != XXH3_64bits(body.data(), body.size()))
    return damaged();
  ByteReader r(body);
  if (r.u8() != kRecordVersion) return damaged();
  const auto count = r.varint();
  const auto bounds_count = r.varint();
  if (count > r.remaining() || bounds_count > r.remaining()) return damaged();
  BoundsList bounds;
  for (std::uint64_t i = 0; i < bounds_count && r.ok(); ++i) {
    const auto size = r.varint();
    if (size > r.remaining() / sizeof(double)) return damaged();
    std::vector<double> list(static_cast<std::size_t>(size));
    for (auto& bound : list) bound = r.f64();
    bounds.push_back(std::make_shared<const std::vector<double>>(std::move(list)));
  }
  std::vector<StagedSample> out;
  out.reserve(static_cast<std::size_t>(count));
  std::int64_t before = 0;
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    const SeriesId series{r.varint()};
    const auto type = r.u8();
    const auto time = wrapping_add(before, r.zigzag());
    const auto age = r.zigzag();
    Sample sample = read_record_body(r, type, bounds);
    std::visit(
        [&](auto& s) {
          s.time_ms = time;
          s.start_ms = (type & kUnknownStart) != 0 ? 0 : wrapping_subtract(time, age);
        },
        sample);
    before = time;
    out.push_back({series, std::move(sample)});
  }
  if (!r.ok() || !r.done()) return damaged();
  return out;
}

} // namespace coalmine::store
