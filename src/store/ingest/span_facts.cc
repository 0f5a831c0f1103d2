// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/span_facts.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "base/text.h"
#include "telemetry/outcome.h"
#include "telemetry/route_name.h"

namespace coalmine::store {
namespace {

constexpr double kMostAdjusted = 1e6;

// The part of a list that begins with this key; the parts end at the separator.
std::string_view value_of(std::string_view list, char separator, std::string_view key) {
  while (!list.empty()) {
    const auto end = std::min(list.find(separator), list.size());
    const auto part = trimmed(list.substr(0, end), " \t");
    if (part.starts_with(key)) return part.substr(key.size());
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return {};
}

} // namespace

std::optional<double> adjusted_count(std::string_view trace_state) {
  constexpr std::size_t kDigits = 14; // 56 bits
  const auto threshold = value_of(value_of(trace_state, ',', "ot="), ';', "th:");
  if (threshold.empty() || threshold.size() > kDigits) return std::nullopt;
  std::uint64_t dropped = 0;
  const auto [end, error] =
      std::from_chars(threshold.data(), threshold.data() + threshold.size(), dropped, 16);
  if (error != std::errc() || end != threshold.data() + threshold.size()) return std::nullopt;
  const double all = std::ldexp(1.0, 56);
  const double kept = all - std::ldexp(static_cast<double>(dropped),
                                       static_cast<int>(4 * (kDigits - threshold.size())));
  return std::min(all / kept, kMostAdjusted);
}

SpanFacts::SpanFacts(const SpanTable& table)
    : table_(table), roles_(table.texts.size(), kOther), status_(table.pairs.size(), kUnread) {
  for (std::size_t i = 0; i < table.texts.size(); ++i) {
    const auto at = std::ranges::find(kKeys, table.texts[i]);
    if (at != kKeys.end()) roles_[i] = static_cast<std::size_t>(at - kKeys.begin());
    if (is_tail_sampling_mark(table.texts[i])) roles_[i] = kSamplingMark;
  }
}

SpanFacts::Facts SpanFacts::of(const SpanTable::Row& row) {
  std::array<std::uint32_t, kKeys.size()> found;
  found.fill(kNone);
  bool marked = false;
  for (const auto id : table_.list(row.attributes)) {
    const auto role = roles_[table_.pairs[id].key];
    marked = marked || role == kSamplingMark;
    if (role < found.size() && found[role] == kNone) found[role] = id;
  }
  const double known = weight(row.trace_state);
  Facts out{.route = {.pair = has_text(found[0]) ? found[0] : kNone, .name = kNone},
            .method = has_text(found[1]) ? found[1] : found[2],
            .http_status = status(found[3]),
            .weight = known > 0 ? known : 1,
            .tail_sampled = marked && known <= 0};
  if (out.http_status == 0) out.http_status = status(found[4]);
  const bool is_named = out.route.pair == kNone && row.name != SpanTable::kNoText;
  if (is_named && !route_in_name(table_.texts[row.name]).empty()) out.route.name = row.name;
  return out;
}

std::string SpanFacts::text(std::uint32_t pair) const {
  return pair == kNone ? "" : to_text(table_.pairs[pair].value);
}

std::string SpanFacts::text(const Route& route) const {
  return route.name == kNone ? text(route.pair)
                             : std::string(route_in_name(table_.texts[route.name]));
}

int SpanFacts::status(std::uint32_t pair) {
  if (pair == kNone) return 0;
  if (status_[pair] == kUnread) status_[pair] = http_status_of(table_.pairs[pair].value);
  return status_[pair];
}

double SpanFacts::weight(std::uint32_t trace_state) {
  if (trace_state == SpanTable::kNoText) return 0;
  if (weights_.empty()) weights_.assign(table_.texts.size(), -1);
  auto& weight = weights_[trace_state];
  if (weight < 0) weight = adjusted_count(table_.texts[trace_state]).value_or(0);
  return weight;
}

} // namespace coalmine::store
