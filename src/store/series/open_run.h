// The samples of one series that are not in a chunk yet, packed as they arrive.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/series/requests.h"
#include "store/series/samples.h"
#include "telemetry/sample_columns.h"

namespace coalmine::store {

// Distinct bucket bounds. Images refer to them by index.
using BoundsList = std::vector<BucketBounds>;

// Behaves as a SampleRun: ascending in time, at most one sample a millisecond, all of one kind. A
// sample at the end is appended as a few bytes. Replacing the newest costs packing the last frame
// again, a sample anywhere else unpacking and packing everything. Not synchronised.
//
// rows      = *frame ; of at most kFrameRows rows; each frame begins from a state of zeros
// float     = flags [step:zigzag] [start:zigzag] [delta:zigzag / f64]
// histogram = flags [step:zigzag] [start:zigzag] counts [rest:zigzag] [delta:zigzag / f64]
// flags     = 1 step as before / 2 start as before / 4 stale (histogram) / 8 with rest
//             two bits for the value or sum: unchanged, whole-number delta, as it is
//             two bits for the counts: unchanged, nibbles, octets, zigzag
// step      : time - time before
// start     : start - start before
// counts    : increase of each bucket; exponential: of the zero bucket, the negative ones and the
//             positive ones
// rest      : increase of the count beyond that of the buckets
//
// All rows of a frame have the same bounds, or the same scale and range of buckets.
class OpenRun {
 public:
  std::size_t size() const { return count_; }
  bool empty() const { return size() == 0; }
  std::size_t kind() const {
    return is_exponential() ? 2 : is_classic() ? 1 : 0;
  } // index in Sample; only for a non-empty run
  std::int64_t first_ms() const; // of a non-empty run
  std::int64_t last_ms() const;
  std::int64_t last_start_ms() const; // of the newest sample
  // The newest sample is a staleness marker. Like last_start_ms(), only for a non-empty run.
  bool ends_stale() const;

  // A sample at the same millisecond is replaced. True when there was none before.
  bool upsert(const Sample& sample);
  // True when exactly this sample is in the run.
  bool contains(const Sample& sample) const;

  std::size_t count(std::int64_t from_ms, std::int64_t to_ms) const; // both inclusive
  SampleRun slice(std::int64_t from_ms, std::int64_t to_ms) const;   // both inclusive
  // The samples from the position on.
  SampleRun since(const SeriesPosition& position) const;
  // Appends the samples as columns.
  void append_to(SampleColumns& out, std::int64_t from_ms, std::int64_t to_ms,
                 HistogramPart part) const;
  // Whether count() is more than zero. Looks into a frame only when it must.
  bool any(std::int64_t from_ms, std::int64_t to_ms) const;
  // The newest sample that is not a staleness marker.
  std::optional<Sample> last_value() const;
  void drop_before(std::int64_t time_ms);

  // Writes the image described in head_snapshot.h. Bounds that the list lacks are added to it.
  void write_image(ByteWriter& w, BoundsList& bounds) const;
  // data_loss: the bytes were not written by write_image.
  static Result<OpenRun> read_image(ByteReader& r, const BoundsList& bounds);

  // Heap bytes, roughly.
  std::size_t memory() const;

 private:
  struct State {
    std::int64_t time_ms = 0;
    std::int64_t step = 0;
    std::int64_t start_ms = 0;
    double value = 0; // or the sum
    std::uint64_t count = 0;
    std::vector<std::uint64_t> counts;
    bool stale = false;
  };
  struct Frame {
    std::size_t begin = 0; // in bytes_
    std::int64_t first_ms = 0;
    std::int64_t last_ms = 0;
    std::uint32_t rows = 0;
    BucketBounds bounds; // of a classic histogram
  };
  // The buckets that the exponential histograms of one frame have.
  struct Shape {
    std::int32_t scale = 0;
    double zero_threshold = 0;
    std::int32_t negative_offset = 0;
    std::int32_t positive_offset = 0;
    std::size_t negative = 0; // their number
    std::size_t positive = 0;
    std::size_t counts() const { return 1 + negative + positive; }
    bool operator==(const Shape&) const; // to the bit
  };

  // A histogram as a row: its buckets in one list.
  struct HistogramRow {
    std::int64_t time_ms;
    std::int64_t start_ms;
    bool stale;
    const std::vector<std::uint64_t>& counts;
    std::uint64_t count;
    double sum;
  };
  void append(const FloatSample& sample);
  void append(const ClassicSample& sample);
  void append(const ExponentialSample& sample);
  void begin_frame(std::int64_t time_ms, BucketBounds bounds, std::size_t counts);
  void end_row(std::int64_t time_ms);
  void replace_newest(const Sample& sample);
  void append_all(const SampleRun& run);
  void write_row(const FloatSample& sample);
  void write_row(const HistogramRow& row);
  void append_row(std::string_view row);
  template <typename F>
  void each(std::int64_t from_ms, std::int64_t to_ms, F&& visit) const;
  bool is_classic() const { return !frames_.empty() && frames_.front().bounds != nullptr; }
  bool is_exponential() const { return shapes_ != nullptr; }
  // The number of counts of each row; 0: the rows are floats.
  std::size_t width(const Frame& frame) const;
  void rebuild(const SampleRun& run);
  State state_at_end() const;
  void emit(const Frame& frame, const State& state, SampleRun& out) const;

  std::string bytes_;
  std::vector<Frame> frames_;
  State last_; // of the last frame
  std::uint32_t count_ = 0;
  std::unique_ptr<std::vector<Shape>> shapes_; // of exponential histograms: one for each frame
};

} // namespace coalmine::store
