// SPDX-License-Identifier: Apache-2.0
#include "store/chunk_codec.h"

#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <numeric>
#include <optional>
#include <span>

#include "base/bytes.h"
#include "store/packed_column.h"

namespace coalmine::store {
namespace {

constexpr std::uint8_t kVersion = 2;
enum class Body : std::uint8_t { integers, doubles, classic, exponential };

using Buckets = ExponentialHistogram::Buckets;

// Differences wrap, so that every pair of numbers comes back as it was.
std::int64_t minus(std::uint64_t a, std::uint64_t b) { return static_cast<std::int64_t>(a - b); }
std::int64_t minus(std::int64_t a, std::int64_t b) { return minus(static_cast<std::uint64_t>(a), static_cast<std::uint64_t>(b)); }
std::uint64_t plus(std::uint64_t a, std::int64_t change) { return a + static_cast<std::uint64_t>(change); }
std::int64_t plus(std::int64_t a, std::int64_t change) {
  return static_cast<std::int64_t>(static_cast<std::uint64_t>(a) + static_cast<std::uint64_t>(change));
}

void break_reader(ByteReader& r) { (void)r.raw(r.remaining() + 1); }

class XorWriter {
 public:
  void write(ByteWriter& w, double value) {
    const auto bits = std::bit_cast<std::uint64_t>(value);
    const std::uint64_t x = bits ^ before_;
    before_ = bits;
    const int lead = x == 0 ? 8 : std::countl_zero(x) / 8;
    const int trail = x == 0 ? 0 : std::countr_zero(x) / 8;
    w.u8(static_cast<std::uint8_t>(lead << 4 | trail));
    for (int octet = trail; octet < 8 - lead; ++octet) w.u8(static_cast<std::uint8_t>(x >> (8 * octet)));
  }

 private:
  std::uint64_t before_ = 0;
};

class XorReader {
 public:
  double read(ByteReader& r) {
    const auto shape = r.u8();
    const int lead = shape >> 4;
    const int trail = shape & 15;
    if (lead + trail > 8) {
      break_reader(r);
      return 0;
    }
    std::uint64_t x = 0;
    for (int octet = trail; octet < 8 - lead; ++octet) x |= std::uint64_t{r.u8()} << (8 * octet);
    before_ ^= x;
    return std::bit_cast<double>(before_);
  }

 private:
  std::uint64_t before_ = 0;
};

// first:zigzag, then the steps that lead from it: the first of them, and the changes of the others.
void write_changes(ByteWriter& w, std::int64_t first, std::vector<std::int64_t> steps) {
  w.zigzag(first);
  if (steps.empty()) return;
  w.zigzag(steps.front());
  for (std::size_t i = steps.size() - 1; i > 0; --i) steps[i] = minus(steps[i], steps[i - 1]);
  write_column(w, std::span(steps).subspan(1));
}

// A row of numbers: the first, then the steps between them.
void write_numbers(ByteWriter& w, const std::vector<std::int64_t>& numbers) {
  std::vector<std::int64_t> steps;
  for (std::size_t i = 1; i < numbers.size(); ++i) steps.push_back(minus(numbers[i], numbers[i - 1]));
  w.zigzag(numbers.front());
  write_column(w, steps);
}

void read_numbers(ByteReader& r, std::vector<std::int64_t>& numbers) {
  numbers.front() = r.zigzag();
  read_column(r, std::span(numbers).subspan(1));
  for (std::size_t i = 1; i < numbers.size(); ++i) numbers[i] = plus(numbers[i - 1], numbers[i]);
}

template <typename S>
void write_times(ByteWriter& w, const std::vector<S>& samples) {
  std::vector<std::int64_t> steps;
  for (std::size_t i = 1; i < samples.size(); ++i) steps.push_back(minus(samples[i].time_ms, samples[i - 1].time_ms));
  write_changes(w, samples.front().time_ms, steps);
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
void read_times(ByteReader& r, std::vector<S>& samples) {
  std::int64_t time = r.zigzag();
  samples.front().time_ms = time;
  std::vector<std::int64_t> changes(samples.size() - 1);
  if (!changes.empty()) {
    changes.front() = r.zigzag();
    read_column(r, std::span(changes).subspan(1));
  }
  std::int64_t step = 0;
  for (std::size_t i = 1; i < samples.size(); ++i) {
    step = plus(step, changes[i - 1]);
    time = plus(time, step);
    samples[i].time_ms = time;
    if (time <= samples[i - 1].time_ms) break_reader(r);
  }
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
  return std::abs(value) <= 9007199254740992.0 && std::trunc(value) == value && !(value == 0 && std::signbit(value));
}

void write_body(ByteWriter& w, const std::vector<FloatSample>& samples, Body body) {
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
  const bool whole = std::ranges::all_of(samples, [](const ClassicSample& s) { return integral(s.value.sum); });
  w.u8(whole ? 1 : 0);
  if (whole) return write_each([](const ClassicHistogram& h) { return static_cast<std::int64_t>(h.sum); });
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
  const auto same = [](const Buckets& x, const Buckets& y) { return x.offset == y.offset && x.counts.size() == y.counts.size(); };
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

void read_body(ByteReader& r, std::vector<FloatSample>& samples, Body body) {
  if (body == Body::integers) {
    std::vector<std::int64_t> numbers(samples.size());
    read_numbers(r, numbers);
    for (std::size_t i = 0; i < samples.size(); ++i) samples[i].value = static_cast<double>(numbers[i]);
    return;
  }
  XorReader values;
  for (auto& s : samples) s.value = values.read(r);
}

void read_body(ByteReader& r, std::vector<ClassicSample>& samples, Body) {
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
  for (auto& s : samples) {
    s.value.bounds = bounds;
    s.value.counts.resize(bounds->size() + 1);
  }
  std::vector<std::int64_t> column(samples.size());
  for (std::size_t i = 0; i <= bounds->size(); ++i) {
    read_numbers(r, column);
    for (std::size_t k = 0; k < samples.size(); ++k) samples[k].value.counts[i] = static_cast<std::uint64_t>(column[k]);
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
    for (std::size_t k = 0; k < samples.size(); ++k) samples[k].value.sum = static_cast<double>(column[k]);
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

void read_body(ByteReader& r, std::vector<ExponentialSample>& samples, Body) {
  read_stale(r, samples);
  ExponentialHistogram before;
  XorReader thresholds;
  XorReader sums;
  for (auto& s : samples) {
    auto& h = s.value;
    const auto mode = r.u8();
    // Each count that is carried on takes at least one byte.
    const std::size_t carried = mode == 0 ? before.positive.counts.size() + before.negative.counts.size() : 0;
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
  w.u8(kVersion);
  w.u8(static_cast<std::uint8_t>(body));
  w.varint(samples.size());
  write_times(w, samples);
  write_body(w, samples, body);
  w.u32(static_cast<std::uint32_t>(XXH3_64bits(out.bytes.data(), out.bytes.size())));
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
void decode_into(ByteReader& r, std::vector<S>& samples, std::uint64_t count, Body body) {
  samples.resize(static_cast<std::size_t>(count));
  read_times(r, samples);
  if (r.ok()) read_body(r, samples, body);
}

// Of a chunk that is whole: its kind and number of samples; the reader stands behind them.
std::optional<Body> open_chunk(std::string_view bytes, ByteReader& r, std::uint64_t& count) {
  if (bytes.size() < sizeof(std::uint32_t)) return std::nullopt;
  const auto content = bytes.substr(0, bytes.size() - sizeof(std::uint32_t));
  const auto sum = ByteReader(bytes.substr(content.size())).u32();
  if (sum != static_cast<std::uint32_t>(XXH3_64bits(content.data(), content.size()))) return std::nullopt;
  r = ByteReader(content);
  if (r.u8() != kVersion) return std::nullopt;
  const auto kind = r.u8();
  count = r.varint();
  if (kind > 3 || count == 0 || count > kMaxChunkSamples) return std::nullopt;
  return static_cast<Body>(kind);
}

std::unexpected<Error> damaged() { return fail(ErrorCode::data_loss, "a chunk of samples is damaged"); }

} // namespace

std::vector<EncodedChunk> encode_chunks(const SampleRun& run) {
  std::vector<EncodedChunk> out;
  encode_all(run.floats, out);
  encode_all(run.classic, out);
  encode_all(run.exponential, out);
  return out;
}

Result<SampleRun> decode_chunk(std::string_view bytes) {
  ByteReader r("");
  std::uint64_t count = 0;
  const auto kind = open_chunk(bytes, r, count);
  if (!kind) return damaged();
  SampleRun out;
  const auto body = *kind;
  switch (body) {
    case Body::integers:
    case Body::doubles: decode_into(r, out.floats, count, body); break;
    case Body::classic: decode_into(r, out.classic, count, body); break;
    case Body::exponential: decode_into(r, out.exponential, count, body); break;
  }
  if (!r.ok() || !r.done()) return damaged();
  return out;
}

Status ChunkColumns::append_to(SampleColumns& out, std::string_view bytes, std::int64_t from_ms, std::int64_t to_ms,
                               HistogramPart part) {
  ByteReader r("");
  std::uint64_t count = 0;
  const auto kind = open_chunk(bytes, r, count);
  if (!kind) return damaged();
  if (*kind == Body::exponential) {
    out.uniform = false;
    return {};
  }
  from_ms_ = from_ms;
  to_ms_ = to_ms;
  times_.resize(static_cast<std::size_t>(count));
  column_.resize(times_.size());
  read_times(r);
  const std::size_t rows = out.times.size();
  if (r.ok() && *kind == Body::classic) read_classic(r, out, part);
  if (r.ok() && *kind != Body::classic) read_floats(r, *kind == Body::integers, out);
  if (r.ok()) return {};
  out.times.resize(rows);
  out.values.resize(rows * out.width);
  return damaged();
}

void ChunkColumns::read_times(ByteReader& r) {
  std::int64_t time = r.zigzag();
  times_.front() = time;
  if (times_.size() > 1) {
    std::int64_t step = r.zigzag();
    const auto changes = std::span(column_).first(times_.size() - 2);
    read_column(r, changes);
    for (std::size_t i = 1; i < times_.size(); ++i) {
      if (i > 1) step = plus(step, changes[i - 2]);
      time = plus(time, step);
      times_[i] = time;
      if (time <= times_[i - 1]) return break_reader(r);
    }
  }
  for (std::uint64_t i = 0; i < times_.size() && r.ok();) { // start times are not asked for
    const auto run = r.varint();
    (void)r.zigzag();
    if (run == 0 || run > times_.size() - i) return break_reader(r);
    i += run;
  }
  wanted_.clear();
  for (std::size_t i = 0; i < times_.size(); ++i) {
    if (times_[i] >= from_ms_ && times_[i] <= to_ms_) wanted_.push_back(static_cast<std::uint32_t>(i));
  }
}

void ChunkColumns::read_floats(ByteReader& r, bool integers, SampleColumns& out) {
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

// Steps add up as the numbers do, which are made of them once for all.
void ChunkColumns::add_numbers(ByteReader& r, std::span<std::int64_t> column) {
  column.front() = r.zigzag();
  read_column(r, column.subspan(1));
  for (std::size_t i = 0; i < column.size(); ++i) steps_[i] = plus(steps_[i], column[i]);
}

// The numbers of the wanted rows, each so many places after the one before.
void ChunkColumns::write_column_of(double* at, std::size_t stride) const {
  std::int64_t sum = 0;
  std::size_t i = 0;
  for (const auto wanted : wanted_) {
    for (; i <= wanted; ++i) sum = plus(sum, steps_[i]);
    *at = sum >= 0 ? static_cast<double>(sum) : static_cast<double>(static_cast<std::uint64_t>(sum));
    at += stride;
  }
}

void ChunkColumns::read_classic(ByteReader& r, SampleColumns& out, HistogramPart part) {
  const auto size = r.varint();
  if (size > r.remaining() / sizeof(double)) return break_reader(r);
  const auto packed = r.raw(static_cast<std::size_t>(size) * sizeof(double));
  skip_stale(r);
  if (!r.ok() || size >= r.remaining()) return break_reader(r); // each bucket takes two bytes at least
  if (wanted_.empty()) return;
  // The same bounds as before nearly always: no new list is made for them.
  const bool known =
      out.bounds != nullptr && out.bounds->size() == size && std::memcmp(out.bounds->data(), packed.data(), packed.size()) == 0;
  if (part == HistogramPart::buckets && !known) {
    std::vector<double> list(static_cast<std::size_t>(size));
    std::memcpy(list.data(), packed.data(), packed.size());
    out.set_bounds(std::make_shared<const std::vector<double>>(std::move(list)));
  }
  if (!out.uniform) return;
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
  add_numbers(r, column); // what the count has beyond the buckets
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
