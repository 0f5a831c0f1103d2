// Pieces shared by the verdict and the rollout text. Private to the renderers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <string>
#include <string_view>

#include "cli/render.h"

namespace coalmine::cli {

enum class Tone { good, bad, waiting, plain };
std::string painted(std::string_view text, Tone tone, bool color);

// One line of a verdict in pieces.
struct MetricCells {
  std::string name;   // error_rate
  std::string route;  // "": the whole service
  std::string stable; // 0.80%
  std::string canary;
  std::string difference; // +8.90pp (94%: +5.1 … +12.7)
  std::string margin;
  std::string verdict; // pass regression watching no_data
  std::string reason;
  bool tail = false; // a latency that is judged by the share of slow requests
  bool gate = true;
};
MetricCells metric_cells(const boost::json::value& metric);

std::string_view verdict_glyph(std::string_view verdict);
std::string_view verdict_word(std::string_view verdict);
Tone verdict_tone(std::string_view verdict);

} // namespace coalmine::cli
