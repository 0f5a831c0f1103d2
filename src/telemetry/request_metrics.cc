// SPDX-License-Identifier: Apache-2.0
#include "telemetry/request_metrics.h"

#include <algorithm>
#include <array>
#include <string>

namespace coalmine {
namespace {

// Without unit and suffixes, best first: those whose labels are laid down come before those whose
// labels everybody chooses.
constexpr std::array<std::string_view, 5> kNames = {
    "http_server_request_duration", // semantic conventions
    "http_server_duration",         // semantic conventions before 1.23
    "http_server_requests",         // Micrometer
    "http_requests",                // client libraries of Prometheus: http_requests_total
    "http_request_duration",        // and http_request_duration_seconds
};

struct Unit {
  std::string_view suffix;
  double to_ms;
};
constexpr std::array<Unit, 4> kUnits = {
    {{"_seconds", 1000}, {"_milliseconds", 1}, {"_microseconds", 1e-3}, {"_nanoseconds", 1e-6}}};

// The first of these labels that a series has is used.
constexpr std::array<std::string_view, 6> kRouteLabels = {"http_route", "uri",  "handler",
                                                          "route",      "path", "endpoint"};
constexpr std::array<std::string_view, 4> kMethodLabels = {"http_request_method", "http_method",
                                                           "method", "verb"};
constexpr std::array<std::string_view, 8> kStatusLabels = {"http_response_status_code",
                                                           "http_status_code",
                                                           "status_code",
                                                           "code",
                                                           "status",
                                                           "http_status",
                                                           "response_code",
                                                           "http_code"};

bool drop_suffix(std::string_view& name, std::string_view suffix) {
  if (!name.ends_with(suffix)) return false;
  name.remove_suffix(suffix.size());
  return true;
}

std::optional<RequestMetric::Part> part_of(std::string_view& name, MetricKind kind) {
  using Part = RequestMetric::Part;
  switch (kind) {
    case MetricKind::histogram:
    case MetricKind::exponential: return Part::whole;
    case MetricKind::counter:
      if (drop_suffix(name, "_total") || drop_suffix(name, "_count")) return Part::count;
      if (drop_suffix(name, "_bucket")) return Part::bucket;
      [[fallthrough]];
    case MetricKind::gauge: // remote write tells counters by their names, and a sum has none
      if (drop_suffix(name, "_sum")) return Part::sum;
  }
  return std::nullopt;
}

template <std::size_t N>
std::string_view first_of(const Labels& labels, const std::array<std::string_view, N>& names) {
  for (const auto name : names) {
    if (const auto value = labels.get(name); !value.empty()) return value;
  }
  return "";
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// "503", "5xx" -> "503", "500"; "" for anything else.
std::string http_status(std::string_view text) {
  if (text.size() != 3 || text[0] < '1' || text[0] > '5') return "";
  if (text.ends_with("xx") || text.ends_with("XX")) return std::string(1, text[0]) + "00";
  return is_digit(text[1]) && is_digit(text[2]) ? std::string(text) : "";
}

} // namespace

std::optional<RequestMetric> find_request_metric(std::string_view name, MetricKind kind) {
  if (!name.starts_with("http_")) return std::nullopt;
  RequestMetric out;
  const bool total = name.ends_with("_total");
  const auto part = part_of(name, kind);
  if (!part) return std::nullopt;
  out.part = *part;
  for (const auto& unit : kUnits) {
    if (drop_suffix(name, unit.suffix)) out.to_ms = unit.to_ms;
  }
  const auto* const at = std::ranges::find(kNames, name);
  if (at == kNames.end()) return std::nullopt;
  // A total of a duration counts seconds, not requests.
  if (total && (out.to_ms != 0 || name.ends_with("_duration"))) return std::nullopt;
  out.rank = static_cast<std::uint8_t>(at - kNames.begin());
  return out;
}

Attributes request_attributes(const Labels& labels) {
  Attributes out;
  if (const auto route = first_of(labels, kRouteLabels); !route.empty())
    out.emplace_back("http.route", std::string(route));
  if (const auto method = first_of(labels, kMethodLabels); !method.empty())
    out.emplace_back("http.request.method", std::string(method));
  if (const auto type = labels.get("error_type"); !type.empty())
    out.emplace_back("error.type", std::string(type));
  for (const auto name : kStatusLabels) {
    auto status = http_status(labels.get(name));
    if (status.empty()) continue;
    out.emplace_back("http.response.status_code", std::move(status));
    break;
  }
  return out;
}

} // namespace coalmine
