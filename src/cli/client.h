// The server's API as the commands use it: JSON in, JSON out, failures as an exit code and a
// printed sentence.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <chrono>
#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/cli.h"
#include "cli/render.h"

namespace coalmine::cli {

// Why a call gave no answer. unreachable: nobody answered, so trying again may help.
struct CallError {
  int exit = kExitUnreachable;
  bool unreachable = false;
  std::string code;
  std::string message; // whole sentences, several lines at most
};

template <typename T>
using CallResult = std::expected<T, CallError>;

struct Answer {
  boost::json::value json;
  std::string text; // as the server sent it
};

using Parameters = std::vector<std::pair<std::string, std::string>>;

// path begins with '/'. What is empty is left out.
CallResult<Answer> get(const Terminal& terminal, const std::string& path,
                       const Parameters& parameters = {});
CallResult<Answer> post(const Terminal& terminal, const std::string& path, boost::json::object body,
                        std::chrono::milliseconds timeout = std::chrono::minutes(1));

// How results are drawn on this terminal, at this moment.
inline Style style_of(const Terminal& terminal) {
  return {terminal.color, terminal.utc, terminal.clock.wall_ms()};
}

// Prints "coalmine: …" to err and gives the exit code.
int report(const Terminal& terminal, const CallError& error);
// Reports a mistake in the command line.
int usage_error(const Terminal& terminal, const std::string& sentence,
                const std::string& hint = "");

// json as one line per answer, as the server sent it.
int print_json(const Terminal& terminal, const Answer& answer, int exit);

// Reads without trusting the shape: the fallback when the key is missing or of another type.
std::string text_of(const boost::json::value& object, std::string_view key);
double number_of(const boost::json::value& object, std::string_view key, double fallback = 0);
bool has_number(const boost::json::value& object, std::string_view key);
bool flag_of(const boost::json::value& object, std::string_view key);
const boost::json::array& list_of(const boost::json::value& object, std::string_view key);
const boost::json::value& member_of(const boost::json::value& object, std::string_view key);

} // namespace coalmine::cli
