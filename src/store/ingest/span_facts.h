// The facts about spans that the derived series need.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "telemetry/span_table.h"

namespace coalmine::store {

// How many spans a sampled one stands for, itself included, by the sampling threshold that its
// tracestate names (ot=th:c000: 3 of 4 were dropped, it stands for 4). At most a million, so that
// one damaged threshold does not outweigh everything. nullopt without a threshold.
std::optional<double> adjusted_count(std::string_view trace_state);

// Attributes are looked at once per key and once per distinct value of a table, trace states once
// per distinct text. The table must outlive it.
class SpanFacts {
 public:
  explicit SpanFacts(const SpanTable& table);

  // The number of a pair or, where no attribute says the route, of a text: a span's name that holds
  // it. Equal ones have the same route.
  struct Route {
    std::uint32_t pair = kNone;
    std::uint32_t name = kNone;
    auto operator<=>(const Route&) const = default;
  };
  // Pair numbers; kNone where the span has no such attribute. Where two names mean the same, the
  // newer name is used.
  struct Facts {
    Route route;
    std::uint32_t method = kNone;
    int http_status = 0;
    double weight = 1;
    // Kept by a sampler at the tail, and how many it stands for is not known.
    bool tail_sampled = false;
  };
  Facts of(const SpanTable::Row& row);
  std::string text(std::uint32_t pair) const;
  std::string text(const Route& route) const;

  static constexpr std::uint32_t kNone = UINT32_MAX;

 private:
  static constexpr std::array<std::string_view, 5> kKeys = {
      "http.route", "http.request.method", "http.method", "http.response.status_code",
      "http.status_code"};
  static constexpr std::size_t kSamplingMark = kKeys.size();
  static constexpr std::size_t kOther = kSamplingMark + 1;
  static constexpr int kUnread = -1;

  bool has_text(std::uint32_t pair) const { return pair != kNone && !text(pair).empty(); }
  int status(std::uint32_t pair);
  // As adjusted_count; 0 without a threshold.
  double weight(std::uint32_t trace_state);

  const SpanTable& table_;
  std::vector<std::size_t> roles_; // by text
  std::vector<int> status_;        // by pair
  std::vector<double> weights_;    // by text; negative: not read. Empty: no span has a trace state
};

} // namespace coalmine::store
