// SPDX-License-Identifier: Apache-2.0
#include "telemetry/labels.h"

#include <xxhash.h>

#include <algorithm>

namespace coalmine {

Labels::Labels(std::vector<Pair> pairs) : pairs_(std::move(pairs)) {
  std::ranges::stable_sort(pairs_, {}, &Pair::first);
  std::size_t kept = 0;
  for (std::size_t i = 0; i < pairs_.size(); ++i) {
    const bool superseded = i + 1 < pairs_.size() && pairs_[i + 1].first == pairs_[i].first;
    if (superseded || pairs_[i].second.empty()) continue;
    if (kept != i) pairs_[kept] = std::move(pairs_[i]);
    ++kept;
  }
  pairs_.resize(kept);
}

std::string_view Labels::get(std::string_view name) const {
  const auto it = std::ranges::lower_bound(pairs_, name, {}, [](const Pair& p) { return std::string_view(p.first); });
  return it != pairs_.end() && it->first == name ? std::string_view(it->second) : std::string_view();
}

Labels Labels::with(std::string_view name, std::string_view value) const {
  Labels out = *this;
  const auto it = std::ranges::lower_bound(out.pairs_, name, {}, [](const Pair& p) { return std::string_view(p.first); });
  const bool found = it != out.pairs_.end() && it->first == name;
  if (value.empty()) {
    if (found) out.pairs_.erase(it);
  } else if (found) {
    it->second = value;
  } else {
    out.pairs_.emplace(it, name, value);
  }
  return out;
}

std::uint64_t Labels::hash() const {
  std::string flat;
  for (const auto& [name, value] : pairs_) {
    flat += name;
    flat += '\xff'; // never in UTF-8, so no two label sets flatten to the same bytes
    flat += value;
    flat += '\xff';
  }
  return XXH3_64bits(flat.data(), flat.size());
}

std::string Labels::to_string() const {
  std::string out(metric_name());
  std::string inner;
  for (const auto& [name, value] : pairs_) {
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
