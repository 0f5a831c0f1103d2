// SPDX-License-Identifier: Apache-2.0
#include "telemetry/packed_column.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <string>

namespace coalmine {
namespace {

constexpr std::size_t kFrame = 32;
// Flag in width: no value is negative, so no bit is spent on the sign.
constexpr std::uint8_t kPlain = 0x80;

std::uint64_t zigzag(std::int64_t v) {
  return (static_cast<std::uint64_t>(v) << 1) ^ static_cast<std::uint64_t>(v >> 63);
}
std::int64_t unzigzag(std::uint64_t v) {
  return static_cast<std::int64_t>(v >> 1) ^ -static_cast<std::int64_t>(v & 1);
}
std::size_t octets(std::size_t count, unsigned width) { return (count * width + 7) / 8; }

// A value of at most this many bits always fits into the eight octets from the one with its first
// bit.
constexpr unsigned kNarrow = 57;

void unpack(std::span<std::int64_t> out, std::string_view packed, unsigned width) {
  std::array<char, kFrame * sizeof(std::uint64_t) + sizeof(std::uint64_t)> octets_and_more{};
  std::memcpy(octets_and_more.data(), packed.data(), packed.size());
  if (width <= kNarrow) {
    const std::uint64_t mask = (std::uint64_t{1} << width) - 1;
    std::size_t bit = 0;
    for (auto& v : out) {
      std::uint64_t word = 0;
      std::memcpy(&word, octets_and_more.data() + bit / 8, sizeof(word));
      v = static_cast<std::int64_t>(word >> (bit % 8) & mask);
      bit += width;
    }
    return;
  }
  std::size_t bit = 0;
  for (auto& v : out) {
    std::uint64_t read = 0;
    for (unsigned have = 0; have < width;) {
      const auto room = static_cast<unsigned>(std::min<std::size_t>(8 - bit % 8, width - have));
      const auto part = static_cast<std::uint64_t>(
                            static_cast<std::uint8_t>(octets_and_more[bit / 8]) >> (bit % 8)) &
                        ((1u << room) - 1);
      read |= part << have;
      bit += room;
      have += room;
    }
    v = static_cast<std::int64_t>(read);
  }
}

void break_reader(ByteReader& r) { (void)r.raw(r.remaining() + 1); }

} // namespace

void write_column(ByteWriter& w, std::span<const std::int64_t> values) {
  if (std::ranges::all_of(values, [](std::int64_t v) { return v == 0; })) return w.u8(0);
  w.u8(1);
  for (; !values.empty(); values = values.subspan(std::min(kFrame, values.size()))) {
    const auto frame = values.first(std::min(kFrame, values.size()));
    const bool plain = std::ranges::none_of(frame, [](std::int64_t v) { return v < 0; });
    const auto coded = [&](std::int64_t v) {
      return plain ? static_cast<std::uint64_t>(v) : zigzag(v);
    };
    std::uint64_t all = 0;
    for (const auto v : frame) all |= coded(v);
    const auto width = static_cast<unsigned>(std::bit_width(all));
    std::array<char, kFrame * sizeof(std::uint64_t)> packed{};
    std::size_t bit = 0;
    for (const auto v : frame) {
      for (std::uint64_t rest = coded(v), left = width; left > 0;) {
        const auto room = std::min<std::uint64_t>(8 - bit % 8, left);
        packed[bit / 8] = static_cast<char>(static_cast<std::uint8_t>(packed[bit / 8]) |
                                            static_cast<std::uint8_t>(rest << (bit % 8)));
        rest >>= room;
        bit += room;
        left -= room;
      }
    }
    w.u8(static_cast<std::uint8_t>(width | (plain ? kPlain : 0u)));
    w.raw({packed.data(), octets(frame.size(), width)});
  }
}

void read_column(ByteReader& r, std::span<std::int64_t> values) {
  const auto kind = r.u8();
  if (kind == 0) {
    std::ranges::fill(values, 0);
    return;
  }
  if (kind != 1) return break_reader(r);
  for (; !values.empty() && r.ok(); values = values.subspan(std::min(kFrame, values.size()))) {
    const auto frame = values.first(std::min(kFrame, values.size()));
    const unsigned shape = r.u8();
    const bool plain = (shape & kPlain) != 0;
    const unsigned width = shape & ~unsigned{kPlain};
    if (width > 64) return break_reader(r);
    const auto packed = r.raw(octets(frame.size(), width));
    if (!r.ok()) return;
    unpack(frame, packed, width);
    if (!plain) {
      for (auto& v : frame) v = unzigzag(static_cast<std::uint64_t>(v));
    }
  }
}

} // namespace coalmine
