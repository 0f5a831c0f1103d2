// Reading OTLP/JSON values: the OTLP mapping of protobuf to JSON, read leniently
// (opentelemetry.io/docs/specs/otlp, "JSON Protobuf Encoding"). Keys may be lowerCamelCase or
// snake_case, 64-bit integers numbers or strings, enums integers or names, NaN a string or null;
// null elsewhere means absent; unknown keys are ignored.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <simdjson.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coalmine::receive {

using JsonElement = simdjson::dom::element;

// key is "traceId" or "trace_id" when camel is "traceId".
bool is_key(std::string_view key, std::string_view camel);

// Typed reads that remember the path, so that an error names the key. The first error sticks: from
// then on every loop ends and reads give zero. One thread, one payload.
class JsonReader {
 public:
  bool failed() const { return failed_; }
  void stop() { failed_ = true; }
  const std::string& fault() const { return fault_; }

  // element(item) for each item of an array.
  template <typename F>
  void each(JsonElement value, std::string_view key, F&& element) {
    if (failed_ || value.is_null()) return;
    simdjson::dom::array items;
    if (value.get(items) != simdjson::SUCCESS) return wrong(key, "an array", value);
    path_.push_back({key, 0});
    for (const JsonElement item : items) {
      element(item);
      if (failed_) return;
      ++path_.back().index;
    }
    path_.pop_back();
  }
  // field(key, value) for each member of an object. name: what to call the object in an error.
  template <typename F>
  void fields(JsonElement value, std::string_view name, F&& field) {
    if (failed_ || value.is_null()) return;
    simdjson::dom::object members;
    if (value.get(members) != simdjson::SUCCESS) return wrong(name, "an object", value);
    for (const auto [key, member] : members) {
      field(key, member);
      if (failed_) return;
    }
  }

  std::string_view text(JsonElement value, std::string_view key);
  bool boolean(JsonElement value, std::string_view key);
  std::uint64_t unsigned_integer(JsonElement value, std::string_view key);
  std::int64_t integer(JsonElement value, std::string_view key);
  double number(JsonElement value, std::string_view key);
  // A name's position in names (after prefix) is its number. Numbers pass unchanged; unknown names
  // give 0.
  std::int32_t enumerator(JsonElement value, std::string_view key, std::string_view prefix,
                          std::initializer_list<std::string_view> names);
  std::int32_t severity(JsonElement value, std::string_view key);

  // Records an error: the value under key is not as expected.
  void wrong(std::string_view key, std::string_view wanted, JsonElement value);

 private:
  struct Step {
    std::string_view key;
    std::size_t index;
  };
  bool failed_ = false;
  std::string fault_;
  std::vector<Step> path_;
};

} // namespace coalmine::receive
