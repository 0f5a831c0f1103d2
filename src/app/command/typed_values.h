// Values as they are typed: what is wrong with one is said in words. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <CLI/CLI.hpp>
#include <string>
#include <vector>

namespace coalmine::app {

// A part of a whole: 1% and 0.01 are the same. For Option::transform.
CLI::Validator share();
// A number from low to high.
CLI::Validator between(double low, double high);
// One of these words. hint: what to do else; "": lists them.
CLI::Validator one_of(const std::vector<std::string>& words, std::string hint = "");

} // namespace coalmine::app
