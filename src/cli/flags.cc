// SPDX-License-Identifier: Apache-2.0
#include "cli/flags.h"

#include <unistd.h>

#include <cstdlib>

namespace coalmine::cli {

Output output_of(const CommonFlags& common) {
  if (common.output == "json") return Output::json;
  if (common.output == "junit") return Output::junit;
  return common.output == "github" ? Output::github : Output::text;
}

std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool use_color(int descriptor, const CommonFlags& common) {
  return !common.no_color && environment("NO_COLOR").empty() && environment("TERM") != "dumb" &&
         ::isatty(descriptor) == 1;
}

} // namespace coalmine::cli
