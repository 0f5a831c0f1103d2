// Times and durations as the HTTP API takes them.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <charconv>
#include <chrono>
#include <cmath>

#include "promql/engine.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

std::optional<double> decimal(std::string_view text) {
  double out = 0;
  const auto result = std::from_chars(text.data(), text.data() + text.size(), out);
  if (text.empty() || result.ec != std::errc() || result.ptr != text.data() + text.size())
    return std::nullopt;
  return out;
}

constexpr double kMaxSeconds = 9'223'372'036.0; // its nanoseconds still fit into an int64

// Reads fixed-width pieces from the front.
struct Reader {
  std::string_view rest;
  bool ok = true;

  int digits(std::size_t n) {
    int out = 0;
    if (rest.size() < n) {
      ok = false;
      return 0;
    }
    const auto result = std::from_chars(rest.data(), rest.data() + n, out);
    if (result.ec != std::errc() || result.ptr != rest.data() + n || rest[0] == '-') ok = false;
    rest.remove_prefix(n);
    return out;
  }
  void skip(std::string_view any_of) {
    if (rest.empty() || any_of.find(rest[0]) == std::string_view::npos) {
      ok = false;
    } else {
      rest.remove_prefix(1);
    }
  }
  // .123 and so on, as milliseconds; finer digits are cut off.
  int fraction_ms() {
    if (!rest.starts_with('.')) return 0;
    rest.remove_prefix(1);
    int out = 0;
    int unit = 100;
    std::size_t n = 0;
    for (; n < rest.size() && rest[n] >= '0' && rest[n] <= '9'; ++n) {
      out += (rest[n] - '0') * unit;
      unit /= 10;
    }
    if (n == 0) ok = false;
    rest.remove_prefix(n);
    return out;
  }
};

// 2026-11-22T10:00:00.5+01:00
std::optional<std::int64_t> rfc3339_ms(std::string_view text) {
  Reader in{text};
  const int year = in.digits(4);
  in.skip("-");
  const int month = in.digits(2);
  in.skip("-");
  const int day = in.digits(2);
  in.skip("Tt");
  const int hour = in.digits(2);
  in.skip(":");
  const int minute = in.digits(2);
  in.skip(":");
  const int second = in.digits(2);
  const int ms = in.fraction_ms();
  if (!in.ok || in.rest.empty()) return std::nullopt;
  const char zone = in.rest[0];
  in.rest.remove_prefix(1);
  int offset = 0;
  if (zone == '+' || zone == '-') {
    const int hours = in.digits(2);
    in.skip(":");
    offset = (hours * 60 + in.digits(2)) * (zone == '-' ? -1 : 1);
  } else if (zone != 'Z' && zone != 'z') {
    return std::nullopt;
  }
  const std::chrono::year_month_day date{std::chrono::year(year),
                                         std::chrono::month(static_cast<unsigned>(month)),
                                         std::chrono::day(static_cast<unsigned>(day))};
  if (!in.ok || !in.rest.empty() || !date.ok() || hour > 23 || minute > 59 || second > 59)
    return std::nullopt;
  const std::int64_t days = std::chrono::sys_days(date).time_since_epoch().count();
  return ((days * 24 + hour) * 60 + minute - offset) * 60'000 + second * 1000 + ms;
}

} // namespace

QueryOutcome<std::int64_t> parse_duration_ms(std::string_view text) {
  if (const auto seconds = decimal(text)) {
    if (!(std::abs(*seconds) < kMaxSeconds)) {
      return bad_data(
          fmt::format("cannot parse {} to a valid duration. It overflows int64", go_quote(text)));
    }
    return static_cast<std::int64_t>(*seconds * 1000);
  }
  if (const auto ms = parse_prometheus_duration(text)) return *ms;
  return bad_data(fmt::format("cannot parse {} to a valid duration", go_quote(text)));
}

QueryOutcome<std::int64_t> parse_time_ms(std::string_view text) {
  if (const auto seconds = decimal(text); seconds && std::abs(*seconds) < 9e15) {
    return static_cast<std::int64_t>(std::round(*seconds * 1000));
  }
  if (const auto ms = rfc3339_ms(text)) return *ms;
  return bad_data(fmt::format("cannot parse {} to a valid timestamp", go_quote(text)));
}

} // namespace coalmine::promql
