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
// sample at the end is appended as a few bytes. A sample anywhere else costs unpacking and packing
// everything. Not synchronised.
//
// rows    = *frame   ; of at most kFrameRows rows; each frame begins from a state of zeros
// float   = flags [step:zigzag] [start:zigzag] [delta:zigzag / f64]
// classic = flags [step:zigzag] [start:zigzag] counts [rest:zigzag] [delta:zigzag / f64]
// flags   = 1 step as before / 2 start as before / 4 stale (classic) / 8 with rest
//           two bits for the value or sum: unchanged, whole-number delta, as it is
//           two bits for the counts: unchanged, nibbles, octets, zigzag
// step    : time - time before
// start   : start - start before
// counts  : increase of each bucket
// rest    : increase of the count beyond that of the buckets
//
// Exponential histograms are kept unpacked.
class OpenRun {
 public:
  std::size_t size() const { return exponential_ ? exponential_->size() : count_; }
  bool empty() const { return size() == 0; }
  std::size_t kind() const {
    return exponential_ ? 2 : is_classic() ? 1 : 0;
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

  template <typename S>
  void append(const S& sample);
  template <typename S>
  void write_row(const S& sample);
  void pack_row(RoomWriter& w, const FloatSample& sample);
  void pack_row(RoomWriter& w, const ClassicSample& sample);
  void append_row(std::string_view row);
  template <typename F>
  void each(std::int64_t from_ms, std::int64_t to_ms, F&& visit) const;
  bool is_classic() const { return !frames_.empty() && frames_.front().bounds != nullptr; }
  void rebuild(const SampleRun& run);
  State state_at_end() const;
  static void emit(const Frame& frame, const State& state, SampleRun& out);

  std::string bytes_;
  std::vector<Frame> frames_;
  State last_; // of the last frame
  std::uint32_t count_ = 0;
  std::unique_ptr<std::vector<ExponentialSample>> exponential_;
};

} // namespace coalmine::store
