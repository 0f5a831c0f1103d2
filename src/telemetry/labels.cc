// SPDX-License-Identifier: Apache-2.0
#include "telemetry/labels.h"

#include <xxhash.h>

#include <algorithm>

namespace coalmine {

namespace {

constexpr std::size_t kMaxLength = 10; // of a length

void append_text(std::string& out, std::string_view text) {
  std::size_t size = text.size();
  for (; size >= 0x80; size >>= 7) out += static_cast<char>((size & 0x7FU) | 0x80U);
  out += static_cast<char>(size);
  out += text;
}

} // namespace

Labels::Labels(std::vector<Pair> pairs) {
  std::ranges::stable_sort(pairs, {}, &Pair::first);
  std::size_t bytes = 0;
  for (const auto& [name, value] : pairs)
    bytes += name.size() + value.size() + (name.size() < 0x80 ? 1 : kMaxLength) +
             (value.size() < 0x80 ? 1 : kMaxLength);
  bytes_.reserve(bytes);
  for (std::size_t i = 0; i < pairs.size(); ++i) {
    const bool superseded = i + 1 < pairs.size() && pairs[i + 1].first == pairs[i].first;
    if (!superseded) append(pairs[i].first, pairs[i].second);
  }
}

void Labels::append(std::string_view name, std::string_view value) {
  if (value.empty()) return;
  append_text(bytes_, name);
  append_text(bytes_, value);
  ++size_;
}

std::string_view Labels::get(std::string_view name) const {
  const char* const end = bytes_.data() + bytes_.size();
  for (const char* at = bytes_.data(); at != end;) {
    const auto found = take_label_text(at);
    const auto value = take_label_text(at);
    if (found == name) return value;
  }
  return {};
}

Labels Labels::with(std::string_view name, std::string_view value) const {
  Labels out;
  out.bytes_.reserve(bytes_.size() + name.size() + value.size() + 2 * kMaxLength);
  bool placed = false;
  for (const auto [own, before] : *this) {
    if (!placed && own >= name) {
      out.append(name, value);
      placed = true;
    }
    if (own != name) out.append(own, before);
  }
  if (!placed) out.append(name, value);
  return out;
}

std::vector<Labels::Pair> Labels::pairs() const {
  std::vector<Pair> out;
  out.reserve(size_);
  for (const auto [name, value] : *this) out.emplace_back(name, value);
  return out;
}

std::strong_ordering Labels::operator<=>(const Labels& other) const {
  return std::lexicographical_compare_three_way(begin(), end(), other.begin(), other.end());
}

std::uint64_t Labels::hash() const { return XXH3_64bits(bytes_.data(), bytes_.size()); }

std::string Labels::to_string() const {
  std::string out(metric_name());
  std::string inner;
  for (const auto [name, value] : *this) {
    if (name == kMetricName) continue;
    if (!inner.empty()) inner += ", ";
    inner += name;
    inner += "=\"";
    for (const char c : value) {
      if (c == '"' || c == '\\') inner += '\\';
      if (c == '\n') {
        inner += "\\n";
      } else {
        inner += c;
      }
    }
    inner += '"';
  }
  if (!inner.empty() || out.empty()) out += "{" + inner + "}";
  return out;
}

} // namespace coalmine
