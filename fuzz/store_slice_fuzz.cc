// Any samples as a slice of the head's copy: the written slice reads back with as many samples. Any
// bytes as a slice: read or refused.
// SPDX-License-Identifier: Apache-2.0
#include <xxhash.h>

#include <map>

#include "base/bytes.h"
#include "base/check.h"
#include "store/series/head_snapshot.h"
#include "store/series/record_codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine;
  std::string bytes(reinterpret_cast<const char*>(data), size);
  (void)store::decode_head_slice(bytes);
  ByteWriter(bytes).u64(XXH3_64bits(bytes.data(), bytes.size()));
  const auto record = store::decode_record(bytes);
  if (!record) return 0;
  // Each run holds samples of one kind.
  std::map<std::pair<std::uint64_t, std::size_t>, store::OpenRun> runs;
  for (const auto& [series, sample] : *record) runs[{series.value, sample.index()}].upsert(sample);
  std::vector<std::pair<SeriesId, const store::OpenRun*>> list;
  for (const auto& [key, run] : runs) list.emplace_back(SeriesId{key.first}, &run);
  const auto slice = store::decode_head_slice(store::encode_head_slice(7, list));
  CHECK(slice.has_value() && slice->runs.size() == list.size());
  for (std::size_t i = 0; i < list.size(); ++i) {
    const auto was = list[i].second->slice(INT64_MIN, INT64_MAX);
    const auto is = slice->runs[i].second.slice(INT64_MIN, INT64_MAX);
    CHECK(was.size() == is.size());
    for (std::size_t k = 0; k < was.floats.size(); ++k)
      CHECK(store::same(was.floats[k], is.floats[k]));
    for (std::size_t k = 0; k < was.classic.size(); ++k) { // bounds may be NaN here, and NaN != NaN
      CHECK(was.classic[k].time_ms == is.classic[k].time_ms &&
            was.classic[k].start_ms == is.classic[k].start_ms);
      CHECK(was.classic[k].stale == is.classic[k].stale &&
            was.classic[k].value.counts == is.classic[k].value.counts);
      CHECK(was.classic[k].value.count == is.classic[k].value.count);
    }
  }
  return 0;
}
