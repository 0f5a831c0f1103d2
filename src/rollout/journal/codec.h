// The JSON in which the journal keeps a rollout: its spec, its state, and the events that led
// there. Grammar: docs/formats of the journal are the column comments in journal.cc; unknown
// members are ignored, missing ones read as their defaults.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "rollout/machine.h"

namespace coalmine::rollout {

// Secrets are left out: they are found again in the configuration when the journal is opened
// (restore_secrets).
std::string encode_spec(const RolloutSpec& spec);
Result<RolloutSpec> decode_spec(std::string_view text);

// The durable part and what the last look showed; the spec is kept apart.
std::string encode_state(const State& state);
// Without spec and Live (but with the last judgement).
Result<State> decode_state(std::string_view text);
// The durable part alone, for comparison.
std::string durable_text(const State& state);

// {"wall_ms", "steady_ms", "event": "looked", …}. A look keeps what the machine decides on; the
// whole judgement is in the state.
std::string encode_event(const Event& event, Moment now);
// spec: given to Start, which is kept without it.
Result<std::pair<Event, Moment>> decode_event(std::string_view text,
                                              const std::shared_ptr<const RolloutSpec>& spec);

boost::json::value judgement_value(const judge::Judgement& judgement);
judge::Judgement judgement_from(const boost::json::object& object);

} // namespace coalmine::rollout
