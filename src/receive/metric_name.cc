// SPDX-License-Identifier: Apache-2.0
#include "receive/metric_name.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "base/text.h"

namespace coalmine::receive {
namespace {

using Tokens = std::vector<std::string>;
using Words = std::pair<std::string_view, std::string_view>;

// UCUM code -> the word Prometheus uses. "1" has none.
constexpr std::array kUnits = {
    Words{"d", "days"},
    Words{"h", "hours"},
    Words{"min", "minutes"},
    Words{"s", "seconds"},
    Words{"ms", "milliseconds"},
    Words{"us", "microseconds"},
    Words{"ns", "nanoseconds"},
    Words{"By", "bytes"},
    Words{"KiBy", "kibibytes"},
    Words{"MiBy", "mebibytes"},
    Words{"GiBy", "gibibytes"},
    Words{"TiBy", "tibibytes"},
    Words{"KBy", "kilobytes"},
    Words{"MBy", "megabytes"},
    Words{"GBy", "gigabytes"},
    Words{"TBy", "terabytes"},
    Words{"m", "meters"},
    Words{"V", "volts"},
    Words{"A", "amperes"},
    Words{"J", "joules"},
    Words{"W", "watts"},
    Words{"g", "grams"},
    Words{"Cel", "celsius"},
    Words{"Hz", "hertz"},
    Words{"1", ""},
    Words{"%", "percent"},
};
constexpr std::array kPerUnits = {
    Words{"s", "second"}, Words{"m", "minute"}, Words{"h", "hour"}, Words{"d", "day"},
    Words{"w", "week"},   Words{"mo", "month"}, Words{"y", "year"},
};

bool is_name_char(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == ':';
}

Tokens split(std::string_view text) {
  Tokens out;
  std::size_t i = 0;
  while (i < text.size()) {
    std::size_t end = i;
    while (end < text.size() && is_name_char(text[end])) ++end;
    if (end > i) out.emplace_back(text.substr(i, end - i));
    i = end + 1;
  }
  return out;
}

std::string join(const Tokens& tokens) {
  std::string out;
  for (const auto& token : tokens) {
    if (!out.empty()) out += '_';
    out += token;
  }
  return out;
}

template <std::size_t N>
std::string unit_word(std::string_view code, const std::array<Words, N>& table) {
  code = trimmed(code, " ");
  // {request}: an annotation, not a unit.
  if (code.find_first_of("{}") != std::string_view::npos) return "";
  const auto* const it = std::ranges::find(table, code, &Words::first);
  return it != table.end() ? std::string(it->second) : join(split(code));
}

void append_missing(Tokens& tokens, std::string word) {
  if (!word.empty() && std::ranges::find(tokens, word) == tokens.end())
    tokens.push_back(std::move(word));
}

void move_to_end(Tokens& tokens, std::string_view word) {
  std::erase(tokens, word);
  tokens.emplace_back(word);
}

} // namespace

std::string metric_name(std::string_view otel_name, std::string_view unit, Instrument instrument) {
  Tokens tokens = split(otel_name);
  if (tokens.empty()) return "";
  const auto slash = unit.find('/');
  append_missing(tokens, unit_word(unit.substr(0, slash), kUnits));
  if (slash != std::string_view::npos) {
    auto per = unit_word(unit.substr(slash + 1), kPerUnits);
    if (!per.empty() && std::ranges::find(tokens, per) == tokens.end()) {
      tokens.emplace_back("per");
      tokens.push_back(std::move(per));
    }
  }
  if (instrument == Instrument::counter) move_to_end(tokens, "total");
  // Some libraries wrongly give counts the unit "1"; so only true gauges are taken for ratios.
  if (instrument == Instrument::gauge && unit == "1") move_to_end(tokens, "ratio");
  std::string out = join(tokens);
  if (out.front() >= '0' && out.front() <= '9') out.insert(out.begin(), '_');
  return out;
}

} // namespace coalmine::receive
