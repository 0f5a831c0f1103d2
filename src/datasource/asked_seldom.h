// Texts that cost a question and change seldom: each is asked for again after a while only.
// Thread-safe; two threads may ask the same at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>

#include "base/guarded.h"

namespace coalmine::datasource {

class AskedSeldom {
 public:
  static constexpr std::int64_t kAskAgainMs = 5 * 60'000;

  // now_ms may be any clock that the caller keeps to. ask: returns the text; called without a lock.
  template <typename Ask>
  std::string get(const std::string& key, std::int64_t now_ms, Ask&& ask) const {
    const auto known = told_.with([&](auto& told) -> std::optional<std::string> {
      const auto it = told.find(key);
      if (it == told.end() || now_ms - it->second.at_ms >= kAskAgainMs) return std::nullopt;
      return it->second.text;
    });
    if (known) return *known;
    auto text = std::forward<Ask>(ask)();
    told_.with([&](auto& told) {
      if (told.size() >= kMost) told.clear();
      told[key] = {now_ms, text};
    });
    return text;
  }

 private:
  static constexpr std::size_t kMost = 4'000;
  struct Told {
    std::int64_t at_ms = 0;
    std::string text;
  };
  mutable Guarded<std::map<std::string, Told>> told_;
};

} // namespace coalmine::datasource
