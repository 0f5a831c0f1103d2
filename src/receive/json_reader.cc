// SPDX-License-Identifier: Apache-2.0
#include "receive/json_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

namespace coalmine::receive {
namespace {

template <typename T>
bool parse_whole(std::string_view text, T& out) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
  return error == std::errc() && end == text.data() + text.size() && !text.empty();
}

// 2^63 and 2^64 as doubles; the largest integers themselves have none.
constexpr double kTwo63 = 9223372036854775808.0;
constexpr double kTwo64 = 18446744073709551616.0;

} // namespace

bool is_key(std::string_view key, std::string_view camel) {
  if (key == camel) return true;
  if (key.size() <= camel.size()) return false;
  std::size_t k = 0;
  for (const char c : camel) {
    if (c >= 'A' && c <= 'Z') {
      if (k + 1 >= key.size() || key[k] != '_' || key[k + 1] != c - 'A' + 'a') return false;
      k += 2;
    } else {
      if (k >= key.size() || key[k] != c) return false;
      ++k;
    }
  }
  return k == key.size();
}

void JsonReader::wrong(std::string_view key, std::string_view wanted, JsonElement value) {
  if (failed_) return;
  failed_ = true;
  for (const auto& step : path_) fault_ += fmt::format("{}[{}].", step.key, step.index);
  std::string seen;
  if (value.is_string() || value.is_number() || value.is_bool()) {
    seen = simdjson::minify(value).substr(0, 60);
  } else {
    seen = value.is_array() ? "an array" : value.is_object() ? "an object" : "null";
  }
  fault_ += fmt::format("{} is {}, not {}", key, seen, wanted);
}

std::string_view JsonReader::text(JsonElement value, std::string_view key) {
  std::string_view out;
  if (value.is_null()) return out;
  if (value.get(out) != simdjson::SUCCESS) wrong(key, "a string", value);
  return out;
}

bool JsonReader::boolean(JsonElement value, std::string_view key) {
  bool out = false;
  if (value.is_null() || value.get(out) == simdjson::SUCCESS) return out;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS && (text == "true" || text == "false"))
    return text == "true";
  wrong(key, "a boolean", value);
  return false;
}

std::uint64_t JsonReader::unsigned_integer(JsonElement value, std::string_view key) {
  std::uint64_t out = 0;
  if (value.is_null() || value.get(out) == simdjson::SUCCESS) return out;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS && parse_whole(text, out)) return out;
  double number = 0;
  const bool floating = value.is_double() && value.get(number) == simdjson::SUCCESS;
  if (floating && number >= 0 && number < kTwo64 && std::trunc(number) == number)
    return static_cast<std::uint64_t>(number);
  wrong(key, "an unsigned 64-bit integer", value);
  return 0;
}

std::int64_t JsonReader::integer(JsonElement value, std::string_view key) {
  std::int64_t out = 0;
  if (value.is_null() || value.get(out) == simdjson::SUCCESS) return out;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS && parse_whole(text, out)) return out;
  double number = 0;
  const bool floating = value.is_double() && value.get(number) == simdjson::SUCCESS;
  if (floating && number >= -kTwo63 && number < kTwo63 && std::trunc(number) == number)
    return static_cast<std::int64_t>(number);
  wrong(key, "a 64-bit integer", value);
  return 0;
}

double JsonReader::number(JsonElement value, std::string_view key) {
  double out = 0;
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();
  if (value.get(out) == simdjson::SUCCESS) return out;
  std::string_view text;
  if (value.get(text) == simdjson::SUCCESS) {
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "Infinity") return std::numeric_limits<double>::infinity();
    if (text == "-Infinity") return -std::numeric_limits<double>::infinity();
    if (parse_whole(text, out)) return out;
  }
  wrong(key, "a number", value);
  return 0;
}

std::int32_t JsonReader::enumerator(JsonElement value, std::string_view key,
                                    std::string_view prefix,
                                    std::initializer_list<std::string_view> names) {
  std::string_view text;
  std::int64_t number = 0;
  if (value.get(text) == simdjson::SUCCESS && !parse_whole(text, number)) {
    if (text.starts_with(prefix)) text.remove_prefix(prefix.size());
    const auto* const it = std::ranges::find(names, text);
    return it == names.end() ? 0 : static_cast<std::int32_t>(it - names.begin());
  }
  number = integer(value, key);
  const bool fits = number >= std::numeric_limits<std::int32_t>::min() &&
                    number <= std::numeric_limits<std::int32_t>::max();
  return fits ? static_cast<std::int32_t>(number) : 0;
}

std::int32_t JsonReader::severity(JsonElement value, std::string_view key) {
  return enumerator(value, key, "SEVERITY_NUMBER_",
                    {"UNSPECIFIED", "TRACE",  "TRACE2", "TRACE3", "TRACE4", "DEBUG",  "DEBUG2",
                     "DEBUG3",      "DEBUG4", "INFO",   "INFO2",  "INFO3",  "INFO4",  "WARN",
                     "WARN2",       "WARN3",  "WARN4",  "ERROR",  "ERROR2", "ERROR3", "ERROR4",
                     "FATAL",       "FATAL2", "FATAL3", "FATAL4"});
}

} // namespace coalmine::receive
