// Labels: the identity of a metric series, as Prometheus writes it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <compare>
#include <cstdint>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace coalmine {

inline constexpr std::string_view kMetricName = "__name__";

// Name/value pairs sorted by name (byte order), no empty values, no duplicate names. A plain value;
// a missing label reads as "". Kept as one run of bytes, because a store has one for each series:
// per label the length of the name (LEB128), the name, the length of the value, the value.
class Labels {
 public:
  using Pair = std::pair<std::string, std::string>; // as given
  // As read; valid as long as the labels.
  using View = std::pair<std::string_view, std::string_view>;

  // Iterates over views in order of names.
  class Iterator {
   public:
    using value_type = View;
    using reference = View;
    using pointer = void;
    using difference_type = std::ptrdiff_t;
    // C++17 requires a real reference for a stronger category.
    using iterator_category = std::input_iterator_tag;
    using iterator_concept = std::forward_iterator_tag;

    Iterator() = default;
    explicit Iterator(const char* at) : at_(at) {}
    View operator*() const;
    Iterator& operator++();
    Iterator operator++(int) { return std::exchange(*this, std::next(*this)); }
    bool operator==(const Iterator&) const = default;

   private:
    const char* at_ = nullptr;
  };

  Labels() = default;
  // Sorts; of equal names the last given wins; empty values are dropped (in Prometheus a missing
  // label equals "").
  explicit Labels(std::vector<Pair> pairs);
  static Labels of(std::initializer_list<Pair> pairs) { return Labels(std::vector<Pair>(pairs)); }

  std::string_view get(std::string_view name) const;
  bool has(std::string_view name) const { return !get(name).empty(); }
  std::string_view metric_name() const { return get(kMetricName); }

  // A copy with one label set (an empty value removes it).
  Labels with(std::string_view name, std::string_view value) const;
  Labels without(std::string_view name) const { return with(name, ""); }
  // A copy with only the labels for whose name wanted(name) is true.
  template <typename Wanted>
  Labels where(Wanted wanted) const {
    Labels out;
    for (const auto [name, value] : *this) {
      if (wanted(name)) out.append(name, value);
    }
    return out;
  }

  std::vector<Pair> pairs() const;
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  Iterator begin() const { return Iterator(bytes_.data()); }
  Iterator end() const { return Iterator(bytes_.data() + bytes_.size()); }

  // XXH3. Not stored, so it may differ between processes.
  std::uint64_t hash() const;
  // name{a="b"}, for people and tests.
  std::string to_string() const;
  // Heap bytes, roughly.
  std::size_t memory() const { return bytes_.capacity(); }

  bool operator==(const Labels& other) const { return bytes_ == other.bytes_; }
  std::strong_ordering operator<=>(const Labels& other) const;

 private:
  void append(std::string_view name, std::string_view value);

  std::string bytes_;
  std::size_t size_ = 0;
};

struct LabelsHash {
  std::size_t operator()(const Labels& labels) const noexcept {
    return static_cast<std::size_t>(labels.hash());
  }
};

// The text that begins at at, with its length before it; at is moved behind it.
inline std::string_view take_label_text(const char*& at) {
  auto byte = static_cast<unsigned char>(*at++);
  std::size_t size = byte & 0x7FU;
  for (unsigned shift = 7; byte >= 0x80; shift += 7) {
    byte = static_cast<unsigned char>(*at++);
    size |= static_cast<std::size_t>(byte & 0x7FU) << shift;
  }
  const std::string_view out(at, size);
  at += size;
  return out;
}

inline Labels::View Labels::Iterator::operator*() const {
  const char* at = at_;
  const auto name = take_label_text(at);
  const auto value = take_label_text(at);
  return {name, value};
}

inline Labels::Iterator& Labels::Iterator::operator++() {
  take_label_text(at_);
  take_label_text(at_);
  return *this;
}

// One condition of a selector. A regexp is RE2 syntax, fully anchored, and '.' matches newline
// (Prometheus 3).
struct Matcher {
  enum class Op { equal, not_equal, regexp, not_regexp };
  std::string name;
  Op op = Op::equal;
  std::string value;
  bool operator==(const Matcher&) const = default;
};

} // namespace coalmine
