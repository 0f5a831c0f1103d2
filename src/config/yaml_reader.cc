// SPDX-License-Identifier: Apache-2.0
#include "config/yaml_reader.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>

#include "base/did_you_mean.h"
#include "base/text.h"
#include "config/config_values.h"

namespace coalmine::config {
namespace {

// Words that YAML 1.1 readers take for a boolean or for nothing.
constexpr std::array<std::string_view, 11> kTrapWords{"y",    "n",     "yes",  "no", "on", "off",
                                                      "true", "false", "null", "~",  ""};

bool is_trap_word(std::string_view text) {
  const std::string lower = ascii_lower(text);
  return std::find(kTrapWords.begin(), kTrapWords.end(), lower) != kTrapWords.end();
}

std::string_view line_at(std::string_view source, std::size_t line) {
  for (std::size_t i = 0; i < line; ++i) {
    const auto end = source.find('\n');
    if (end == std::string_view::npos) return "";
    source.remove_prefix(end + 1);
  }
  return source.substr(0, source.find('\n'));
}

// Bytes of the token that starts here: a quoted text with its quotes, a plain one up to its end.
std::size_t token_length(std::string_view rest, const YAML::Node& node) {
  if (rest.empty()) return 1;
  if (rest[0] == '"' || rest[0] == '\'') {
    for (std::size_t i = 1; i < rest.size(); ++i) {
      if (rest[0] == '"' && rest[i] == '\\') {
        ++i;
      } else if (rest[i] == rest[0]) {
        return i + 1;
      }
    }
    return rest.size();
  }
  if (node.IsScalar() && rest.starts_with(node.Scalar()))
    return std::max<std::size_t>(node.Scalar().size(), 1);
  return 1;
}

// yaml-cpp ends a quoted text at the end of the file without complaint, and so swallows everything
// after a forgotten quote.
bool never_closed(std::string_view source, const YAML::Node& node) {
  const auto mark = node.Mark();
  if (mark.is_null() || mark.pos < 0 || static_cast<std::size_t>(mark.pos) >= source.size())
    return false;
  const auto rest = source.substr(static_cast<std::size_t>(mark.pos));
  if (rest[0] != '"' && rest[0] != '\'') return false;
  const auto length = token_length(rest, node);
  return length == 1 || rest[length - 1] != rest[0];
}

std::string join(const std::vector<std::string_view>& words) {
  std::string out;
  for (const auto word : words) out += (out.empty() ? "" : ", ") + std::string(word);
  return out;
}

} // namespace

std::string_view kind_of(const YAML::Node& node) {
  if (!node.IsDefined() || node.IsNull()) return "nothing";
  if (node.IsMap()) return "a map";
  if (node.IsSequence()) return "a list";
  return "a value";
}

// yaml-cpp tags plain scalars "?" and quoted or block ones "!".
bool quoted(const YAML::Node& node) { return node.Tag() == "!"; }

std::vector<YAML::Node> YamlReader::load() {
  try {
    return YAML::LoadAll(std::string(source_));
  } catch (const YAML::Exception& problem) {
    Diagnostic diagnostic;
    const bool placed = !problem.mark.is_null();
    diagnostic.span.line = placed ? static_cast<std::size_t>(problem.mark.line) + 1 : 1;
    diagnostic.span.column = placed ? static_cast<std::size_t>(problem.mark.column) + 1 : 1;
    diagnostic.message = "not valid YAML: " + problem.msg;
    if (line_at(source_, diagnostic.span.line - 1).find('\t') != std::string_view::npos) {
      diagnostic.hint = "YAML is indented with spaces; this line has a tab";
    }
    out_.push_back(std::move(diagnostic));
    return {};
  }
}

void YamlReader::add(Diagnostic::Severity severity, const YAML::Node& at, std::string message,
                     std::string hint) {
  out_.push_back({severity, span(at), std::move(message), std::move(hint)});
}

void YamlReader::error(const YAML::Node& at, std::string message, std::string hint) {
  add(Diagnostic::Severity::error, at, std::move(message), std::move(hint));
}

void YamlReader::warn(const YAML::Node& at, std::string message, std::string hint) {
  add(Diagnostic::Severity::warning, at, std::move(message), std::move(hint));
}

std::size_t YamlReader::errors() const {
  return static_cast<std::size_t>(std::count_if(out_.begin(), out_.end(), [](const Diagnostic& d) {
    return d.severity == Diagnostic::Severity::error;
  }));
}

SourceSpan YamlReader::span(const YAML::Node& node) const {
  const auto mark = node.IsDefined() ? node.Mark() : YAML::Mark::null_mark();
  if (mark.is_null()) return {};
  SourceSpan out{static_cast<std::size_t>(mark.line) + 1, static_cast<std::size_t>(mark.column) + 1,
                 1};
  const auto line = line_at(source_, static_cast<std::size_t>(mark.line));
  if (out.column <= line.size()) out.length = token_length(line.substr(out.column - 1), node);
  return out;
}

bool YamlReader::entries(
    const YAML::Node& node, std::string_view what,
    const std::function<void(const std::string& key, const YAML::Node& key_node,
                             const YAML::Node& value)>& each) {
  if (!node.IsMap()) {
    error(node, fmt::format("{} must be a map of keys and values, not {}", what, kind_of(node)));
    return false;
  }
  std::vector<std::pair<std::string, std::size_t>> seen;
  for (const auto& entry : node) {
    if (!entry.first.IsScalar() || entry.first.Scalar().empty()) {
      error(entry.first,
            fmt::format("a key of {} must be a plain word, not {}", what, kind_of(entry.first)));
      continue;
    }
    const std::string& key = entry.first.Scalar();
    const auto earlier =
        std::find_if(seen.begin(), seen.end(), [&](const auto& s) { return s.first == key; });
    if (earlier != seen.end()) {
      error(entry.first,
            fmt::format("\"{}\" is given twice, first on line {}", key, earlier->second),
            "keep one of them");
      continue;
    }
    seen.emplace_back(key, span(entry.first).line);
    each(key, entry.first, entry.second);
  }
  return true;
}

bool YamlReader::map(const YAML::Node& node, std::string_view what, const Keys& keys,
                     bool unknown_is_error) {
  return entries(
      node, what, [&](const std::string& key, const YAML::Node& key_node, const YAML::Node& value) {
        const auto known =
            std::find_if(keys.begin(), keys.end(), [&](const Key& k) { return k.name == key; });
        if (known != keys.end()) {
          if (known->read) known->read(value);
          return;
        }
        std::vector<std::string_view> names;
        for (const auto& k : keys) names.push_back(k.name);
        const std::string close = did_you_mean(key, names);
        std::string message = fmt::format("unknown key \"{}\"", key);
        std::string hint;
        if (!close.empty()) {
          message += fmt::format(" - did you mean \"{}\"?", close);
        } else if (key == "<<") {
          hint = "merge keys are not part of YAML 1.2; write the keys out";
        } else {
          for (const auto name : names)
            hint += (hint.empty() ? fmt::format("{} has: ", what) : ", ") + std::string(name);
        }
        add(unknown_is_error ? Diagnostic::Severity::error : Diagnostic::Severity::warning,
            key_node, std::move(message), std::move(hint));
      });
}

bool YamlReader::items(const YAML::Node& node, std::string_view what, const Handler& each) {
  if (!node.IsSequence()) {
    error(node, fmt::format("{} must be a list, not {}", what, kind_of(node)));
    return false;
  }
  for (const auto& item : node) each(item);
  return true;
}

std::optional<std::string> YamlReader::scalar(const YAML::Node& node, std::string_view what,
                                              std::string_view wanted) {
  if (!node.IsScalar()) {
    error(node, fmt::format("{} must be {}, not {}", what, wanted, kind_of(node)));
    return std::nullopt;
  }
  if (quoted(node) && never_closed(source_, node)) {
    error(node, "this quote is never closed, so the rest of the file is part of the text",
          "close it on this line");
    return std::nullopt;
  }
  return node.Scalar();
}

std::optional<std::string> YamlReader::text(const YAML::Node& node, std::string_view what) {
  auto value = scalar(node, what, "a text");
  if (!value) return std::nullopt;
  if (value->empty()) {
    error(node, fmt::format("{} is empty", what));
    return std::nullopt;
  }
  if (!quoted(node) && is_trap_word(*value)) {
    error(node,
          fmt::format(
              "{} is the bare word {}, which many YAML readers take for a boolean or for nothing",
              what, *value),
          fmt::format("if you mean the text, write \"{}\" in quotes", *value));
    return std::nullopt;
  }
  return value;
}

std::optional<std::string> YamlReader::choice(const YAML::Node& node, std::string_view what,
                                              const std::vector<std::string_view>& choices) {
  const auto value = scalar(node, what, "one of " + join(choices));
  if (!value) return std::nullopt;
  if (std::find(choices.begin(), choices.end(), *value) != choices.end()) return value;
  const std::string close = did_you_mean(*value, choices);
  error(node,
        fmt::format("{} cannot be \"{}\"{}", what, *value,
                    close.empty() ? "" : fmt::format(" - did you mean \"{}\"?", close)),
        fmt::format("one of: {}", join(choices)));
  return std::nullopt;
}

std::optional<bool> YamlReader::boolean(const YAML::Node& node, std::string_view what) {
  const auto value = scalar(node, what, "true or false");
  if (!value) return std::nullopt;
  if (!quoted(node) && (*value == "true" || *value == "false")) return *value == "true";
  error(node, fmt::format("{} must be true or false, not \"{}\"", what, *value),
        is_trap_word(*value) && !quoted(node)
            ? "write true or false: yes, no, on and off differ between YAML versions"
            : "");
  return std::nullopt;
}

std::optional<double> YamlReader::number(const YAML::Node& node, std::string_view what, double low,
                                         double high) {
  const auto value = scalar(node, what, "a number");
  if (!value) return std::nullopt;
  const auto parsed = parse_number(*value);
  if (!parsed) {
    error(node, fmt::format("{} must be a number, not \"{}\"", what, *value));
    return std::nullopt;
  }
  if (*parsed < low || *parsed > high) {
    error(node, fmt::format("{} is {}, but must be {} to {}", what, *value, low, high));
    return std::nullopt;
  }
  return parsed;
}

std::optional<std::int64_t> YamlReader::duration(const YAML::Node& node, std::string_view what,
                                                 std::int64_t low_ms, std::int64_t high_ms) {
  const auto value = scalar(node, what, "a duration such as 10m");
  if (!value) return std::nullopt;
  const auto parsed = parse_duration(*value);
  if (!parsed) {
    error(node, fmt::format("{} is \"{}\", which is not a duration", what, *value),
          parse_number(*value) ? fmt::format("give it a unit: {0}s, {0}m or {0}h", *value)
                               : "write 30s, 10m, 1h30m or 2d");
    return std::nullopt;
  }
  if (*parsed < low_ms || *parsed > high_ms) {
    error(node, fmt::format("{} is {}, but must be {} to {}", what, *value, duration_text(low_ms),
                            duration_text(high_ms)));
    return std::nullopt;
  }
  return parsed;
}

std::optional<double> YamlReader::percent(const YAML::Node& node, std::string_view what) {
  const auto value = scalar(node, what, "a percentage such as 5%");
  if (!value) return std::nullopt;
  const auto parsed = parse_percent(*value);
  if (!parsed || *parsed > 1) {
    error(node,
          fmt::format("{} is \"{}\", which is not a percentage from 0% to 100%", what, *value),
          parse_number(*value) ? fmt::format("write {}%", *value) : "");
    return std::nullopt;
  }
  return parsed;
}

std::vector<std::string> YamlReader::texts(const YAML::Node& node, std::string_view what) {
  std::vector<std::string> out;
  const auto take = [&](const YAML::Node& item) {
    if (auto value = text(item, what)) out.push_back(std::move(*value));
  };
  if (node.IsScalar()) {
    take(node);
  } else {
    items(node, what, take);
  }
  return out;
}

} // namespace coalmine::config
