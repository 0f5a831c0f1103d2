// The one bounded inflate. zlib streams; libdeflate is the quick way for the honest single-member
// gzip that SDKs and collectors send.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <libdeflate.h>
#include <zlib.h>
#include <zstd.h>

#include <algorithm>
#include <cstring>
#include <memory>
#include <optional>

#include "receive/otlp.h"

namespace coalmine::receive {
namespace {

constexpr std::size_t kRatioFree = 1u << 20; // the ratio counts only beyond this many bytes
constexpr std::size_t kFirstBuffer = 64u << 10;
// A trailer that claims more is not believed, not even as a hint.
constexpr std::size_t kHonestRatio = 32;
constexpr int kMaxZstdWindowLog = 23; // 8 MiB, the most that RFC 8878 asks of decoders

// The output: grows by doubling up to the limits, and knows when they are passed. One inflate call.
class BoundedOutput {
 public:
  explicit BoundedOutput(const Limits& limits) : limits_(limits) {}

  // Room to write to; at least one byte unless the size limit is reached.
  std::pair<char*, std::size_t> room() {
    if (used_ == out_.size()) grow();
    return {out_.data() + used_, out_.size() - used_};
  }
  // n bytes were written to room() after `consumed` bytes of input in all.
  Status wrote(std::size_t n, std::size_t consumed) {
    used_ += n;
    if (used_ > kRatioFree &&
        static_cast<double>(used_) > limits_.max_inflate_ratio * static_cast<double>(consumed)) {
      return fail(ErrorCode::resource_exhausted,
                  fmt::format("the compressed body inflates more than {:g}:1 ({} bytes from the "
                              "first {}); send it less compressed or in "
                              "smaller batches",
                              limits_.max_inflate_ratio, used_, consumed));
    }
    return {};
  }
  bool full() const { return used_ >= limits_.max_inflated_bytes; }
  std::unexpected<Error> too_large() const {
    return fail(
        ErrorCode::resource_exhausted,
        fmt::format(
            "the compressed body inflates to more than the limit of {} bytes; send smaller batches",
            limits_.max_inflated_bytes));
  }
  std::string take() {
    out_.resize(used_);
    return std::move(out_);
  }

 private:
  void grow() {
    const std::size_t size =
        std::min(std::max(out_.size() * 2, kFirstBuffer), limits_.max_inflated_bytes);
    // Into a fresh string: growing the old one might allocate twice its capacity, beyond the limit.
    std::string next;
    next.resize_and_overwrite(size, [&](char* data, std::size_t) {
      std::memcpy(data, out_.data(), used_);
      return size; // and not the second argument, which libstdc++ 12 sets to the capacity
    });
    out_ = std::move(next);
  }

  const Limits& limits_;
  std::string out_;
  std::size_t used_ = 0;
};

std::unexpected<Error> broken(std::string_view encoding, std::size_t at, std::string_view why) {
  return fail(ErrorCode::invalid_argument,
              fmt::format("the body is not valid {}: {} at byte {}", encoding, why, at));
}

// Inflates until the members end. window_bits as inflateInit2 has them. After an end, more input
// must be another gzip member.
Result<std::string> inflate_zlib(std::string_view body, std::string_view encoding, int window_bits,
                                 const Limits& limits) {
  z_stream stream{};
  if (inflateInit2(&stream, window_bits) != Z_OK)
    return fail(ErrorCode::internal, "zlib could not start: out of memory");
  const std::unique_ptr<z_stream, int (*)(z_stream*)> closer(&stream, inflateEnd);
  BoundedOutput out(limits);
  std::size_t at = 0; // input handed over and used
  while (true) {
    char spill = 0; // at the size limit: does anything more come?
    const bool full = out.full();
    const auto [room, size] = full ? std::pair<char*, std::size_t>(&spill, 1) : out.room();
    const auto piece = std::min<std::size_t>(body.size() - at, 1u << 30);
    const auto space = std::min<std::size_t>(size, 1u << 30);
    // zlib does not write to its input.
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(body.data() + at));
    stream.avail_in = static_cast<uInt>(piece);
    stream.next_out = reinterpret_cast<Bytef*>(room);
    stream.avail_out = static_cast<uInt>(space);
    const int rc = ::inflate(&stream, Z_NO_FLUSH);
    at += piece - stream.avail_in;
    const std::size_t written = space - stream.avail_out;
    if (full && written > 0) return out.too_large();
    if (!full) TRY(out.wrote(written, at));
    if (rc == Z_STREAM_END) {
      if (at == body.size()) return out.take();
      if (encoding != "gzip" || body.substr(at, 2) != "\x1f\x8b")
        return broken(encoding, at, "bytes after the end");
      if (inflateReset(&stream) != Z_OK)
        return fail(ErrorCode::internal, "zlib could not start over");
      continue;
    }
    if (rc != Z_OK && rc != Z_BUF_ERROR)
      return broken(encoding, at, stream.msg != nullptr ? stream.msg : "damaged data");
    if (at == body.size() && stream.avail_out != 0)
      return broken(encoding, at, "it ends in the middle");
  }
}

// One gzip member whose trailer states a believable size: a buffer of that size, one call. nullopt:
// it does not; use the streaming way.
std::optional<std::string> inflate_quickly(std::string_view body, const Limits& limits) {
  if (body.size() < 18) return std::nullopt;
  std::uint32_t claimed = 0;
  std::memcpy(&claimed, body.data() + body.size() - 4, 4);
  if (claimed > limits.max_inflated_bytes || claimed > body.size() * kHonestRatio)
    return std::nullopt;
  if (static_cast<double>(claimed) > limits.max_inflate_ratio * static_cast<double>(body.size()))
    return std::nullopt;
  const std::unique_ptr<libdeflate_decompressor, void (*)(libdeflate_decompressor*)> engine(
      libdeflate_alloc_decompressor(), libdeflate_free_decompressor);
  if (!engine) return std::nullopt;
  std::string out;
  std::size_t used = 0;
  std::size_t written = 0;
  auto rc = LIBDEFLATE_BAD_DATA;
  out.resize_and_overwrite(claimed, [&](char* data, std::size_t) {
    rc = libdeflate_gzip_decompress_ex(engine.get(), body.data(), body.size(), data, claimed, &used,
                                       &written);
    return claimed;
  });
  if (rc != LIBDEFLATE_SUCCESS || used != body.size() || written != claimed) return std::nullopt;
  return out;
}

// "deflate" means zlib's format, but some clients send it raw.
bool has_zlib_header(std::string_view body) {
  if (body.size() < 2) return true;
  const auto cmf = static_cast<unsigned char>(body[0]);
  const auto flags = static_cast<unsigned char>(body[1]);
  return (cmf & 0x0f) == 8 && (cmf * 256 + flags) % 31 == 0;
}

Result<std::string> inflate_zstd(std::string_view body, const Limits& limits) {
  const std::unique_ptr<ZSTD_DCtx, std::size_t (*)(ZSTD_DCtx*)> context(ZSTD_createDCtx(),
                                                                        ZSTD_freeDCtx);
  if (!context ||
      ZSTD_isError(ZSTD_DCtx_setParameter(context.get(), ZSTD_d_windowLogMax, kMaxZstdWindowLog))) {
    return fail(ErrorCode::internal, "zstd could not start: out of memory");
  }
  BoundedOutput out(limits);
  ZSTD_inBuffer in{body.data(), body.size(), 0};
  while (true) {
    char spill = 0;
    const bool full = out.full();
    const auto [room, size] = full ? std::pair<char*, std::size_t>(&spill, 1) : out.room();
    ZSTD_outBuffer to{room, size, 0};
    const std::size_t rc = ZSTD_decompressStream(context.get(), &to, &in);
    if (ZSTD_isError(rc)) return broken("zstd", in.pos, ZSTD_getErrorName(rc));
    if (full && to.pos > 0) return out.too_large();
    if (!full) TRY(out.wrote(to.pos, in.pos));
    if (in.pos == in.size && rc == 0) return out.take(); // the last frame is whole
    if (in.pos == in.size && to.pos < to.size)
      return broken("zstd", in.pos, "it ends in the middle");
  }
}

} // namespace

Result<std::string> inflate(std::string_view body, std::string_view encoding,
                            const Limits& limits) {
  if (encoding.empty() || encoding == "identity") {
    if (body.size() > limits.max_inflated_bytes) {
      return fail(
          ErrorCode::resource_exhausted,
          fmt::format("the body has {} bytes, more than the limit of {}; send smaller batches",
                      body.size(), limits.max_inflated_bytes));
    }
    return std::string(body);
  }
  if (encoding == "gzip" || encoding == "x-gzip") {
    if (auto quick = inflate_quickly(body, limits)) return std::move(*quick);
    return inflate_zlib(body, "gzip", 16 + MAX_WBITS, limits);
  }
  if (encoding == "deflate")
    return inflate_zlib(body, encoding, has_zlib_header(body) ? MAX_WBITS : -MAX_WBITS, limits);
  if (encoding == "zstd") return inflate_zstd(body, limits);
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("the content encoding \"{}\" is not known; use gzip, deflate, zstd or none",
                  encoding.substr(0, 64)));
}

} // namespace coalmine::receive
