// Boost.JSON values as text people like to read, and careful reads from values others wrote.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coalmine {

// Compact JSON. Doubles are shortest-form (0.05, not 5E-2); NaN and infinities are null.
std::string json_text(const boost::json::value& value);
// Null when there is nothing to show.
boost::json::value json_number(const std::optional<double>& value);

// Parses; data_loss with the place of the damage. what: "rollout state", for the message.
Result<boost::json::value> parse_json(std::string_view text, std::string_view what);

// Member access that never throws: a missing member or one of another type reads as the fallback.
std::string get_text(const boost::json::object& object, std::string_view key,
                     std::string_view fallback = "");
double get_double(const boost::json::object& object, std::string_view key, double fallback = 0);
std::optional<double> get_optional(const boost::json::object& object, std::string_view key);
std::int64_t get_int(const boost::json::object& object, std::string_view key,
                     std::int64_t fallback = 0);
bool get_bool(const boost::json::object& object, std::string_view key, bool fallback = false);
const boost::json::object* get_object(const boost::json::object& object, std::string_view key);
const boost::json::array* get_array(const boost::json::object& object, std::string_view key);

} // namespace coalmine
