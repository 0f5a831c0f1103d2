// Chunks: runs of samples of one series, encoded as bytes.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/bytes.h"
#include "base/result.h"
#include "store/series/requests.h"
#include "store/series/samples.h"
#include "telemetry/sample_columns.h"

namespace coalmine::store {

inline constexpr std::size_t kMaxChunkSamples = 240;

// chunk    = %x04 kind:u8 count:varint (times / number:varint) starts body checksum:u32
// kind     = 0 integers / 1 doubles / 2 classic / 3 exponential
//            plus %x10: its times are in the times row of that number
// row      = %x01 count:varint times checksum:u32
//            a times row, once for all chunks of a block that share it
// times    = first:zigzag [step:zigzag column]
//            the column: how each further step differs from the one before
// starts   = *(run:varint start:zigzag)
//            runs of one start, relative to the run before; 0: unknown
// body     = summary numbers                      ; integers
//          / summary *xored                       ; doubles
//          / bounds stale summary *numbers sums   ; classic: a row for each bucket, and one for the
//                                                 ; count minus all buckets
//          / stale *exponential
// summary  = %x00                                 ; something falls, ends or is not a number
//          / %x01 ends                            ; nothing does: the first and the last value
// ends     = first:zigzag rise:varint             ; integers
//          / first:f64 last:f64                   ; doubles
//          / *(first:zigzag rise:varint) f64 f64  ; classic: each bucket and the count; first and
//                                                 ; last sum
// numbers  = first:zigzag column                  ; the column: the steps (packed_column.h)
// stale    = count:varint *position:varint        ; which samples are staleness markers
// xored    = shape:u8 *OCTET                      ; value XOR the one before, without its leading
//                                                 ; (high nibble) and trailing (low nibble) zero
//                                                 ; octets
// bounds   = size:varint *f64
// sums     = %x00 *xored / %x01 numbers           ; %x01: all of them whole
// exponential
//          = %x00 *change:zigzag tail             ; scale and buckets of the sample before
//          / %x01 scale:zigzag offset:zigzag size:varint *count:varint
//            offset:zigzag size:varint *count:varint tail
// tail     = threshold:xored zero_count_change:zigzag rest:zigzag sum:xored
// checksum = low half of XXH3-64 of everything before it
//
// Version %x03 differs only in its times, which are always its own. Version %x02 also has no
// summaries. Both are still read.
struct EncodedChunk {
  std::int64_t min_ms = 0;
  std::int64_t max_ms = 0;
  std::string bytes;
  // Byte range of its own times, with their count in front.
  std::size_t times_begin = 0;
  std::size_t times_size = 0;

  std::string_view times() const { return std::string_view(bytes).substr(times_begin, times_size); }
};

// A run is cut where the bounds of a classic histogram change and after kMaxChunkSamples.
std::vector<EncodedChunk> encode_chunks(const SampleRun& run);
// The chunk with the number of a times row in place of its own times.
std::string chunk_with_times_at(const EncodedChunk& chunk, std::uint64_t number);
// times: EncodedChunk::times().
std::string encode_times_row(std::string_view times);
// Returns ascending times. data_loss: damaged.
Result<std::vector<std::int64_t>> decode_times_row(std::string_view bytes);
// The number of the times row that a chunk needs; nullopt when it has its own times. Does not check
// the chunk for damage.
std::optional<std::uint64_t> times_row_of(std::string_view bytes);

// times: the times of its times row; ignored when the chunk has its own. data_loss: the chunk is
// damaged, or these are not its times.
Result<SampleRun> decode_chunk(std::string_view bytes, std::span<const std::int64_t> times = {});

// Decodes chunks into columns: appends the samples in the requested range (both ends inclusive).
// Its buffers are reused from chunk to chunk. Not synchronised.
class ChunkColumns {
 public:
  // times and errors are those of decode_chunk. After an error nothing was added.
  Status append_to(SampleColumns& out, std::string_view bytes, const ColumnRequest& request,
                   std::span<const std::int64_t> times = {});

 private:
  void read_starts(ByteReader& r);
  void read_floats(ByteReader& r, bool integers, SampleColumns& out);
  void read_classic(ByteReader& r, SampleColumns& out, HistogramPart part);
  bool read_classic_ends(ByteReader& r, std::size_t buckets, SampleColumns& out,
                         HistogramPart part);
  void skip_stale(ByteReader& r);
  void add_numbers(ByteReader& r, std::span<std::int64_t> column);
  void write_column_of(double* at, std::size_t stride) const;

  std::vector<std::int64_t> own_times_;
  std::span<const std::int64_t> times_; // its own times, or those of a times row
  std::vector<std::uint32_t> wanted_;   // rows: within the range, and no staleness markers
  std::vector<std::int64_t> column_;
  // Steps of the sum of the columns read so far. The first is the first number.
  std::vector<std::int64_t> steps_;
  std::int64_t from_ms_ = 0;
  std::int64_t to_ms_ = 0;
  bool summarised_ = false; // the chunk may have a summary
  bool ends_do_ = false;    // the caller needs only its first and last row
};

} // namespace coalmine::store
