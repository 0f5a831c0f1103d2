// Any text: the parser never crashes, and accepted text prints to text that parses to the same
// tree.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "lab/promqltest/promql_test_series.h"
#include "promql/engine.h"
#include "promql/syntax/parser.h"
#include "promql/syntax/printer.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine::promql;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto expr = parse_expression(text, ParseOptions::all());
  if (expr) {
    const std::string once = print(**expr);
    const auto again = parse_expression(once, ParseOptions::all());
    if (!again || print(**again) != once) std::abort();
  } else if (expr.error().message.empty()) {
    std::abort();
  }
  (void)parse_selector(text);
  (void)parse_duration_ms(text);
  (void)parse_time_ms(text);
  if (text.find('x') == std::string_view::npos)
    (void)coalmine::lab::parse_test_series(text); // repeats only cost time
  return 0;
}
