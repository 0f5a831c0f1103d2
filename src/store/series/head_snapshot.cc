// SPDX-License-Identifier: Apache-2.0
#include "store/series/head_snapshot.h"

#include <xxhash.h>

#include "base/bytes.h"
#include "store/series/head.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kSnapshotVersion = 1;

Result<std::vector<BucketBounds>> read_bounds(ByteReader& r) {
  const auto damaged = [] {
    return fail(ErrorCode::data_loss, "a slice of the head has damaged bucket bounds");
  };
  const auto count = r.varint();
  if (count > r.remaining()) return damaged();
  std::vector<BucketBounds> out;
  out.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto size = r.varint();
    if (size > r.remaining() / sizeof(double)) return damaged();
    std::vector<double> list(static_cast<std::size_t>(size));
    for (auto& bound : list) bound = r.f64();
    out.push_back(std::make_shared<const std::vector<double>>(std::move(list)));
  }
  return out;
}

} // namespace

std::string encode_head_slice(std::uint64_t record,
                              const std::vector<std::pair<SeriesId, const OpenRun*>>& runs) {
  BoundsList bounds;
  std::string body;
  ByteWriter b(body);
  b.varint(runs.size());
  for (const auto& [series, run] : runs) {
    b.varint(series.value);
    run->write_image(b, bounds);
  }
  std::string out;
  ByteWriter w(out);
  w.u8(kSnapshotVersion);
  w.u64(record);
  w.varint(bounds.size());
  for (const auto& list : bounds) {
    w.varint(list->size());
    for (const double bound : *list) w.f64(bound);
  }
  w.raw(body);
  w.u64(XXH3_64bits(out.data(), out.size()));
  return out;
}

Result<HeadSlice> decode_head_slice(std::string_view bytes) {
  const auto damaged = [] { return fail(ErrorCode::data_loss, "a slice of the head is damaged"); };
  if (bytes.size() < sizeof(std::uint64_t)) return damaged();
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint64_t));
  if (ByteReader(bytes.substr(content.size())).u64() != XXH3_64bits(content.data(), content.size()))
    return damaged();
  ByteReader r(content);
  if (r.u8() != kSnapshotVersion) return damaged();
  HeadSlice out;
  out.record = r.u64();
  TRY_ASSIGN(const auto bounds, read_bounds(r));
  const auto count = r.varint();
  if (count > r.remaining()) return damaged();
  out.runs.reserve(static_cast<std::size_t>(count));
  for (std::uint64_t i = 0; i < count; ++i) {
    const SeriesId series{r.varint()};
    TRY_ASSIGN(auto run, OpenRun::read_image(r, bounds));
    out.runs.emplace_back(series, std::move(run));
  }
  if (!r.ok() || !r.done()) return damaged();
  return out;
}

} // namespace coalmine::store
