// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/cell_codec.h"

#include <xxhash.h>

#include <algorithm>
#include <cmath>

#include "base/bytes.h"
#include "cohort/durations.h"

namespace coalmine::rollout {
namespace {

// Version 1 had no details of processes, and no first births and starts in the memory; 2 had no
// restarts.
constexpr std::uint8_t kCellVersion = 3;
constexpr std::uint8_t kMemoryVersion = 2;
constexpr std::size_t kChecksumBytes = 4;

enum CellFlag : std::uint8_t { kBaseline = 1, kMixed = 2, kWarming = 4 };
enum MetricFlag : std::uint8_t { kHasData = 1 };
enum InstanceFlag : std::uint8_t { kOfCanary = 1, kInstanceWarms = 2, kBeganAnew = 4 };
enum BoundsKind : std::uint8_t { kExplicitBounds = 0, kJudgedBounds = 1 };

std::uint32_t checksum_of(std::string_view bytes) {
  return static_cast<std::uint32_t>(XXH3_64bits(bytes.data(), bytes.size()));
}

std::string sealed(std::string bytes) {
  const auto checksum = checksum_of(bytes);
  ByteWriter(bytes).u32(checksum);
  return bytes;
}

// The bytes before the checksum, or none.
std::optional<std::string_view> unsealed(std::string_view bytes) {
  if (bytes.size() < kChecksumBytes) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - kChecksumBytes);
  ByteReader tail(bytes.substr(content.size()));
  if (tail.u32() != checksum_of(content)) return std::nullopt;
  return content;
}

void put_count(ByteWriter& out, double value) {
  out.varint(static_cast<std::uint64_t>(std::llround(value / kCountUnit)));
}
double get_count(ByteReader& in) { return static_cast<double>(in.varint()) * kCountUnit; }

// Each bounds of a cell once.
class CellBounds {
 public:
  std::uint64_t number_of(const BucketBounds& bounds) {
    if (bounds == nullptr) return 0;
    const auto same = [&](const BucketBounds& one) { return cohort::same_bounds(one, bounds); };
    auto at = std::ranges::find(all_, bounds);
    if (at == all_.end()) at = std::ranges::find_if(all_, same);
    if (at == all_.end()) at = all_.insert(all_.end(), bounds);
    return static_cast<std::uint64_t>(at - all_.begin()) + 1;
  }
  void write(ByteWriter& out) const {
    out.varint(all_.size());
    for (const auto& bounds : all_) {
      if (const auto scale = judged_scale(bounds)) {
        out.u8(kJudgedBounds);
        out.zigzag(*scale);
        out.varint(bounds->size());
        continue;
      }
      out.u8(kExplicitBounds);
      out.varint(bounds->size());
      for (const double bound : *bounds) out.f64(bound);
    }
  }

 private:
  static constexpr int kCoarsestScale = -4;
  static constexpr int kFinestScale = 5;
  static std::optional<int> judged_scale(const BucketBounds& bounds) {
    for (int scale = kCoarsestScale; scale <= kFinestScale; ++scale) {
      if (cohort::judged_bounds_ms(scale) == bounds) return scale;
    }
    return std::nullopt;
  }
  std::vector<BucketBounds> all_;
};

// Empty with in not ok: damaged.
std::vector<BucketBounds> read_bounds(ByteReader& in) {
  std::vector<BucketBounds> out;
  const auto count = in.varint();
  for (std::uint64_t i = 0; i < count && in.ok(); ++i) {
    if (in.u8() == kJudgedBounds) {
      const auto scale = std::clamp<std::int64_t>(in.zigzag(), -64, 64);
      const auto& bounds = cohort::judged_bounds_ms(static_cast<int>(scale));
      // Bounds of another version: a bucket would mean something else.
      if (in.varint() != bounds->size()) (void)in.raw(in.remaining() + 1);
      out.push_back(bounds);
      continue;
    }
    const auto size = in.varint();
    if (size > in.remaining() / sizeof(double)) (void)in.raw(in.remaining() + 1);
    std::vector<double> bounds;
    for (std::uint64_t j = 0; j < size && in.ok(); ++j) bounds.push_back(in.f64());
    out.push_back(std::make_shared<const std::vector<double>>(std::move(bounds)));
  }
  return out;
}

// 0: no counts; else 1 + the place of the first that is not 0, how many follow, and these.
void put_buckets(ByteWriter& out, const std::vector<double>& counts) {
  if (counts.empty()) return out.varint(0);
  const auto is_counted = [](double count) { return count > 0; };
  const auto first = std::ranges::find_if(counts, is_counted);
  const auto behind = std::find_if(counts.rbegin(), counts.rend(), is_counted).base();
  out.varint(static_cast<std::uint64_t>(first - counts.begin()) + 1);
  out.varint(first < behind ? static_cast<std::uint64_t>(behind - first) : 0);
  for (auto it = first; it < behind; ++it) put_count(out, *it);
}

// More than 200 routes of both tracks have at the finest bounds.
constexpr std::size_t kMostBuckets = std::size_t{1} << 20;

// False: damaged. left: how many more buckets the cell may have.
bool get_buckets(ByteReader& in, const BucketBounds& bounds, std::vector<double>& counts,
                 std::size_t& left) {
  const auto first = in.varint();
  if (first == 0) return true;
  if (bounds == nullptr) return false;
  const std::uint64_t size = bounds->size() + 1;
  const auto count = in.varint();
  if (first - 1 > size || count > size - (first - 1) || size > left) return false;
  left -= size;
  counts.assign(size, 0.0);
  for (std::uint64_t i = 0; i < count; ++i) counts[first - 1 + i] = get_count(in);
  return true;
}

struct CellWriter {
  ByteWriter& out;
  CellTexts& texts;
  CellBounds& bounds;

  void track(const TrackCounts& counts) const {
    for (const double value : {counts.requests, counts.errors, counts.warming_requests,
                               counts.warming_errors, counts.answered, counts.client_errors})
      put_count(out, value);
    out.varint(bounds.number_of(counts.bounds_ms));
    out.varint(texts.number_of(counts.bounds_note));
    out.varint(texts.number_of(counts.sampled));
    put_count(out, counts.sum_ms);
    put_buckets(out, counts.bucket_counts);
  }
  void row(const RouteCounts& counts) const {
    out.varint(texts.number_of(counts.route));
    track(counts.canary);
    track(counts.stable);
  }
  // Ascending places, each as the gap behind the one before. Errors are there where there are any.
  void parts(const std::vector<InstancePart>& all) const {
    out.varint(all.size());
    std::uint64_t next = 0;
    for (const auto& part : all) {
      const bool failed = part.errors > 0;
      out.varint((part.instance - next) * 2 + (failed ? 1 : 0));
      next = std::uint64_t{part.instance} + 1;
      put_count(out, part.requests);
      if (failed) put_count(out, part.errors);
    }
  }
  void instance(const InstanceCounts& one) const {
    out.varint(texts.number_of(one.instance));
    out.u8(static_cast<std::uint8_t>((one.track == Track::canary ? kOfCanary : 0) |
                                     (one.warming ? kInstanceWarms : 0) |
                                     (one.restarts > 0 ? kBeganAnew : 0)));
    if (one.restarts > 0) out.varint(one.restarts);
    put_count(out, one.requests);
    put_count(out, one.errors);
    put_buckets(out, one.bucket_counts);
  }
  void metric_track(const MetricTrack& metric) const {
    out.u8(metric.has_data ? kHasData : 0);
    if (!metric.has_data) return;
    out.f64(metric.amount);
    out.f64(metric.count);
  }
  void metric(const MetricNumbers& numbers) const {
    out.varint(texts.number_of(numbers.signal));
    out.varint(texts.number_of(numbers.problem));
    metric_track(numbers.canary);
    metric_track(numbers.stable);
  }
};

struct CellReader {
  ByteReader& in;
  const CellTexts& texts;
  const std::vector<BucketBounds>& bounds;
  std::uint8_t version = kCellVersion;
  bool good = true;
  std::size_t buckets_left = kMostBuckets;

  std::string text() {
    const auto number = in.varint();
    if (number == 0) return {};
    const auto* found = texts.text_of(number);
    good = good && found != nullptr;
    return found == nullptr ? std::string() : *found;
  }
  void track(TrackCounts& counts) {
    for (auto* value : {&counts.requests, &counts.errors, &counts.warming_requests,
                        &counts.warming_errors, &counts.answered, &counts.client_errors})
      *value = get_count(in);
    const auto number = in.varint();
    good = good && number <= bounds.size();
    if (good && number > 0) counts.bounds_ms = bounds[number - 1];
    counts.bounds_note = text();
    counts.sampled = text();
    counts.sum_ms = get_count(in);
    good = good && get_buckets(in, counts.bounds_ms, counts.bucket_counts, buckets_left);
    for (const double count : counts.bucket_counts) counts.timed += count;
  }
  void row(RouteCounts& counts) {
    counts.route = text();
    track(counts.canary);
    track(counts.stable);
  }
  void parts(std::vector<InstancePart>& all) {
    constexpr std::uint64_t kMostInstances = 1'000'000;
    std::uint64_t next = 0;
    each([&] {
      const auto head = in.varint();
      const auto place = next + head / 2;
      good = good && head / 2 < kMostInstances && place < kMostInstances;
      if (!good) return;
      auto& part = all.emplace_back();
      part.instance = static_cast<std::uint32_t>(place);
      next = place + 1;
      part.requests = get_count(in);
      if (head % 2 == 1) part.errors = get_count(in);
    });
  }
  void instance(InstanceCounts& one, const RouteCounts& total) {
    one.instance = text();
    const auto of = in.u8();
    one.track = (of & kOfCanary) != 0 ? Track::canary : Track::stable;
    one.warming = (of & kInstanceWarms) != 0;
    if ((of & kBeganAnew) != 0) one.restarts = static_cast<std::uint32_t>(in.varint());
    one.requests = get_count(in);
    one.errors = get_count(in);
    if (version == 1) return;
    good = good && get_buckets(in, total.of(one.track).bounds_ms, one.bucket_counts, buckets_left);
  }
  MetricTrack metric_track() {
    MetricTrack out;
    out.has_data = (in.u8() & kHasData) != 0;
    if (!out.has_data) return out;
    out.amount = in.f64();
    out.count = in.f64();
    return out;
  }
  // Calls one() as often as the number that comes next says.
  template <typename F>
  void each(F one) {
    const auto count = in.varint();
    for (std::uint64_t i = 0; i < count && good && in.ok(); ++i) one();
    good = good && in.ok();
  }
};

bool is_known(std::uint8_t version, std::uint8_t newest) {
  return version >= 1 && version <= newest;
}

Error damaged_cell() {
  return {ErrorCode::data_loss, "a cell that the journal kept cannot be read"};
}

void put_instance(ByteWriter& out, const cohort::InstanceHeard& one) {
  out.text(one.name);
  out.zigzag(one.newest_ms);
  out.zigzag(one.interval_ms.value_or(-1));
  out.zigzag(one.clock_offset_ms);
  out.zigzag(one.first_ms);
  out.zigzag(one.born_ms);
  out.u8(one.least_age_ms ? 1 : 0);
  out.zigzag(one.least_age_ms.value_or(0));
  out.varint(static_cast<std::uint64_t>(std::max(0, one.reads)));
  out.zigzag(one.start_ms);
}

cohort::InstanceHeard get_instance(ByteReader& in, std::uint8_t version) {
  cohort::InstanceHeard one;
  one.name = in.text();
  one.newest_ms = in.zigzag();
  if (const auto interval = in.zigzag(); interval >= 0) one.interval_ms = interval;
  one.clock_offset_ms = in.zigzag();
  one.first_ms = in.zigzag();
  one.born_ms = in.zigzag();
  const bool was_read = in.u8() != 0;
  const auto age = in.zigzag();
  if (was_read) one.least_age_ms = age;
  one.reads = static_cast<int>(std::min<std::uint64_t>(in.varint(), 1'000));
  if (version > 1) one.start_ms = in.zigzag();
  return one;
}

} // namespace

CellTexts::CellTexts(const std::vector<CellText>& kept) {
  constexpr std::uint64_t kMostTexts = 10'000'000;
  for (const auto& [number, text] : kept) {
    if (number == 0 || number > kMostTexts) continue;
    if (number > texts_.size()) texts_.resize(number, nullptr);
    texts_[number - 1] = &numbers_.insert_or_assign(text, number).first->first;
  }
}

std::uint64_t CellTexts::number_of(const std::string& text) {
  if (text.empty()) return 0;
  const auto [it, added] = numbers_.try_emplace(text, texts_.size() + 1);
  if (added) {
    texts_.push_back(&it->first);
    new_.push_back({it->second, text});
  }
  return it->second;
}

const std::string* CellTexts::text_of(std::uint64_t number) const {
  return number == 0 || number > texts_.size() ? nullptr : texts_[number - 1];
}

std::string encode_cell(const CountCell& cell, CellTexts& texts) {
  CellBounds bounds;
  std::string rows;
  ByteWriter rows_out(rows);
  const CellWriter writer{rows_out, texts, bounds};
  writer.row(cell.total);
  rows_out.varint(cell.routes.size());
  for (const auto& row : cell.routes) {
    writer.row(row);
    writer.parts(row.parts);
  }
  rows_out.varint(cell.instances.size());
  for (const auto& one : cell.instances) writer.instance(one);
  rows_out.varint(cell.metrics.size());
  for (const auto& metric : cell.metrics) writer.metric(metric);

  std::string out;
  ByteWriter head(out);
  head.u8(kCellVersion);
  head.zigzag(cell.from_ms);
  head.zigzag(cell.to_ms - cell.from_ms);
  head.u8(static_cast<std::uint8_t>((cell.baseline ? kBaseline : 0) | (cell.mixed ? kMixed : 0) |
                                    (cell.warming ? kWarming : 0)));
  head.u8(static_cast<std::uint8_t>(cell.source));
  head.f64(cell.weight);
  bounds.write(head);
  return sealed(out + rows);
}

Result<CountCell> decode_cell(std::string_view bytes, const CellTexts& texts) {
  const auto content = unsealed(bytes);
  if (!content) return std::unexpected(damaged_cell());
  ByteReader in(*content);
  const auto version = in.u8();
  if (!is_known(version, kCellVersion)) return std::unexpected(damaged_cell());
  CountCell cell;
  cell.from_ms = in.zigzag();
  const auto length = in.zigzag();
  constexpr std::int64_t kMostMs = std::int64_t{1} << 52;
  if (cell.from_ms < 0 || cell.from_ms > kMostMs || length <= 0 || length > kMostMs)
    return std::unexpected(damaged_cell());
  cell.to_ms = cell.from_ms + length;
  const auto flags = in.u8();
  cell.baseline = (flags & kBaseline) != 0;
  cell.mixed = (flags & kMixed) != 0;
  cell.warming = (flags & kWarming) != 0;
  const auto source = in.u8();
  if (source > static_cast<std::uint8_t>(Source::spans)) return std::unexpected(damaged_cell());
  cell.source = static_cast<Source>(source);
  cell.weight = in.f64();
  const auto bounds = read_bounds(in);
  if (!in.ok()) return std::unexpected(damaged_cell());
  CellReader reader{in, texts, bounds, version};
  reader.row(cell.total);
  reader.each([&] {
    auto& row = cell.routes.emplace_back();
    reader.row(row);
    if (version > 1) reader.parts(row.parts);
  });
  reader.each([&] { reader.instance(cell.instances.emplace_back(), cell.total); });
  for (const auto& row : cell.routes) {
    const bool fits = row.parts.empty() || row.parts.back().instance < cell.instances.size();
    reader.good = reader.good && fits;
  }
  reader.each([&] {
    auto& metric = cell.metrics.emplace_back();
    metric.signal = reader.text();
    metric.problem = reader.text();
    metric.canary = reader.metric_track();
    metric.stable = reader.metric_track();
  });
  if (!reader.good || !in.ok() || !in.done()) return std::unexpected(damaged_cell());
  return cell;
}

std::string encode_memory(const FeedMemory& memory) {
  std::string out;
  ByteWriter writer(out);
  writer.u8(kMemoryVersion);
  writer.varint(memory.routes.size());
  for (const auto& route : memory.routes) {
    writer.text(route.route);
    writer.f64(route.requests);
    writer.u8(route.own_row ? 1 : 0);
  }
  for (const auto& track : memory.tracks) {
    writer.zigzag(track.heard_ms);
    writer.zigzag(track.unbroken_since_ms);
    writer.varint(track.most_live);
    writer.varint(track.instances.size());
    for (const auto& one : track.instances) put_instance(writer, one);
    writer.varint(track.first_births.size());
    for (const auto born_ms : track.first_births) writer.zigzag(born_ms);
  }
  return sealed(std::move(out));
}

Result<FeedMemory> decode_memory(std::string_view bytes) {
  const Error damaged{ErrorCode::data_loss,
                      "what the journal kept of a rollout's instances and "
                      "routes cannot be read"};
  const auto content = unsealed(bytes);
  if (!content) return std::unexpected(damaged);
  ByteReader in(*content);
  const auto version = in.u8();
  if (!is_known(version, kMemoryVersion)) return std::unexpected(damaged);
  FeedMemory out;
  const auto routes = in.varint();
  for (std::uint64_t i = 0; i < routes && in.ok(); ++i) {
    auto& route = out.routes.emplace_back();
    route.route = in.text();
    route.requests = in.f64();
    route.own_row = in.u8() != 0;
  }
  for (auto& track : out.tracks) {
    track.heard_ms = in.zigzag();
    track.unbroken_since_ms = in.zigzag();
    track.most_live = in.varint();
    const auto instances = in.varint();
    for (std::uint64_t i = 0; i < instances && in.ok(); ++i)
      track.instances.push_back(get_instance(in, version));
    if (version == 1) continue;
    const auto births = in.varint();
    for (std::uint64_t i = 0; i < births && in.ok(); ++i) track.first_births.push_back(in.zigzag());
  }
  if (!in.ok() || !in.done()) return std::unexpected(damaged);
  return out;
}

} // namespace coalmine::rollout
