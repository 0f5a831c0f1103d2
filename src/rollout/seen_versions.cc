// SPDX-License-Identifier: Apache-2.0
#include "rollout/seen_versions.h"

#include <fmt/format.h>

#include <algorithm>

#include "rollout/words.h"

namespace coalmine::rollout {
namespace {

constexpr std::size_t kMostSeen = 5; // versions in a sentence

} // namespace

std::string newest_reporting(const SeenVersions& seen) {
  const auto it = std::ranges::find_if(
      seen, [](const auto& one) { return one.reports && !one.version.empty(); });
  return it == seen.end() ? "" : it->version;
}

std::optional<std::string> newest_since(const SeenVersions& seen, std::int64_t since_ms) {
  std::optional<std::string> out;
  for (const auto& one : seen) {
    if (one.arrival_ms <= since_ms) continue;
    if (!out || out->empty()) out = one.version;
  }
  return out;
}

std::string other_than(const std::string& version, const SeenVersions& seen) {
  const auto is_there = [&](const auto& one) { return one.reports && one.version == version; };
  return version.empty() || std::ranges::any_of(seen, is_there) ? "" : newest_reporting(seen);
}

std::string seen_text(const SeenVersions& seen, std::int64_t now_ms) {
  if (seen.empty()) return "none";
  auto newest = seen;
  std::ranges::stable_sort(newest, std::ranges::greater{}, &SeenVersion::last_ms);
  std::string out;
  for (std::size_t i = 0; i < std::min(kMostSeen, newest.size()); ++i) {
    out += fmt::format("{}{} ({} ago)", out.empty() ? "" : ", ",
                       newest[i].version.empty() ? "no version" : newest[i].version,
                       duration_text(std::max<std::int64_t>(0, now_ms - newest[i].last_ms)));
  }
  if (newest.size() > kMostSeen) out += ", …";
  return out;
}

} // namespace coalmine::rollout
