// SPDX-License-Identifier: Apache-2.0
#include "store/series/chunk_codec.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>
#include <type_traits>
#include <utility>

#include "base/bytes.h"
#include "store/series/chunk_parts.h"
#include "telemetry/packed_column.h"

namespace coalmine::store {
namespace {

using Body = ChunkBody;
using Buckets = ExponentialHistogram::Buckets;

class XorWriter {
 public:
  void write(ByteWriter& w, double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const std::uint64_t x = bits ^ before_;
    before_ = bits;
    const int lead = x == 0 ? 8 : std::countl_zero(x) / 8;
    const int trail = x == 0 ? 0 : std::countr_zero(x) / 8;
    w.u8(static_cast<std::uint8_t>(lead << 4 | trail));
    for (int octet = trail; octet < 8 - lead; ++octet)
      w.u8(static_cast<std::uint8_t>(x >> (8 * octet)));
  }

 private:
  std::uint64_t before_ = 0;
};

// Writes first:zigzag, the first step, and for each further step its change from the one before.
void write_changes(ByteWriter& w, std::int64_t first, std::vector<std::int64_t> steps) {
  w.zigzag(first);
  if (steps.empty()) return;
  w.zigzag(steps.front());
  for (std::size_t i = steps.size() - 1; i > 0; --i) steps[i] = minus(steps[i], steps[i - 1]);
  write_column(w, std::span(steps).subspan(1));
}

// Writes a row of numbers: the first, then the steps between them.
void write_numbers(ByteWriter& w, const std::vector<std::int64_t>& numbers) {
  std::vector<std::int64_t> steps;
  for (std::size_t i = 1; i < numbers.size(); ++i)
    steps.push_back(minus(numbers[i], numbers[i - 1]));
  w.zigzag(numbers.front());
  write_column(w, steps);
}

template <typename S>
void write_times(ByteWriter& w, const std::vector<S>& samples) {
  std::vector<std::int64_t> steps;
  for (std::size_t i = 1; i < samples.size(); ++i)
    steps.push_back(minus(samples[i].time_ms, samples[i - 1].time_ms));
  write_changes(w, samples.front().time_ms, steps);
}

template <typename S>
void write_starts(ByteWriter& w, const std::vector<S>& samples) {
  std::int64_t before = 0;
  for (std::size_t i = 0; i < samples.size();) {
    std::size_t end = i + 1;
    while (end < samples.size() && samples[end].start_ms == samples[i].start_ms) ++end;
    w.varint(end - i);
    w.zigzag(minus(samples[i].start_ms, before));
    before = samples[i].start_ms;
    i = end;
  }
}

template <typename S>
void read_starts(ByteReader& r, std::vector<S>& samples) {
  std::int64_t start = 0;
  for (std::size_t i = 0; i < samples.size() && r.ok();) {
    const auto run = r.varint();
    start = plus(start, r.zigzag());
    if (run == 0 || run > samples.size() - i) {
      break_reader(r);
      return;
    }
    for (std::uint64_t k = 0; k < run; ++k) samples[i++].start_ms = start;
  }
}

template <typename S>
void write_stale(ByteWriter& w, const std::vector<S>& samples) {
  std::uint64_t count = 0;
  for (const auto& s : samples) count += s.stale ? 1 : 0;
  w.varint(count);
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if (samples[i].stale) w.varint(i);
  }
}

template <typename S>
void read_stale(ByteReader& r, std::vector<S>& samples) {
  const auto count = r.varint();
  for (std::uint64_t i = 0; i < count && r.ok(); ++i) {
    const auto at = r.varint();
    if (at >= samples.size()) {
      break_reader(r);
      return;
    }
    samples[static_cast<std::size_t>(at)].stale = true;
  }
}

bool integral(double value) {
  return std::abs(value) <= 9007199254740992.0 && std::trunc(value) == value &&
         !(value == 0 && std::signbit(value));
}

// True when no value falls and all are numbers. at(i): the value of sample i.
template <typename S, typename At>
bool never_falls(const std::vector<S>& samples, At at) {
  for (std::size_t i = 0; i < samples.size(); ++i) {
    if constexpr (std::is_floating_point_v<decltype(at(samples[i]))>) {
      if (!std::isfinite(at(samples[i]))) return false;
    }
    if (i > 0 && at(samples[i]) < at(samples[i - 1])) return false;
  }
  return true;
}

void write_rise(ByteWriter& w, std::int64_t first, std::int64_t last) {
  w.zigzag(first);
  w.varint(static_cast<std::uint64_t>(minus(last, first)));
}

void write_summary(ByteWriter& w, const std::vector<FloatSample>& samples, Body body) {
  const bool kept = never_falls(samples, [](const FloatSample& s) { return s.value; });
  w.u8(kept ? 1 : 0);
  if (!kept) return;
  if (body == Body::integers) {
    return write_rise(w, static_cast<std::int64_t>(samples.front().value),
                      static_cast<std::int64_t>(samples.back().value));
  }
  w.f64(samples.front().value);
  w.f64(samples.back().value);
}

void write_summary(ByteWriter& w, const std::vector<ClassicSample>& samples) {
  // Doubles are exact up to here, and sums of buckets do not wrap.
  constexpr std::uint64_t kMostCounts = std::uint64_t{1} << 53;
  const auto& first = samples.front().value;
  const auto& last = samples.back().value;
  bool kept = std::ranges::none_of(samples, &ClassicSample::stale);
  kept = kept && last.count <= kMostCounts &&
         never_falls(samples, [](const ClassicSample& s) { return s.value.count; });
  kept = kept && never_falls(samples, [](const ClassicSample& s) { return s.value.sum; });
  for (std::size_t i = 0; kept && i < first.counts.size(); ++i) {
    kept = last.counts[i] <= kMostCounts &&
           never_falls(samples, [i](const ClassicSample& s) { return s.value.counts[i]; });
  }
  w.u8(kept ? 1 : 0);
  if (!kept) return;
  for (std::size_t i = 0; i < first.counts.size(); ++i)
    write_rise(w, static_cast<std::int64_t>(first.counts[i]),
               static_cast<std::int64_t>(last.counts[i]));
  write_rise(w, static_cast<std::int64_t>(first.count), static_cast<std::int64_t>(last.count));
  w.f64(first.sum);
  w.f64(last.sum);
}

void skip_summary(ByteReader& r, std::size_t rises, std::size_t doubles) {
  if (!has_summary(r)) return;
  for (std::size_t i = 0; i < rises && r.ok(); ++i) (void)read_rise(r);
  (void)r.raw(doubles * sizeof(double));
}

void write_body(ByteWriter& w, const std::vector<FloatSample>& samples, Body body) {
  write_summary(w, samples, body);
  if (body == Body::integers) {
    std::vector<std::int64_t> numbers;
    for (const auto& s : samples) numbers.push_back(static_cast<std::int64_t>(s.value));
    return write_numbers(w, numbers);
  }
  XorWriter values;
  for (const auto& s : samples) values.write(w, s.value);
}

void write_body(ByteWriter& w, const std::vector<ClassicSample>& samples, Body) {
  const auto& bounds = *samples.front().value.bounds;
  w.varint(bounds.size());
  for (const double bound : bounds) w.f64(bound);
  write_stale(w, samples);
  write_summary(w, samples);
  std::vector<std::int64_t> column(samples.size());
  const auto write_each = [&](auto&& number_of) {
    for (std::size_t k = 0; k < samples.size(); ++k) column[k] = number_of(samples[k].value);
    write_numbers(w, column);
  };
  for (std::size_t i = 0; i <= bounds.size(); ++i) {
    write_each([&](const ClassicHistogram& h) { return static_cast<std::int64_t>(h.counts[i]); });
  }
  write_each([](const ClassicHistogram& h) {
    return minus(h.count, std::accumulate(h.counts.begin(), h.counts.end(), std::uint64_t{0}));
  });
  const bool whole =
      std::ranges::all_of(samples, [](const ClassicSample& s) { return integral(s.value.sum); });
  w.u8(whole ? 1 : 0);
  if (whole)
    return write_each([](const ClassicHistogram& h) { return static_cast<std::int64_t>(h.sum); });
  XorWriter sums;
  for (const auto& s : samples) sums.write(w, s.value.sum);
}

std::uint64_t total_of(const ExponentialHistogram& h) {
  std::uint64_t total = h.zero_count;
  for (const auto n : h.positive.counts) total += n;
  for (const auto n : h.negative.counts) total += n;
  return total;
}

bool same_shape(const ExponentialHistogram& a, const ExponentialHistogram& b) {
  const auto same = [](const Buckets& x, const Buckets& y) {
    return x.offset == y.offset && x.counts.size() == y.counts.size();
  };
  return a.scale == b.scale && same(a.positive, b.positive) && same(a.negative, b.negative);
}

void write_body(ByteWriter& w, const std::vector<ExponentialSample>& samples, Body) {
  write_stale(w, samples);
  ExponentialHistogram before;
  XorWriter thresholds;
  XorWriter sums;
  bool first = true;
  for (const auto& s : samples) {
    const auto& h = s.value;
    const bool changes = !first && same_shape(before, h);
    w.u8(changes ? 0 : 1);
    if (!changes) w.zigzag(h.scale);
    for (const auto side : {&ExponentialHistogram::positive, &ExponentialHistogram::negative}) {
      const Buckets& buckets = h.*side;
      if (!changes) {
        w.zigzag(buckets.offset);
        w.varint(buckets.counts.size());
      }
      for (std::size_t i = 0; i < buckets.counts.size(); ++i) {
        if (changes) {
          w.zigzag(minus(buckets.counts[i], (before.*side).counts[i]));
        } else {
          w.varint(buckets.counts[i]);
        }
      }
    }
    thresholds.write(w, h.zero_threshold);
    w.zigzag(minus(h.zero_count, before.zero_count));
    w.zigzag(minus(h.count, total_of(h)));
    sums.write(w, h.sum);
    before = h;
    first = false;
  }
}

void read_body(ByteReader& r, std::vector<FloatSample>& samples, Body body, bool summarised) {
  const bool integers = body == Body::integers;
  if (summarised) skip_summary(r, integers ? 1 : 0, integers ? 0 : 2);
  if (integers) {
    std::vector<std::int64_t> numbers(samples.size());
    read_numbers(r, numbers);
    for (std::size_t i = 0; i < samples.size(); ++i)
      samples[i].value = static_cast<double>(numbers[i]);
    return;
  }
  XorReader values;
  for (auto& s : samples) s.value = values.read(r);
}

void read_body(ByteReader& r, std::vector<ClassicSample>& samples, Body, bool summarised) {
  const auto size = r.varint();
  if (size > r.remaining() / sizeof(double)) {
    break_reader(r);
    return;
  }
  std::vector<double> list(static_cast<std::size_t>(size));
  for (auto& bound : list) bound = r.f64();
  const auto bounds = std::make_shared<const std::vector<double>>(std::move(list));
  read_stale(r, samples);
  // Each bucket takes two bytes at least.
  if (!r.ok() || bounds->size() >= r.remaining()) return break_reader(r);
  if (summarised) skip_summary(r, bounds->size() + 2, 2);
  for (auto& s : samples) {
    s.value.bounds = bounds;
    s.value.counts.resize(bounds->size() + 1);
  }
  std::vector<std::int64_t> column(samples.size());
  for (std::size_t i = 0; i <= bounds->size(); ++i) {
    read_numbers(r, column);
    for (std::size_t k = 0; k < samples.size(); ++k)
      samples[k].value.counts[i] = static_cast<std::uint64_t>(column[k]);
  }
  read_numbers(r, column);
  for (std::size_t k = 0; k < samples.size(); ++k) {
    auto& h = samples[k].value;
    h.count = plus(std::accumulate(h.counts.begin(), h.counts.end(), std::uint64_t{0}), column[k]);
  }
  const auto whole = r.u8();
  if (whole > 1) return break_reader(r);
  if (whole == 1) {
    read_numbers(r, column);
    for (std::size_t k = 0; k < samples.size(); ++k)
      samples[k].value.sum = static_cast<double>(column[k]);
    return;
  }
  XorReader sums;
  for (auto& s : samples) s.value.sum = sums.read(r);
}

void read_buckets(ByteReader& r, Buckets& buckets) {
  buckets.offset = static_cast<std::int32_t>(r.zigzag());
  const auto size = r.varint();
  if (size > r.remaining()) {
    break_reader(r);
    return;
  }
  buckets.counts.resize(static_cast<std::size_t>(size));
  for (auto& n : buckets.counts) n = r.varint();
}

void read_body(ByteReader& r, std::vector<ExponentialSample>& samples, Body, bool) {
  read_stale(r, samples);
  ExponentialHistogram before;
  XorReader thresholds;
  XorReader sums;
  for (auto& s : samples) {
    auto& h = s.value;
    const auto mode = r.u8();
    // Each count that is kept from the sample before takes at least one byte.
    const std::size_t carried =
        mode == 0 ? before.positive.counts.size() + before.negative.counts.size() : 0;
    if (!r.ok() || mode > 1 || carried > r.remaining()) {
      break_reader(r);
      return;
    }
    if (mode == 1) {
      h.scale = static_cast<std::int32_t>(r.zigzag());
      read_buckets(r, h.positive);
      read_buckets(r, h.negative);
    } else {
      h.scale = before.scale;
      h.positive = before.positive;
      h.negative = before.negative;
      for (auto& n : h.positive.counts) n = plus(n, r.zigzag());
      for (auto& n : h.negative.counts) n = plus(n, r.zigzag());
    }
    h.zero_threshold = thresholds.read(r);
    h.zero_count = plus(before.zero_count, r.zigzag());
    h.count = plus(total_of(h), r.zigzag());
    h.sum = sums.read(r);
    before = h;
  }
}

template <typename S>
EncodedChunk encode_one(const std::vector<S>& samples, Body body) {
  EncodedChunk out;
  out.min_ms = samples.front().time_ms;
  out.max_ms = samples.back().time_ms;
  ByteWriter w(out.bytes);
  w.u8(kChunkVersion);
  w.u8(static_cast<std::uint8_t>(body));
  out.times_begin = out.bytes.size();
  w.varint(samples.size());
  write_times(w, samples);
  out.times_size = out.bytes.size() - out.times_begin;
  write_starts(w, samples);
  write_body(w, samples, body);
  write_checksum(w, out.bytes);
  return out;
}

bool cut_between(const FloatSample&, const FloatSample&) { return false; }
bool cut_between(const ClassicSample& a, const ClassicSample& b) {
  return a.value.bounds != b.value.bounds && *a.value.bounds != *b.value.bounds;
}
bool cut_between(const ExponentialSample&, const ExponentialSample&) { return false; }

Body body_of(const std::vector<FloatSample>& samples) {
  for (const auto& s : samples) {
    if (!integral(s.value)) return Body::doubles;
  }
  return Body::integers;
}
Body body_of(const std::vector<ClassicSample>&) { return Body::classic; }
Body body_of(const std::vector<ExponentialSample>&) { return Body::exponential; }

template <typename S>
void encode_all(const std::vector<S>& samples, std::vector<EncodedChunk>& out) {
  std::vector<S> part;
  for (const auto& sample : samples) {
    if (!part.empty() && (part.size() == kMaxChunkSamples || cut_between(part.back(), sample))) {
      out.push_back(encode_one(part, body_of(part)));
      part.clear();
    }
    part.push_back(sample);
  }
  if (!part.empty()) out.push_back(encode_one(part, body_of(part)));
}

template <typename S>
void decode_into(ByteReader& r, std::vector<S>& samples, const OpenedChunk& chunk) {
  samples.resize(chunk.times.size());
  for (std::size_t i = 0; i < samples.size(); ++i) samples[i].time_ms = chunk.times[i];
  read_starts(r, samples);
  if (r.ok()) read_body(r, samples, chunk.head.body, chunk.head.summarised);
}

} // namespace

std::vector<EncodedChunk> encode_chunks(const SampleRun& run) {
  std::vector<EncodedChunk> out;
  encode_all(run.floats, out);
  encode_all(run.classic, out);
  encode_all(run.exponential, out);
  return out;
}

std::string chunk_with_times_at(const EncodedChunk& chunk, std::uint64_t number) {
  const std::string_view bytes = chunk.bytes;
  std::string out;
  ByteWriter w(out);
  w.u8(kChunkVersion);
  w.u8(static_cast<std::uint8_t>(bytes[1]) | kSharesTimes);
  w.varint(ByteReader(chunk.times()).varint());
  w.varint(number);
  const std::size_t rest = chunk.times_begin + chunk.times_size;
  out += bytes.substr(rest, bytes.size() - rest - sizeof(std::uint32_t));
  write_checksum(w, out);
  return out;
}

Result<SampleRun> decode_chunk(std::string_view bytes, std::span<const std::int64_t> times) {
  ByteReader r("");
  std::vector<std::int64_t> own;
  const auto chunk = open_chunk(bytes, r, times, own);
  if (!chunk) return damaged_chunk();
  SampleRun out;
  switch (chunk->head.body) {
    case Body::integers:
    case Body::doubles: decode_into(r, out.floats, *chunk); break;
    case Body::classic: decode_into(r, out.classic, *chunk); break;
    case Body::exponential: decode_into(r, out.exponential, *chunk); break;
  }
  if (!r.ok() || !r.done()) return damaged_chunk();
  return out;
}

} // namespace coalmine::store
