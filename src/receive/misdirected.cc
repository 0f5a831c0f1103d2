// SPDX-License-Identifier: Apache-2.0
#include "receive/misdirected.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <vector>

#include "receive/answers.h"

namespace coalmine::receive {
namespace {

constexpr std::size_t kShownKeys = 5;

// One level of an OTLP message: where its items are, and what else it may hold.
struct Level {
  std::vector<std::string_view> items;
  std::vector<std::string_view> others;
};

std::string_view items_of(Signal signal, std::array<std::string_view, 3> names) {
  return names.at(static_cast<std::size_t>(signal)); // traces, metrics, logs
}

std::vector<Level> levels_of(Signal signal) {
  std::vector<Level> out = {
      {{items_of(signal, {"resourceSpans", "resourceMetrics", "resourceLogs"})}, {}},
      {{items_of(signal, {"scopeSpans", "scopeMetrics", "scopeLogs"})}, {"resource", "schemaUrl"}},
      {{items_of(signal, {"spans", "metrics", "logRecords"})}, {"scope", "schemaUrl"}}};
  if (signal != Signal::metrics) return out;
  out.push_back({{"gauge", "sum", "histogram", "exponentialHistogram", "summary"},
                 {"name", "description", "unit", "metadata"}});
  out.push_back({{"dataPoints"}, {"isMonotonic", "aggregationTemporality"}});
  return out;
}

bool is_any(std::string_view key, const std::vector<std::string_view>& names) {
  return std::ranges::any_of(names, [&](std::string_view name) { return is_key(key, name); });
}

// What an unknown key is known for.
std::string known_for(std::string_view key) {
  for (const auto signal : {Signal::traces, Signal::metrics, Signal::logs}) {
    if (is_any(key, levels_of(signal).front().items))
      return fmt::format("; {} belongs at /v1/{}", key, signal_name(signal));
  }
  if (key.starts_with("instrumentationLibrary") || key.starts_with("instrumentation_library"))
    return fmt::format("; {} is OTLP before 0.16, send scopes instead", key);
  return "";
}

// Walks down while objects are as they should be.
std::string find_stranger(JsonElement value, const std::vector<Level>& levels, std::size_t at,
                          const std::string& place) {
  simdjson::dom::object members;
  if (at == levels.size() || value.get(members) != simdjson::SUCCESS) return "";
  const auto& level = levels[at];
  std::string strange;
  std::string hint;
  std::size_t count = 0;
  bool has_items = false;
  for (const auto [key, member] : members) {
    if (is_any(key, level.items)) {
      has_items = true;
      simdjson::dom::array list;
      if (member.get(list) != simdjson::SUCCESS) {
        if (auto found = find_stranger(member, levels, at + 1, fmt::format("{}{}.", place, key));
            !found.empty())
          return found;
        continue;
      }
      std::size_t index = 0;
      for (const JsonElement item : list) {
        if (auto found =
                find_stranger(item, levels, at + 1, fmt::format("{}{}[{}].", place, key, index++));
            !found.empty())
          return found;
      }
    } else if (!is_any(key, level.others) && ++count <= kShownKeys) {
      strange += fmt::format("{}{}", strange.empty() ? "" : ", ", short_message(key, 60));
      if (hint.empty()) hint = known_for(key);
    }
  }
  if (has_items || count == 0) return "";
  if (count > kShownKeys) strange += fmt::format(" and {} more", count - kShownKeys);
  return fmt::format("{} has no {}, but {}{}",
                     place.empty() ? "it" : place.substr(0, place.size() - 1),
                     fmt::join(level.items, ", "), strange, hint);
}

} // namespace

std::string looks_like(std::string_view payload, Encoding encoding) {
  const auto begin = payload.find_first_not_of(" \t\r\n");
  const char first = begin == std::string_view::npos ? '\0' : payload[begin];
  if (encoding == Encoding::protobuf && (first == '{' || first == '['))
    return "; it looks like JSON, send that with Content-Type: application/json";
  // Field 1 as bytes begins all three requests.
  if (encoding == Encoding::json && payload.starts_with('\n') && first != '{' && first != '[')
    return "; it looks like protobuf, send that with Content-Type: application/x-protobuf";
  if (payload.starts_with("\x28\xb5\x2f\xfd"))
    return "; it looks compressed with zstd, say so with Content-Encoding: zstd";
  return "";
}

std::string find_stranger(JsonElement root, Signal signal) {
  return find_stranger(root, levels_of(signal), 0, "");
}

std::string_view mistaken_unit(std::uint64_t time_ns, std::int64_t now_ms) {
  // Unix times of this century in a coarser unit are early 1970 in nanoseconds.
  constexpr std::uint64_t kEarly = 100'000'000'000'000'000;
  constexpr std::int64_t kThisCentury = 1'000'000'000'000; // ms
  constexpr double kYearMs = 366.0 * 24 * 3600 * 1000;
  if (time_ns >= kEarly || now_ms < kThisCentury) return "";
  struct Unit {
    std::string_view name;
    double ms;
  };
  for (const auto& unit :
       {Unit{"seconds", 1000}, Unit{"milliseconds", 1}, Unit{"microseconds", 1e-3}}) {
    const double ms = static_cast<double>(time_ns) * unit.ms;
    if (std::abs(ms - static_cast<double>(now_ms)) < kYearMs) return unit.name;
  }
  return "";
}

} // namespace coalmine::receive
