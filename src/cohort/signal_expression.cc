// SPDX-License-Identifier: Apache-2.0
#include "cohort/signal_expression.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

namespace coalmine::cohort {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }

std::string escaped(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

} // namespace

Result<std::string> expand_expression(std::string_view promql, const SignalScope& scope) {
  std::string out;
  while (!promql.empty()) {
    const auto at = promql.find('$');
    out += promql.substr(0, at);
    if (at == std::string_view::npos) break;
    promql.remove_prefix(at + 1);
    if (promql.starts_with('$')) {
      out += '$';
      promql.remove_prefix(1);
      continue;
    }
    const bool braced = promql.starts_with('{');
    if (braced) promql.remove_prefix(1);
    const auto length =
        static_cast<std::size_t>(std::ranges::find_if_not(promql, is_letter) - promql.begin());
    const auto name = promql.substr(0, length);
    promql.remove_prefix(length);
    if (braced && !promql.starts_with('}'))
      return fail(ErrorCode::invalid_argument, fmt::format("${{{} is not closed", name));
    if (braced) promql.remove_prefix(1);
    if (name == "service") {
      out += escaped(scope.service);
    } else if (name == "track") {
      out += escaped(scope.track);
    } else if (name == "version") {
      out += escaped(scope.version);
    } else if (name == "window") {
      out += fmt::format("{}ms", std::max<std::int64_t>(1, scope.window_ms));
    } else {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("${} is not known: there are $service, $track, $version and $window, "
                              "and $$ is a dollar sign",
                              name));
    }
  }
  return out;
}

Result<std::optional<double>> read_expression(const promql::ExpressionSource& source,
                                              std::string_view promql, const SignalScope& scope,
                                              std::int64_t time_ms) {
  TRY_ASSIGN(const auto text, expand_expression(promql, scope));
  TRY_ASSIGN(const auto values, source.evaluate(text, time_ms));
  if (values.size() > 1) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format(
            "'{}' gives {} series for {}; a signal is one number: put sum(…) or max(…) around it",
            text, values.size(), scope.track));
  }
  if (values.empty() || std::isnan(values.front().value)) return std::optional<double>();
  return std::optional<double>(values.front().value);
}

} // namespace coalmine::cohort
