// What was typed, understood: which work it asks for, or what is wrong with it. Does none of the
// work.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <ostream>
#include <string>
#include <vector>

namespace coalmine::app {

struct ParsedLine {
  std::function<int()> run{}; // gives the exit code; empty: all is said already
  int exit = 0;               // where run is empty
};

// words: without the program's name. Help and version go to out, what is wrong to err.
ParsedLine parse_command_line(std::vector<std::string> words, std::ostream& out, std::ostream& err);

} // namespace coalmine::app
