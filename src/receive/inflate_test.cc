// The bounded inflate: every encoding, every limit, every truncation.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <zlib.h>
#include <zstd.h>

#include <random>

#include "receive/otlp.h"
#include "receive/payload_for_test.h"

namespace coalmine::receive {
namespace {

std::string zstd(std::string_view text) {
  std::string out(ZSTD_compressBound(text.size()), '\0');
  out.resize(ZSTD_compress(out.data(), out.size(), text.data(), text.size(), 3));
  return out;
}

// About mebibytes MiB of zeros. Each MiB is flushed whole, so that one compressed piece can be
// repeated instead of made again.
std::string gzip_bomb(std::size_t mebibytes) {
  z_stream stream{};
  deflateInit2(&stream, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  const std::string zeros(1 << 20, '\0');
  std::string buffer(1 << 16, '\0');
  const auto piece = [&] {
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(zeros.data()));
    stream.avail_in = static_cast<uInt>(zeros.size());
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    deflate(&stream, Z_FULL_FLUSH);
    return buffer.substr(0, buffer.size() - stream.avail_out);
  };
  std::string out = piece();
  const auto repeated = piece();
  deflateEnd(&stream);
  for (std::size_t i = 1; i < mebibytes; ++i) out += repeated;
  return out;
}

std::string noise(std::size_t size) { // compresses about 2:1
  std::mt19937 random(7);
  std::string out;
  while (out.size() < size) out += static_cast<char>('a' + random() % 16);
  return out;
}

TEST(Inflate, RoundTripsEveryEncoding) {
  for (const std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{1000},
                                 std::size_t{65'536}, std::size_t{1'200'000}}) {
    const auto text = noise(size);
    EXPECT_EQ(inflate(text, "", {}).value(), text);
    EXPECT_EQ(inflate(text, "identity", {}).value(), text);
    EXPECT_EQ(inflate(payload::gzipped(text), "gzip", {}).value(), text);
    EXPECT_EQ(inflate(payload::deflated(text, 15), "deflate", {}).value(), text);
    EXPECT_EQ(inflate(payload::deflated(text, -15), "deflate", {}).value(), text);
    EXPECT_EQ(inflate(zstd(text), "zstd", {}).value(), text);
  }
  EXPECT_EQ(inflate("x", "br", {}).error().code, ErrorCode::invalid_argument);
}

TEST(Inflate, SeveralMembersAreOneBody) {
  EXPECT_EQ(inflate(payload::gzipped("hello ") + payload::gzipped("world") + payload::gzipped(""),
                    "gzip", {})
                .value(),
            "hello world");
  EXPECT_EQ(inflate(zstd("hello ") + zstd("world"), "zstd", {}).value(), "hello world");
  EXPECT_EQ(inflate(payload::gzipped("hello") + "garbage", "gzip", {}).error().code,
            ErrorCode::invalid_argument);
}

TEST(Inflate, TheSizeTrailerIsNotBelieved) {
  auto body = payload::gzipped(noise(5000));
  for (const char low : {'\x00', '\x01', '\xff'}) { // claims 0, 1, … bytes, or 4 GiB
    auto lie = body;
    for (std::size_t i = 1; i <= 4; ++i) lie[lie.size() - i] = low;
    const auto out = inflate(lie, "gzip", {});
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().code, ErrorCode::invalid_argument);
  }
}

TEST(Inflate, TruncationAndDamageFail) {
  const auto text = noise(3000);
  for (const auto& [encoding, body] :
       {std::pair("gzip", payload::gzipped(text)),
        std::pair("deflate", payload::deflated(text, 15)), std::pair("zstd", zstd(text))}) {
    for (std::size_t size = 0; size < body.size(); ++size) {
      const auto out = inflate(std::string(body.substr(0, size)), encoding, {});
      ASSERT_FALSE(out) << encoding << " cut to " << size;
      ASSERT_EQ(out.error().code, ErrorCode::invalid_argument);
    }
    auto damaged = body;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x40);
    if (encoding == std::string("zstd")) continue; // it carries no checksum here
    EXPECT_FALSE(inflate(damaged, encoding, {}));
  }
}

TEST(Inflate, TheSizeLimitIsExact) {
  Limits limits;
  limits.max_inflated_bytes = 100'000;
  const auto fits = noise(100'000);
  const auto over = noise(100'001);
  EXPECT_EQ(inflate(payload::gzipped(fits), "gzip", limits).value(), fits);
  EXPECT_EQ(inflate(zstd(fits), "zstd", limits).value(), fits);
  for (const auto& [encoding, body] : {std::pair("gzip", payload::gzipped(over)),
                                       std::pair("zstd", zstd(over)), std::pair("", over)}) {
    const auto out = inflate(body, encoding, limits);
    ASSERT_FALSE(out) << encoding;
    EXPECT_EQ(out.error().code, ErrorCode::resource_exhausted);
    EXPECT_NE(out.error().message.find("100000"), std::string::npos) << out.error().message;
  }
}

TEST(Inflate, BombsAreRefusedWithMemoryFlat) {
  const auto bomb = gzip_bomb(512);
  ASSERT_LT(bomb.size(), 1u << 20);
  const auto zstd_bomb = zstd(std::string(32u << 20, '\0'));
  rusage before{};
  getrusage(RUSAGE_SELF, &before);
  Limits wide;
  wide.max_inflate_ratio = 1e9; // then the size limit must hold
  wide.max_inflated_bytes = 4u << 20;
  for (const auto& limits : {Limits{}, wide}) {
    for (const auto& [encoding, body] : {std::pair("gzip", bomb), std::pair("zstd", zstd_bomb)}) {
      const auto out = inflate(body, encoding, limits);
      ASSERT_FALSE(out) << encoding;
      EXPECT_EQ(out.error().code, ErrorCode::resource_exhausted);
    }
  }
  rusage after{};
  getrusage(RUSAGE_SELF, &after);
  EXPECT_LT(after.ru_maxrss - before.ru_maxrss, 40 * 1024) << "KiB above what was there before";
}

} // namespace
} // namespace coalmine::receive
