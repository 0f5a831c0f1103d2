// SPDX-License-Identifier: Apache-2.0
#include "store/series/open_run.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/wrapping.h"
#include "store/series/histogram_math.h"
#include "store/series/record_codec.h"

namespace coalmine::store {
namespace {

constexpr std::uint32_t kFrameRows = 32;
constexpr std::size_t kMostRow = 1 + 4 * kMaxVarint; // without counts

constexpr unsigned kSameStep = 1;
constexpr unsigned kSameStart = 2;
constexpr unsigned kStaleRow = 4;
constexpr unsigned kRest = 8;
constexpr unsigned kValueShift = 4;
constexpr unsigned kCountsShift = 6;
constexpr std::uint8_t kFramesImage = 0;
constexpr std::uint8_t kExponentialImage = 1;
enum class Value : unsigned { same, delta, raw };
enum class Counts : unsigned { same, nibbles, octets, zigzag };

// The buffer where a row is packed before it is appended. The largest row is ten times longer than
// a usual one, so the run itself does not reserve for it.
std::string& row_room() {
  thread_local std::string room;
  room.clear();
  return room;
}

// Reads what RoomWriter wrote. It does not check for the end, because a frame knows its number of
// rows.
class RowReader {
 public:
  explicit RowReader(const char* at) : at_(at) {}
  std::uint8_t u8() { return static_cast<std::uint8_t>(*at_++); }
  double f64() {
    double v = 0;
    std::memcpy(&v, at_, sizeof(v));
    at_ += sizeof(v);
    return v;
  }
  std::uint64_t varint() {
    std::uint64_t v = u8();
    if (v < 0x80) return v;
    v &= 0x7f;
    for (unsigned shift = 7;; shift += 7) {
      const std::uint64_t octet = u8();
      v |= (octet & 0x7f) << shift;
      if (octet < 0x80) return v;
    }
  }
  std::int64_t zigzag() {
    const std::uint64_t v = varint();
    return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
  }

 private:
  const char* at_;
};

// A whole number that a double holds exactly and that has one form only (not -0).
bool is_whole(double v) {
  constexpr double kLimit = 9007199254740992.0;
  return v > -kLimit && v < kLimit &&
         same_bits(static_cast<double>(static_cast<std::int64_t>(v)), v);
}

Value value_kind(double before, double now) {
  if (same_bits(before, now)) return Value::same;
  return is_whole(before) && is_whole(now) ? Value::delta : Value::raw;
}

void write_value(RoomWriter& w, Value kind, double before, double now) {
  if (kind == Value::delta)
    w.zigzag(static_cast<std::int64_t>(now) - static_cast<std::int64_t>(before));
  if (kind == Value::raw) w.f64(now);
}

double read_value(RowReader& r, Value kind, double before) {
  if (kind == Value::delta)
    return static_cast<double>(static_cast<std::int64_t>(before) + r.zigzag());
  return kind == Value::raw ? r.f64() : before;
}

Counts counts_kind(const std::vector<std::uint64_t>& before,
                   const std::vector<std::uint64_t>& now) {
  std::uint64_t all = 0;
  for (std::size_t i = 0; i < now.size(); ++i) all |= now[i] - before[i];
  if (all == 0) return Counts::same;
  if (all < 16) return Counts::nibbles;
  return all < 256 ? Counts::octets : Counts::zigzag;
}

void write_counts(RoomWriter& w, Counts kind, const std::vector<std::uint64_t>& before,
                  const std::vector<std::uint64_t>& now) {
  const std::size_t n = now.size();
  switch (kind) {
    case Counts::same: return;
    case Counts::nibbles:
      for (std::size_t i = 0; i < n; i += 2) {
        const auto high = i + 1 < n ? now[i + 1] - before[i + 1] : 0;
        w.u8(static_cast<std::uint8_t>((now[i] - before[i]) | (high << 4)));
      }
      return;
    case Counts::octets:
      for (std::size_t i = 0; i < n; ++i) w.u8(static_cast<std::uint8_t>(now[i] - before[i]));
      return;
    case Counts::zigzag:
      for (std::size_t i = 0; i < n; ++i) w.zigzag(static_cast<std::int64_t>(now[i] - before[i]));
      return;
  }
}

// Adds the increase of each bucket and returns their sum.
std::uint64_t read_counts(RowReader& r, Counts kind, std::vector<std::uint64_t>& counts) {
  const std::size_t n = counts.size();
  std::uint64_t all = 0;
  switch (kind) {
    case Counts::same: break;
    case Counts::nibbles:
      for (std::size_t i = 0; i < n; i += 2) {
        const unsigned two = r.u8();
        counts[i] += two & 15u;
        if (i + 1 < n) counts[i + 1] += two >> 4u;
        all += (two & 15u) + (two >> 4u);
      }
      break;
    case Counts::octets:
      for (std::size_t i = 0; i < n; ++i) {
        const unsigned more = r.u8();
        counts[i] += more;
        all += more;
      }
      break;
    case Counts::zigzag:
      for (auto& count : counts) {
        const auto more = static_cast<std::uint64_t>(r.zigzag());
        count += more;
        all += more;
      }
      break;
  }
  return all;
}

template <typename State>
unsigned time_flags(const State& before, std::int64_t time_ms, std::int64_t start_ms) {
  return (wrapping_subtract(time_ms, before.time_ms) == before.step ? kSameStep : 0u) |
         (start_ms == before.start_ms ? kSameStart : 0u);
}

template <typename State>
void pack_times(RoomWriter& w, unsigned flags, State& state, std::int64_t time_ms,
                std::int64_t start_ms) {
  const std::int64_t step = wrapping_subtract(time_ms, state.time_ms);
  if ((flags & kSameStep) == 0) w.zigzag(step);
  if ((flags & kSameStart) == 0) w.zigzag(wrapping_subtract(start_ms, state.start_ms));
  state.time_ms = time_ms;
  state.step = step;
  state.start_ms = start_ms;
}

template <typename State>
void read_row(RowReader& r, State& state, bool histogram) {
  const unsigned flags = r.u8();
  if ((flags & kSameStep) == 0) state.step = r.zigzag();
  if ((flags & kSameStart) == 0) state.start_ms = wrapping_add(state.start_ms, r.zigzag());
  state.time_ms = wrapping_add(state.time_ms, state.step);
  if (histogram) {
    state.count += read_counts(r, static_cast<Counts>(flags >> kCountsShift & 3u), state.counts);
    if ((flags & kRest) != 0) state.count += static_cast<std::uint64_t>(r.zigzag());
    state.stale = (flags & kStaleRow) != 0;
  }
  state.value = read_value(r, static_cast<Value>(flags >> kValueShift & 3u), state.value);
}

} // namespace

bool OpenRun::Shape::operator==(const Shape& other) const {
  return scale == other.scale && same_bits(zero_threshold, other.zero_threshold) &&
         negative_offset == other.negative_offset && positive_offset == other.positive_offset &&
         negative == other.negative && positive == other.positive;
}

std::int64_t OpenRun::first_ms() const { return frames_.front().first_ms; }
std::int64_t OpenRun::last_ms() const { return last_.time_ms; }
std::int64_t OpenRun::last_start_ms() const { return last_.start_ms; }

bool OpenRun::ends_stale() const {
  return is_classic() || is_exponential() ? last_.stale : is_stale(last_.value);
}

std::size_t OpenRun::width(const Frame& frame) const {
  if (frame.bounds != nullptr) return frame.bounds->size() + 1;
  if (!is_exponential()) return 0;
  return (*shapes_)[static_cast<std::size_t>(&frame - frames_.data())].counts();
}

// Grows by a quarter at a time. std::string would double, which costs much memory with one run per
// series.
void OpenRun::append_row(std::string_view row) {
  const std::size_t size = bytes_.size() + row.size();
  if (bytes_.capacity() < size) {
    std::string roomier;
    roomier.reserve(size + size / 4 + 16);
    roomier = bytes_;
    bytes_.swap(roomier);
  }
  bytes_ += row;
}

void OpenRun::write_row(const FloatSample& sample) {
  auto& room = row_room();
  {
    RoomWriter w(room, kMostRow);
    const Value kind = value_kind(last_.value, sample.value);
    const unsigned flags = time_flags(last_, sample.time_ms, sample.start_ms) |
                           static_cast<unsigned>(kind) << kValueShift;
    w.u8(static_cast<std::uint8_t>(flags));
    pack_times(w, flags, last_, sample.time_ms, sample.start_ms);
    write_value(w, kind, last_.value, sample.value);
  }
  last_.value = sample.value;
  append_row(room);
}

void OpenRun::write_row(const HistogramRow& row) {
  const auto& counts = row.counts;
  auto& room = row_room();
  {
    RoomWriter w(room, kMostRow + counts.size() * kMaxVarint);
    std::uint64_t grown = 0;
    for (std::size_t i = 0; i < counts.size(); ++i) grown += counts[i] - last_.counts[i];
    const auto rest = static_cast<std::int64_t>(row.count - last_.count - grown);
    const Value kind = value_kind(last_.value, row.sum);
    const Counts shape = counts_kind(last_.counts, counts);
    const unsigned flags = time_flags(last_, row.time_ms, row.start_ms) |
                           (row.stale ? kStaleRow : 0u) | (rest != 0 ? kRest : 0u) |
                           static_cast<unsigned>(kind) << kValueShift |
                           static_cast<unsigned>(shape) << kCountsShift;
    w.u8(static_cast<std::uint8_t>(flags));
    pack_times(w, flags, last_, row.time_ms, row.start_ms);
    write_counts(w, shape, last_.counts, counts);
    if (rest != 0) w.zigzag(rest);
    write_value(w, kind, last_.value, row.sum);
  }
  last_.value = row.sum;
  last_.count = row.count;
  last_.counts = counts;
  last_.stale = row.stale;
  append_row(room);
}

void OpenRun::begin_frame(std::int64_t time_ms, BucketBounds bounds, std::size_t counts) {
  frames_.push_back({bytes_.size(), time_ms, 0, 0, std::move(bounds)});
  last_ = {};
  last_.counts.assign(counts, 0);
}

void OpenRun::end_row(std::int64_t time_ms) {
  frames_.back().last_ms = time_ms;
  ++frames_.back().rows;
  ++count_;
}

void OpenRun::append(const FloatSample& sample) {
  if (frames_.empty() || frames_.back().rows == kFrameRows) begin_frame(sample.time_ms, nullptr, 0);
  write_row(sample);
  end_row(sample.time_ms);
}

void OpenRun::append(const ClassicSample& sample) {
  const auto& value = sample.value;
  auto bounds = value.bounds ? value.bounds : std::make_shared<const std::vector<double>>();
  if (!frames_.empty() && same_bounds(frames_.back().bounds, bounds))
    bounds = frames_.back().bounds;
  if (frames_.empty() || frames_.back().rows == kFrameRows || frames_.back().bounds != bounds ||
      last_.counts.size() != value.counts.size())
    begin_frame(sample.time_ms, std::move(bounds), value.counts.size());
  write_row({sample.time_ms, sample.start_ms, sample.stale, value.counts, value.count, value.sum});
  end_row(sample.time_ms);
}

void OpenRun::append(const ExponentialSample& sample) {
  const auto& value = sample.value;
  const Shape shape{
      value.scale,           value.zero_threshold,         value.negative.offset,
      value.positive.offset, value.negative.counts.size(), value.positive.counts.size()};
  if (!shapes_) shapes_ = std::make_unique<std::vector<Shape>>();
  if (frames_.empty() || frames_.back().rows == kFrameRows || shapes_->back() != shape) {
    begin_frame(sample.time_ms, nullptr, shape.counts());
    shapes_->push_back(shape);
  }
  std::vector<std::uint64_t> counts;
  counts.reserve(shape.counts());
  counts.push_back(value.zero_count);
  counts.insert(counts.end(), value.negative.counts.begin(), value.negative.counts.end());
  counts.insert(counts.end(), value.positive.counts.begin(), value.positive.counts.end());
  write_row({sample.time_ms, sample.start_ms, sample.stale, counts, value.count, value.sum});
  end_row(sample.time_ms);
}

bool OpenRun::upsert(const Sample& sample) {
  if (empty() || time_of(sample) > last_.time_ms) {
    std::visit([&](const auto& one) { append(one); }, sample);
    return true;
  }
  if (time_of(sample) == last_.time_ms) {
    replace_newest(sample);
    return false;
  }
  SampleRun all = slice(INT64_MIN, INT64_MAX);
  const bool added = all.upsert(sample);
  rebuild(all);
  return added;
}

// Counts of spans replace their newest sample for a second.
void OpenRun::replace_newest(const Sample& sample) {
  SampleRun tail = slice(frames_.back().first_ms, INT64_MAX);
  bytes_.resize(frames_.back().begin);
  count_ -= frames_.back().rows;
  frames_.pop_back();
  if (shapes_) shapes_->pop_back();
  last_ = frames_.empty() ? State() : state_at_end();
  tail.upsert(sample);
  append_all(tail);
}

void OpenRun::append_all(const SampleRun& run) {
  with_all(run, [&](const auto& samples) {
    for (const auto& one : samples) append(one);
  });
}

void OpenRun::rebuild(const SampleRun& run) {
  bytes_.clear();
  frames_.clear();
  if (shapes_) shapes_->clear();
  last_ = {};
  count_ = 0;
  append_all(run);
  bytes_.shrink_to_fit();
  frames_.shrink_to_fit();
  if (shapes_) shapes_->shrink_to_fit();
}

template <typename F>
void OpenRun::each(std::int64_t from_ms, std::int64_t to_ms, F&& visit) const {
  auto frame = std::ranges::lower_bound(frames_, from_ms, {}, &Frame::last_ms);
  for (; frame != frames_.end() && frame->first_ms <= to_ms; ++frame) {
    RowReader r(bytes_.data() + frame->begin);
    State state;
    state.counts.assign(width(*frame), 0);
    for (std::uint32_t i = 0; i < frame->rows; ++i) {
      read_row(r, state, !state.counts.empty());
      if (state.time_ms > to_ms) return;
      if (state.time_ms >= from_ms) visit(*frame, state);
    }
  }
}

void OpenRun::emit(const Frame& frame, const State& state, SampleRun& out) const {
  if (frame.bounds != nullptr) {
    out.classic.push_back({state.time_ms,
                           state.start_ms,
                           state.stale,
                           {frame.bounds, state.counts, state.count, state.value}});
  } else if (is_exponential()) {
    const auto& shape = (*shapes_)[static_cast<std::size_t>(&frame - frames_.data())];
    auto& to = out.exponential.emplace_back();
    to.time_ms = state.time_ms;
    to.start_ms = state.start_ms;
    to.stale = state.stale;
    const auto positive = state.counts.end() - static_cast<std::ptrdiff_t>(shape.positive);
    to.value = {.scale = shape.scale,
                .zero_threshold = shape.zero_threshold,
                .zero_count = state.counts.front(),
                .positive = {shape.positive_offset, {positive, state.counts.end()}},
                .negative = {shape.negative_offset, {state.counts.begin() + 1, positive}},
                .count = state.count,
                .sum = state.value};
  } else {
    out.floats.push_back({state.time_ms, state.start_ms, state.value});
  }
}

std::size_t OpenRun::count(std::int64_t from_ms, std::int64_t to_ms) const {
  if (from_ms > to_ms) return 0;
  std::size_t out = 0;
  for (const auto& frame : frames_) {
    if (frame.first_ms >= from_ms && frame.last_ms <= to_ms) {
      out += frame.rows;
    } else if (frame.last_ms >= from_ms && frame.first_ms <= to_ms) {
      each(std::max(from_ms, frame.first_ms), std::min(to_ms, frame.last_ms),
           [&](const Frame&, const State&) { ++out; });
    }
  }
  return out;
}

SampleRun OpenRun::slice(std::int64_t from_ms, std::int64_t to_ms) const {
  SampleRun out;
  if (from_ms > to_ms) return out;
  each(from_ms, to_ms, [&](const Frame& frame, const State& state) { emit(frame, state, out); });
  return out;
}

SampleRun OpenRun::since(const SeriesPosition& position) const {
  SampleRun out;
  const auto& seen = position.seen;
  each(position.from_ms, INT64_MAX, [&](const Frame& frame, const State& state) {
    const bool again =
        seen && state.time_ms == position.from_ms && state.count == seen->count &&
        std::bit_cast<std::uint64_t>(state.value) == std::bit_cast<std::uint64_t>(seen->value);
    if (!again) emit(frame, state, out);
  });
  return out;
}

bool OpenRun::any(std::int64_t from_ms, std::int64_t to_ms) const {
  if (from_ms > to_ms || empty()) return false;
  const auto within = [&](std::int64_t time_ms) { return time_ms >= from_ms && time_ms <= to_ms; };
  const auto frame = std::ranges::lower_bound(frames_, from_ms, {}, &Frame::last_ms);
  if (frame == frames_.end() || frame->first_ms > to_ms) return false;
  return within(frame->first_ms) || within(frame->last_ms) || count(from_ms, to_ms) > 0;
}

void OpenRun::append_to(SampleColumns& out, std::int64_t from_ms, std::int64_t to_ms,
                        HistogramPart part) const {
  if (is_exponential()) {
    out.uniform = out.uniform && !any(from_ms, to_ms);
    return;
  }
  if (from_ms > to_ms || empty()) return;
  if (!is_classic())
    return each(from_ms, to_ms,
                [&](const Frame&, const State& state) { out.add(state.time_ms, state.value); });
  const Frame* known = nullptr;
  each(from_ms, to_ms, [&](const Frame& frame, const State& state) {
    if (state.stale) return; // its bounds have no meaning
    if (part == HistogramPart::buckets && known != &frame) {
      known = &frame;
      out.set_bounds(frame.bounds);
    }
    if (!out.uniform) return;
    switch (part) {
      case HistogramPart::buckets: return out.add_buckets(state.time_ms, state.counts, state.count);
      case HistogramPart::count: return out.add(state.time_ms, static_cast<double>(state.count));
      case HistogramPart::sum: return out.add(state.time_ms, state.value);
    }
  });
}

bool OpenRun::contains(const Sample& sample) const {
  if (empty() || time_of(sample) > last_ms()) return false;
  return slice(time_of(sample), time_of(sample)).contains(sample);
}

std::optional<Sample> OpenRun::last_value() const {
  for (std::int64_t until = empty() ? 0 : last_ms(); !empty() && until >= first_ms();) {
    // Searches frame by frame from the end, because markers are rare.
    std::int64_t from = first_ms();
    for (const auto& frame : frames_) {
      if (frame.first_ms <= until) from = frame.first_ms;
    }
    const SampleRun run = slice(from, until);
    std::optional<Sample> found;
    with_all(run, [&](const auto& samples) {
      for (const auto& one : samples) {
        if (!is_stale(Sample(one))) found = one;
      }
    });
    if (found || from == first_ms()) return found;
    until = from - 1;
  }
  return std::nullopt;
}

void OpenRun::drop_before(std::int64_t time_ms) {
  if (!empty() && first_ms() < time_ms) rebuild(slice(time_ms, INT64_MAX));
}

void OpenRun::write_image(ByteWriter& w, BoundsList& bounds) const {
  if (is_exponential()) {
    std::vector<StagedSample> samples;
    samples.reserve(size());
    for (auto& sample : slice(INT64_MIN, INT64_MAX).exponential)
      samples.push_back({{}, std::move(sample)});
    w.u8(kExponentialImage);
    w.text(encode_record(samples));
    return;
  }
  w.u8(kFramesImage);
  w.varint(frames_.size());
  for (std::size_t i = 0; i < frames_.size(); ++i) {
    const auto& frame = frames_[i];
    w.varint((i + 1 < frames_.size() ? frames_[i + 1].begin : bytes_.size()) - frame.begin);
    w.varint(frame.rows);
    w.zigzag(frame.first_ms);
    w.zigzag(frame.last_ms);
    if (frame.bounds == nullptr) {
      w.varint(0);
      continue;
    }
    auto at = std::ranges::find(bounds, frame.bounds);
    if (at == bounds.end())
      at = std::ranges::find_if(
          bounds, [&](const auto& known) { return same_bounds(known, frame.bounds); });
    w.varint(static_cast<std::uint64_t>(at - bounds.begin()) + 1);
    if (at == bounds.end()) bounds.push_back(frame.bounds);
  }
  w.text(bytes_);
}

Result<OpenRun> OpenRun::read_image(ByteReader& r, const BoundsList& bounds) {
  const auto damaged = [] { return fail(ErrorCode::data_loss, "the image of a run is damaged"); };
  OpenRun out;
  const auto kind = r.u8();
  if (kind == kExponentialImage) {
    TRY_ASSIGN(auto samples, decode_record(r.text()));
    for (const auto& staged : samples) {
      if (!std::holds_alternative<ExponentialSample>(staged.sample)) return damaged();
      out.upsert(staged.sample);
    }
    return out;
  }
  const auto frames = r.varint();
  if (kind != kFramesImage || frames > r.remaining()) return damaged();
  out.frames_.reserve(static_cast<std::size_t>(frames));
  std::uint64_t end = 0;
  for (std::uint64_t i = 0; i < frames; ++i) {
    Frame frame;
    frame.begin = static_cast<std::size_t>(end);
    end += r.varint();
    const auto rows = r.varint();
    frame.first_ms = r.zigzag();
    frame.last_ms = r.zigzag();
    const auto place = r.varint();
    if (rows == 0 || rows > kFrameRows || place > bounds.size()) return damaged();
    frame.rows = static_cast<std::uint32_t>(rows);
    if (place > 0) frame.bounds = bounds[static_cast<std::size_t>(place) - 1];
    out.count_ += frame.rows;
    out.frames_.push_back(std::move(frame));
  }
  // Rows are read without checks for their end: the checksum of the slice ensures that write_image
  // wrote them.
  out.bytes_ = r.text();
  if (!r.ok() || end != out.bytes_.size()) return damaged();
  if (!out.frames_.empty()) out.last_ = out.state_at_end();
  return out;
}

// The state after the last row, from which appending goes on.
OpenRun::State OpenRun::state_at_end() const {
  const auto& frame = frames_.back();
  RowReader r(bytes_.data() + frame.begin);
  State state;
  state.counts.assign(width(frame), 0);
  for (std::uint32_t i = 0; i < frame.rows; ++i) read_row(r, state, !state.counts.empty());
  return state;
}

std::size_t OpenRun::memory() const {
  return bytes_.capacity() + frames_.capacity() * sizeof(Frame) +
         last_.counts.capacity() * sizeof(std::uint64_t) +
         (shapes_ ? shapes_->capacity() * sizeof(Shape) : 0);
}

} // namespace coalmine::store
