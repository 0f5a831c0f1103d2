// SPDX-License-Identifier: Apache-2.0
#include "query/value_functions.h"

#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <numbers>
#include <utility>

namespace coalmine::query {
namespace {

constexpr double kInf = std::numeric_limits<double>::infinity();
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
    {"abs", plain<std::fabs>}, {"acos", plain<std::acos>}, {"acosh", plain<std::acosh>}, {"asin", plain<std::asin>},
    {"asinh", plain<std::asinh>}, {"atan", plain<std::atan>}, {"atanh", plain<std::atanh>}, {"ceil", plain<std::ceil>},
    {"clamp", clamp}, {"clamp_max", clamp_max}, {"clamp_min", clamp_min}, {"cos", plain<std::cos>}, {"cosh", plain<std::cosh>},
    {"deg", plain<deg>}, {"exp", plain<std::exp>}, {"floor", plain<std::floor>}, {"ln", plain<std::log>},
    {"log10", plain<std::log10>}, {"log2", plain<std::log2>}, {"rad", plain<rad>}, {"round", round_to}, {"sgn", plain<sgn>},
    {"sin", plain<std::sin>}, {"sinh", plain<std::sinh>}, {"sqrt", plain<std::sqrt>}, {"tan", plain<std::tan>},
    {"tanh", plain<std::tanh>},
});

using std::chrono::days;
using std::chrono::sys_days;
using std::chrono::year_month_day;

// Go's int64(float) of a moment out of range is its minimum; the calendar here ends at year 32767.
std::int64_t seconds_of(double v) {
  constexpr double kReach = 9e11;
  return std::isfinite(v) && std::abs(v) < kReach ? static_cast<std::int64_t>(v) : 0;
}
sys_days day_of(double v) {
  return std::chrono::floor<days>(std::chrono::sys_seconds(std::chrono::seconds(seconds_of(v))));
}
year_month_day calendar(double v) { return year_month_day(day_of(v)); }
std::int64_t second_of_day(double v) { return seconds_of(v) - day_of(v).time_since_epoch().count() * 86'400; }

double day_of_month(double v) { return static_cast<unsigned>(calendar(v).day()); }
double day_of_week(double v) { return std::chrono::weekday(day_of(v)).c_encoding(); }
double day_of_year(double v) {
  const sys_days first = calendar(v).year() / std::chrono::January / 1;
  return static_cast<double>((day_of(v) - first).count() + 1);
}
double days_in_month(double v) {
  const year_month_day date = calendar(v);
  return static_cast<unsigned>((date.year() / date.month() / std::chrono::last).day());
}
double hour(double v) { return static_cast<double>(second_of_day(v) / 3600); }
double minute(double v) { return static_cast<double>(second_of_day(v) / 60 % 60); }
double month(double v) { return static_cast<unsigned>(calendar(v).month()); }
double year(double v) { return static_cast<int>(calendar(v).year()); }

constexpr auto kDateFunctions = std::to_array<std::pair<std::string_view, ValueFunction>>({
    {"day_of_month", plain<day_of_month>}, {"day_of_week", plain<day_of_week>}, {"day_of_year", plain<day_of_year>},
    {"days_in_month", plain<days_in_month>}, {"hour", plain<hour>}, {"minute", plain<minute>}, {"month", plain<month>},
    {"year", plain<year>},
});

ValueFunction find(std::span<const std::pair<std::string_view, ValueFunction>> table, std::string_view name) {
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

} // namespace coalmine::query
