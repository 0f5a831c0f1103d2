// SPDX-License-Identifier: Apache-2.0
#include "base/json_text.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>
#include <ctime>

namespace coalmine {
namespace {

namespace json = boost::json;

// 2^53: above it a double no longer tells neighbouring integers apart.
constexpr double kExactInteger = 9007199254740992.0;

void write_double(std::string& out, double value) {
  if (!std::isfinite(value)) {
    out += "null";
  } else if (value == std::floor(value) && std::abs(value) < kExactInteger) {
    fmt::format_to(std::back_inserter(out), "{}", static_cast<std::int64_t>(value));
  } else {
    fmt::format_to(std::back_inserter(out), "{}", value);
  }
}

void write(std::string& out, const json::value& value) {
  switch (value.kind()) {
    case json::kind::object: {
      out += '{';
      bool first = true;
      for (const auto& [key, member] : value.get_object()) {
        if (!first) out += ',';
        first = false;
        out += json::serialize(json::string_view(key));
        out += ':';
        write(out, member);
      }
      out += '}';
      return;
    }
    case json::kind::array: {
      out += '[';
      bool first = true;
      for (const auto& item : value.get_array()) {
        if (!first) out += ',';
        first = false;
        write(out, item);
      }
      out += ']';
      return;
    }
    case json::kind::double_: write_double(out, value.get_double()); return;
    default: out += json::serialize(value); return;
  }
}

const json::value* find(const json::object& object, std::string_view key) {
  const auto it = object.find(json::string_view(key.data(), key.size()));
  return it == object.end() ? nullptr : &it->value();
}

} // namespace

std::string json_text(const json::value& value) {
  std::string out;
  write(out, value);
  return out;
}

json::value json_number(const std::optional<double>& value) {
  if (!value || !std::isfinite(*value)) return nullptr;
  return *value;
}

Result<json::value> parse_json(std::string_view text, std::string_view what) {
  json::error_code error;
  auto value = json::parse(json::string_view(text.data(), text.size()), error);
  if (error)
    return fail(ErrorCode::data_loss,
                fmt::format("the {} is not readable JSON: {}", what, error.message()));
  return value;
}

std::string get_text(const json::object& object, std::string_view key, std::string_view fallback) {
  const auto* value = find(object, key);
  if (value == nullptr || !value->is_string()) return std::string(fallback);
  return std::string(value->get_string().data(), value->get_string().size());
}

std::optional<double> get_optional(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  if (value == nullptr) return std::nullopt;
  if (value->is_double()) return value->get_double();
  if (value->is_int64()) return static_cast<double>(value->get_int64());
  if (value->is_uint64()) return static_cast<double>(value->get_uint64());
  return std::nullopt;
}

double get_double(const json::object& object, std::string_view key, double fallback) {
  return get_optional(object, key).value_or(fallback);
}

std::int64_t get_int(const json::object& object, std::string_view key, std::int64_t fallback) {
  const auto* value = find(object, key);
  if (value == nullptr) return fallback;
  if (value->is_int64()) return value->get_int64();
  if (value->is_double() && std::abs(value->get_double()) < kExactInteger)
    return static_cast<std::int64_t>(value->get_double());
  return fallback;
}

bool get_bool(const json::object& object, std::string_view key, bool fallback) {
  const auto* value = find(object, key);
  return value != nullptr && value->is_bool() ? value->get_bool() : fallback;
}

const json::object* get_object(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  return value == nullptr ? nullptr : value->if_object();
}

const json::array* get_array(const json::object& object, std::string_view key) {
  const auto* value = find(object, key);
  return value == nullptr ? nullptr : value->if_array();
}

} // namespace coalmine
