// Completion of commands and options in a shell. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>

namespace coalmine::app {

// A script for bash, which zsh runs through bashcompinit; made from the table of commands.
std::string completion_script(const CLI::App& root);

} // namespace coalmine::app
