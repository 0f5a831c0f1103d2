// The scalar fields of a spec, one row each: the row drives the YAML key, the JSON member of the
// journal and the API, the line in docs/config.md and what `check --explain` lists. Pure; any
// thread. The rows live for the whole process.
//
// These are not in the table:
// - texts (service, environment, judge) and config_hash: they have no default that holds for every
// file;
// - lists and maps (steps, signals, metrics, routes, selectors, notify): they have codecs of their
// own;
// - the router's timeout and tolerance: they belong to one kind of router;
// - the fields of a signal: a metric's margin sets several of them at once.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <variant>

#include "rollout/spec.h"

namespace coalmine::rollout {

// How the file writes a double.
enum class Scale {
  plain,
  percent,    // 5% is 0.05
  complement, // 95% is 0.05
};

// A word of the file and its value: a bool or a PolicyAction.
struct FieldWord {
  std::string_view word;
  int value = 0;
};

// The type of the member is the kind of the field: std::int64_t is a duration in ms, double a
// number, int a whole number, bool a switch, PolicyAction a word.
template <typename Owner>
struct SpecField {
  std::string_view block; // of the file; "" is the service itself
  std::string_view key;   // in the block
  std::string_view json;  // in the journal; never changes, since older journals have it
  std::variant<std::int64_t Owner::*, double Owner::*, int Owner::*, bool Owner::*,
               PolicyAction Owner::*>
      member;
  double low = 0; // both ends are allowed; as the file writes the value, 5% is 0.05
  double high = 0;
  Scale scale = Scale::plain;
  std::span<const FieldWord> words = {}; // a PolicyAction has some; a bool without: true, false
  std::string_view special_default = ""; // shown in the docs instead of the member's default
  std::string_view meaning;              // a clause for the docs
  // check --explain shows the field in its list of settings. All others have a sentence there.
  bool in_list = false;
};

// The rows are in the order of the journal's members. Those of the block `judge` come first there.
std::span<const SpecField<RolloutSpec>> rollout_fields();
std::span<const SpecField<StepSpec>> step_fields();
std::span<const SpecField<RankSpec>> rank_fields();

} // namespace coalmine::rollout
