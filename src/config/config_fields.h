// Reads the scalar fields of a spec by the table of rollout/spec_fields.h. Private to the config
// parser. One thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>

#include <cstdlib>
#include <optional>
#include <span>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "config/config_values.h"
#include "config/yaml_reader.h"
#include "rollout/spec_fields.h"

namespace coalmine::config {

inline std::span<const rollout::SpecField<rollout::RolloutSpec>> fields_of(
    const rollout::RolloutSpec&) {
  return rollout::rollout_fields();
}
inline std::span<const rollout::SpecField<rollout::StepSpec>> fields_of(const rollout::StepSpec&) {
  return rollout::step_fields();
}
inline std::span<const rollout::SpecField<rollout::RankSpec>> fields_of(const rollout::RankSpec&) {
  return rollout::rank_fields();
}

// The share as the file writes it, within the field's bounds.
template <typename Owner>
std::optional<double> read_share(YamlReader& yaml, const YAML::Node& node,
                                 const rollout::SpecField<Owner>& field, std::string_view what) {
  const auto value = yaml.percent(node, what);
  if (!value || (*value >= field.low && *value <= field.high)) return value;
  yaml.error(node, fmt::format("{} is {:g}%, which is not between {:g}% and {:g}%", what,
                               *value * 100, field.low * 100, field.high * 100));
  return std::nullopt;
}

template <typename Owner>
std::optional<int> read_word(YamlReader& yaml, const YAML::Node& node,
                             const rollout::SpecField<Owner>& field, std::string_view what) {
  std::vector<std::string_view> words;
  for (const auto& each : field.words) words.push_back(each.word);
  const auto choice = yaml.choice(node, what, words);
  if (!choice) return std::nullopt;
  for (const auto& [word, value] : field.words) {
    if (word == *choice) return value;
  }
  return std::nullopt;
}

// Reads node into owner's field; what names the value in messages. False: a problem was reported
// and the field is as it was.
template <typename Owner>
bool read_field(YamlReader& yaml, const YAML::Node& node, const rollout::SpecField<Owner>& field,
                Owner& owner, std::string_view what) {
  const auto take = [](auto& to, const auto& read) {
    if (read) to = static_cast<std::remove_reference_t<decltype(to)>>(*read);
    return read.has_value();
  };
  const auto read = [&](auto member) {
    auto& to = owner.*member;
    using Value = std::remove_reference_t<decltype(to)>;
    if constexpr (std::is_same_v<Value, std::int64_t>) {
      return take(to, yaml.duration(node, what, static_cast<std::int64_t>(field.low),
                                    static_cast<std::int64_t>(field.high)));
    } else if constexpr (std::is_same_v<Value, double> || std::is_same_v<Value, int>) {
      if (field.scale == rollout::Scale::plain)
        return take(to, yaml.number(node, what, field.low, field.high));
      auto share = read_share(yaml, node, field, what);
      if (share && field.scale == rollout::Scale::complement) share = 1 - *share;
      return take(to, share);
    } else {
      if (std::is_same_v<Value, bool> && field.words.empty())
        return take(to, yaml.boolean(node, what));
      return take(to, read_word(yaml, node, field, what));
    }
  };
  return std::visit(read, field.member);
}

// The row of a member. Every member that is asked for has one.
template <typename Owner, typename Value>
const rollout::SpecField<Owner>& field_of(const Owner& owner, Value Owner::* member) {
  for (const auto& field : fields_of(owner)) {
    const auto* own = std::get_if<Value Owner::*>(&field.member);
    if (own != nullptr && *own == member) return field;
  }
  std::abort();
}

// The key of one field. owner and yaml must outlive it.
template <typename Owner>
YamlReader::Key key_of(YamlReader& yaml, const rollout::SpecField<Owner>& field, Owner& owner) {
  return {field.key, [&yaml, &field, &owner](const YAML::Node& node) {
            read_field(yaml, node, field, owner, field.key);
          }};
}
template <typename Owner, typename Value>
YamlReader::Key key_of(YamlReader& yaml, Value Owner::* member, Owner& owner) {
  return key_of(yaml, field_of(owner, member), owner);
}

// The keys of all fields of the block, in the order of the table.
template <typename Owner>
YamlReader::Keys keys_of(YamlReader& yaml, std::string_view block, Owner& owner) {
  YamlReader::Keys keys;
  for (const auto& field : fields_of(owner)) {
    if (field.block == block) keys.push_back(key_of(yaml, field, owner));
  }
  return keys;
}

// The field of owner as the file would write it.
template <typename Owner>
std::string value_text(const rollout::SpecField<Owner>& field, const Owner& owner) {
  const auto text = [&](auto member) -> std::string {
    const auto value = owner.*member;
    for (const auto& [word, number] : field.words) {
      if (number == static_cast<int>(value)) return std::string(word);
    }
    using Value = std::remove_const_t<decltype(value)>;
    if constexpr (std::is_same_v<Value, std::int64_t>) return duration_text(value);
    if constexpr (std::is_same_v<Value, bool>) return value ? "true" : "false";
    const double number = static_cast<double>(value);
    if (field.scale == rollout::Scale::percent) return percent_text(number);
    if (field.scale == rollout::Scale::complement) return percent_text(1 - number);
    return fmt::format("{:g}", number);
  };
  return std::visit(text, field.member);
}

// The default as the file would write it.
template <typename Owner>
std::string default_text(const rollout::SpecField<Owner>& field) {
  if (!field.special_default.empty()) return std::string(field.special_default);
  static const Owner owner{};
  return value_text(field, owner);
}

} // namespace coalmine::config
