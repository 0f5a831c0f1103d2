// The scalar fields of a spec as members of a JSON object, by the table of spec_fields.h. Private
// to the room. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/object.hpp>
#include <type_traits>

#include "base/json_text.h"
#include "rollout/spec_fields.h"

namespace coalmine::rollout {

// Appends the field. A value that has no word is written as the last word.
template <typename Owner>
void put_field(boost::json::object& o, const SpecField<Owner>& field, const Owner& owner) {
  const auto put = [&](auto member) {
    const auto value = owner.*member;
    if constexpr (std::is_same_v<std::remove_const_t<decltype(value)>, PolicyAction>) {
      std::string_view text;
      for (const auto& [word, number] : field.words) {
        text = word;
        if (number == static_cast<int>(value)) break;
      }
      o[boost::json::string_view(field.json)] = json_string(text);
    } else {
      o[boost::json::string_view(field.json)] = value;
    }
  };
  std::visit(put, field.member);
}

// A missing or unreadable member leaves the field as it is.
template <typename Owner>
void get_field(const boost::json::object& o, const SpecField<Owner>& field, Owner& owner) {
  const auto get = [&](auto member) {
    auto& value = owner.*member;
    using Value = std::remove_reference_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, bool>) {
      value = get_bool(o, field.json, value);
    } else if constexpr (std::is_same_v<Value, double>) {
      value = get_double(o, field.json, value);
    } else if constexpr (std::is_integral_v<Value>) {
      value = static_cast<Value>(get_int(o, field.json, value));
    } else {
      const auto text = get_text(o, field.json);
      for (const auto& [word, number] : field.words) {
        if (word == text) value = static_cast<PolicyAction>(number);
      }
    }
  };
  std::visit(get, field.member);
}

} // namespace coalmine::rollout
