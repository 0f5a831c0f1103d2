// SPDX-License-Identifier: Apache-2.0
#include "app/command/typed_values.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <optional>
#include <utility>

namespace coalmine::app {
namespace {

std::optional<double> typed_number(std::string_view text) {
  double out = 0;
  const auto* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, out);
  return error == std::errc() && at == end ? std::optional(out) : std::nullopt;
}

} // namespace

CLI::Validator share() {
  return CLI::Validator(
      [](std::string& text) -> std::string {
        const bool percent = text.ends_with('%');
        const auto number =
            typed_number(std::string_view(text).substr(0, text.size() - (percent ? 1 : 0)));
        const double part = number.value_or(-1) / (percent ? 100 : 1);
        if (!(part >= 0 && part <= 1))
          return fmt::format("{} is not a part of all; write 1% or 0.01", text);
        text = fmt::format("{}", part);
        return "";
      },
      "");
}

CLI::Validator between(double low, double high) {
  return CLI::Validator(
      [low, high](std::string& text) -> std::string {
        const auto number = typed_number(text);
        if (number && *number >= low && *number <= high) return "";
        return fmt::format("{} is not a number from {:.10g} to {:.10g}", text, low, high);
      },
      "");
}

CLI::Validator one_of(const std::vector<std::string>& words, std::string hint) {
  if (hint.empty()) {
    for (std::size_t i = 0; i < words.size(); ++i)
      hint += (i == 0 ? "use " : i + 1 == words.size() ? " or " : ", ") + words[i];
  }
  return CLI::Validator(
      [words, hint](std::string& text) -> std::string {
        if (std::ranges::find(words, text) != words.end()) return "";
        return fmt::format("{} is unknown; {}", text, hint);
      },
      "");
}

} // namespace coalmine::app
