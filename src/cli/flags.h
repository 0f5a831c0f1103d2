// Flags that every command has, whether it talks to a server or computes locally.
// Any thread; nothing is kept.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "cli/cli.h"

namespace coalmine::cli {

struct CommonFlags {
  std::string output = "text"; // text, json; a verdict also junit, github
  bool no_color = false;
  bool quiet = false;
  std::string log_level = "info";
};

Output output_of(const CommonFlags& common);
// A variable of the process; "" when it is not set.
std::string environment(const char* name);
// Colour on this stream: a terminal, and neither --no-color nor NO_COLOR nor TERM=dumb.
bool use_color(int descriptor, const CommonFlags& common);

} // namespace coalmine::cli
