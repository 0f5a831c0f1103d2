// SPDX-License-Identifier: Apache-2.0
#include <exception>
#include <iostream>
#include <string>
#include <vector>

#include "app/command/command_line.h"

int main(int argc, char** argv) {
  try {
    const auto line = coalmine::app::parse_command_line(
        std::vector<std::string>(argv + (argc > 0 ? 1 : 0), argv + argc), std::cout, std::cerr);
    return line.run ? line.run() : line.exit;
  } catch (const std::exception& problem) {
    std::cerr << "coalmine: stopped by an unexpected failure: " << problem.what() << '\n';
    return 70;
  }
}
