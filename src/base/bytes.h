// Byte coding for everything we write to disk: fixed little-endian, big-endian (for ordered keys),
// LEB128 varints, zigzag.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>

namespace coalmine {

inline constexpr std::size_t kMaxVarint = 10; // bytes of a 64-bit varint

// Writes v at the address and returns the address after it; there is room for kMaxVarint bytes.
inline char* put_varint(char* at, std::uint64_t v) {
  while (v >= 0x80) {
    *at++ = static_cast<char>(v | 0x80);
    v >>= 7;
  }
  *at++ = static_cast<char>(v);
  return at;
}

// Writes into space that was reserved beforehand, without a check for each byte. The caller knows
// the largest size.
class RoomWriter {
 public:
  // Grows out by `most` bytes; the destructor cuts out back to what was written.
  RoomWriter(std::string& out, std::size_t most) : out_(out) {
    const std::size_t before = out.size();
    // At least half as large again, so that appending many rows copies seldom.
    if (out.capacity() < before + most) out.reserve(std::max(before + most, grown(before)));
    out.resize(before + most);
    at_ = out.data() + before;
  }
  RoomWriter(const RoomWriter&) = delete;
  RoomWriter& operator=(const RoomWriter&) = delete;
  ~RoomWriter() { out_.resize(static_cast<std::size_t>(at_ - out_.data())); }

  void u8(std::uint8_t v) { *at_++ = static_cast<char>(v); }
  void f64(double v) {
    std::memcpy(at_, &v, sizeof(v));
    at_ += sizeof(v);
  }
  void varint(std::uint64_t v) { at_ = put_varint(at_, v); }
  void zigzag(std::int64_t v) {
    varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63));
  }

 private:
  static std::size_t grown(std::size_t size) { return size + size / 2 + 32; }
  std::string& out_;
  char* at_ = nullptr;
};

// Appends to a string the caller owns. Single thread.
class ByteWriter {
 public:
  explicit ByteWriter(std::string& out) : out_(out) {}

  void u8(std::uint8_t v) { out_.push_back(static_cast<char>(v)); }
  void u32(std::uint32_t v) { fixed(v); }
  void u64(std::uint64_t v) { fixed(v); }
  void f64(double v) { fixed(std::bit_cast<std::uint64_t>(v)); }
  void u64_ordered(std::uint64_t v) {
    for (int shift = 56; shift >= 0; shift -= 8) u8(static_cast<std::uint8_t>(v >> shift));
  }
  void varint(std::uint64_t v) {
    if (v < 0x80) return u8(static_cast<std::uint8_t>(v));
    char buffer[kMaxVarint];
    out_.append(buffer, static_cast<std::size_t>(put_varint(buffer, v) - buffer));
  }
  void zigzag(std::int64_t v) {
    varint((static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63));
  }
  void raw(std::string_view v) { out_.append(v); }
  // Length-prefixed.
  void text(std::string_view v) {
    varint(v.size());
    raw(v);
  }

 private:
  template <typename T>
  void fixed(T v) {
    static_assert(std::endian::native == std::endian::little);
    char buffer[sizeof(T)];
    std::memcpy(buffer, &v, sizeof(T));
    out_.append(buffer, sizeof(T));
  }
  std::string& out_;
};

// Reads what ByteWriter wrote. Never reads past the end: once a read fails, ok() is false and every
// later read yields zero or empty, so a decoder checks once at its end. Views point into the input.
class ByteReader {
 public:
  explicit ByteReader(std::string_view in) : in_(in) {}

  bool ok() const { return ok_; }
  bool done() const { return in_.empty(); }
  std::size_t remaining() const { return in_.size(); }

  std::uint8_t u8() {
    const auto bytes = raw(1);
    return bytes.empty() ? std::uint8_t{0} : static_cast<std::uint8_t>(bytes[0]);
  }
  std::uint32_t u32() { return fixed<std::uint32_t>(); }
  std::uint64_t u64() { return fixed<std::uint64_t>(); }
  double f64() { return std::bit_cast<double>(fixed<std::uint64_t>()); }
  std::uint64_t u64_ordered() {
    const auto bytes = raw(8);
    std::uint64_t v = 0;
    for (const char c : bytes) v = (v << 8) | static_cast<std::uint8_t>(c);
    return v;
  }
  std::uint64_t varint() {
    std::uint64_t v = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const std::uint8_t byte = u8();
      if (!ok_) return 0;
      v |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
      if ((byte & 0x80) == 0) return v;
    }
    ok_ = false;
    return 0;
  }
  std::int64_t zigzag() {
    const std::uint64_t v = varint();
    return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
  }
  std::string_view raw(std::size_t size) {
    if (!ok_ || size > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    const auto out = in_.substr(0, size);
    in_.remove_prefix(size);
    return out;
  }
  std::string_view text() {
    const std::uint64_t size = varint();
    if (size > in_.size()) {
      ok_ = false;
      in_ = {};
      return {};
    }
    return raw(static_cast<std::size_t>(size));
  }

 private:
  template <typename T>
  T fixed() {
    const auto bytes = raw(sizeof(T));
    T v{};
    if (bytes.size() == sizeof(T)) std::memcpy(&v, bytes.data(), sizeof(T));
    return v;
  }
  std::string_view in_;
  bool ok_ = true;
};

} // namespace coalmine
