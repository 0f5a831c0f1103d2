// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/value_functions.h"

#include <array>
#include <cmath>
#include <cstdint>
#include <limits>
#include <numbers>
#include <utility>

#include "promql/eval/eval_types.h"

namespace coalmine::promql {
namespace {

using Params = std::span<const double>;

template <double (*F)(double)>
bool plain(double v, Params, double& out) {
  out = F(v);
  return true;
}

double deg(double v) { return v * 180 / std::numbers::pi; }
double rad(double v) { return v * std::numbers::pi / 180; }
double sgn(double v) { return v < 0 ? -1 : v > 0 ? 1 : v; }

bool round_to(double v, Params params, double& out) {
  const double inverse = 1.0 / (params.empty() ? 1.0 : params[0]);
  out = std::floor(v * inverse + 0.5) / inverse;
  return true;
}

bool clamp(double v, Params params, double& out) {
  if (params[1] < params[0]) return false;
  out = go_max(params[0], go_min(params[1], v));
  return true;
}
bool clamp_min(double v, Params params, double& out) {
  out = go_max(params[0], v);
  return !(kInf < params[0]);
}
bool clamp_max(double v, Params params, double& out) {
  out = go_min(params[0], v);
  return true;
}

constexpr auto kValueFunctions = std::to_array<std::pair<std::string_view, ValueFunction>>({
    {"abs", plain<std::fabs>},    {"acos", plain<std::acos>},   {"acosh", plain<std::acosh>},
    {"asin", plain<std::asin>},   {"asinh", plain<std::asinh>}, {"atan", plain<std::atan>},
    {"atanh", plain<std::atanh>}, {"ceil", plain<std::ceil>},   {"clamp", clamp},
    {"clamp_max", clamp_max},     {"clamp_min", clamp_min},     {"cos", plain<std::cos>},
    {"cosh", plain<std::cosh>},   {"deg", plain<deg>},          {"exp", plain<std::exp>},
    {"floor", plain<std::floor>}, {"ln", plain<std::log>},      {"log10", plain<std::log10>},
    {"log2", plain<std::log2>},   {"rad", plain<rad>},          {"round", round_to},
    {"sgn", plain<sgn>},          {"sin", plain<std::sin>},     {"sinh", plain<std::sinh>},
    {"sqrt", plain<std::sqrt>},   {"tan", plain<std::tan>},     {"tanh", plain<std::tanh>},
});

// A calendar for every 64-bit number of seconds. NaN and values out of range count as the lowest
// number, and seconds before the calendar's first year wrap to its end. Both match Prometheus on a
// 64-bit machine.
constexpr std::int64_t kDaySeconds = 86'400;
// The calendar begins on the first of March of this year, a multiple of 400.
constexpr std::int64_t kFirstYear = -292'277'022'400;
constexpr std::uint64_t kEpochSeconds = 9'223'372'028'741'760'000U; // from there to 1970

std::uint64_t since_first_day(double v) {
  constexpr double kReach = 9223372036854775808.0;
  const std::int64_t seconds = v < kReach && v >= -kReach
                                   ? static_cast<std::int64_t>(v)
                                   : std::numeric_limits<std::int64_t>::min();
  return static_cast<std::uint64_t>(seconds) + kEpochSeconds;
}

struct Date {
  std::int64_t year = 0;
  int month = 1;
  int day = 1;
};

bool is_leap(std::int64_t year) { return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0); }

// Years here begin in March, so that the leap day is the last day. Months follow from day numbers,
// because five months have 153 days.
Date date_of(double v) {
  constexpr std::int64_t kEraDays = 146'097; // 400 years
  const auto days = static_cast<std::int64_t>(since_first_day(v) / kDaySeconds);
  const std::int64_t in_era = days % kEraDays;
  const std::int64_t year_of_era =
      (in_era - in_era / 1460 + in_era / 36'524 - in_era / 146'096) / 365;
  const std::int64_t in_year = in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const std::int64_t month = (5 * in_year + 2) / 153; // 0: March
  Date out;
  out.day = static_cast<int>(in_year - (153 * month + 2) / 5 + 1);
  out.month = static_cast<int>(month < 10 ? month + 3 : month - 9);
  out.year = kFirstYear + days / kEraDays * 400 + year_of_era + (out.month <= 2 ? 1 : 0);
  return out;
}

int month_days(std::int64_t year, int month) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  return kDays[static_cast<std::size_t>(month - 1)] + (month == 2 && is_leap(year) ? 1 : 0);
}

double day_of_month(double v) { return date_of(v).day; }
double day_of_week(double v) {
  return static_cast<double>((since_first_day(v) / kDaySeconds + 3) % 7);
} // the first day is a Wednesday
double day_of_year(double v) {
  const Date date = date_of(v);
  int out = date.day;
  for (int month = 1; month < date.month; ++month) out += month_days(date.year, month);
  return out;
}
double days_in_month(double v) {
  const Date date = date_of(v);
  return month_days(date.year, date.month);
}
double hour(double v) { return static_cast<double>(since_first_day(v) % kDaySeconds / 3600); }
double minute(double v) { return static_cast<double>(since_first_day(v) % 3600 / 60); }
double month(double v) { return date_of(v).month; }
double year(double v) { return static_cast<double>(date_of(v).year); }

constexpr auto kDateFunctions = std::to_array<std::pair<std::string_view, ValueFunction>>({
    {"day_of_month", plain<day_of_month>},
    {"day_of_week", plain<day_of_week>},
    {"day_of_year", plain<day_of_year>},
    {"days_in_month", plain<days_in_month>},
    {"hour", plain<hour>},
    {"minute", plain<minute>},
    {"month", plain<month>},
    {"year", plain<year>},
});

ValueFunction find(std::span<const std::pair<std::string_view, ValueFunction>> table,
                   std::string_view name) {
  for (const auto& [known, function] : table) {
    if (known == name) return function;
  }
  return nullptr;
}

} // namespace

double go_max(double a, double b) {
  if (a == kInf || b == kInf) return kInf;
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return a > b ? a : b;
}
double go_min(double a, double b) {
  if (a == -kInf || b == -kInf) return -kInf;
  if (std::isnan(a) || std::isnan(b)) return std::numeric_limits<double>::quiet_NaN();
  return a < b ? a : b;
}

ValueFunction find_value_function(std::string_view name) { return find(kValueFunctions, name); }
ValueFunction find_date_function(std::string_view name) { return find(kDateFunctions, name); }

} // namespace coalmine::promql
