// SPDX-License-Identifier: Apache-2.0
#include "config/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>

namespace coalmine::config {
namespace {

constexpr std::size_t kMaxShownLine = 160;

std::string_view line_of(std::string_view text, std::size_t number) {
  for (std::size_t line = 1; line < number; ++line) {
    const auto end = text.find('\n');
    if (end == std::string_view::npos) return "";
    text.remove_prefix(end + 1);
  }
  text = text.substr(0, text.find('\n'));
  if (text.ends_with('\r')) text.remove_suffix(1);
  return text;
}

// The line with control characters made harmless; tabs become one space so that carets line up.
std::string printable(std::string_view line) {
  std::string out;
  for (const char c : line) {
    const auto byte = static_cast<unsigned char>(c);
    out += c == '\t' ? ' ' : (byte < 0x20 || byte == 0x7f) ? '?' : c;
  }
  return out;
}

// Characters a terminal shows for these bytes: UTF-8 continuation bytes take no room.
std::size_t shown_width(std::string_view bytes) {
  return static_cast<std::size_t>(std::count_if(bytes.begin(), bytes.end(), [](char c) {
    return (static_cast<unsigned char>(c) & 0xc0) != 0x80;
  }));
}

std::string caret_block(std::string_view line, const Diagnostic& diagnostic, bool color) {
  const std::size_t column = std::min(diagnostic.span.column - 1, line.size());
  const std::string_view underlined =
      line.substr(column, std::max<std::size_t>(diagnostic.span.length, 1));
  const std::string carets(std::max<std::size_t>(shown_width(underlined), 1), '^');
  const std::string pad(shown_width(line.substr(0, column)), ' ');
  std::string out =
      fmt::format("      | {}{}{}{}", pad, color ? "\x1b[31m" : "", carets, color ? "\x1b[0m" : "");
  const std::string hint_pad(pad.size() + carets.size(), ' ');
  std::string_view hint = diagnostic.hint;
  for (bool first = true; !hint.empty(); first = false) {
    const auto end = std::min(hint.find('\n'), hint.size());
    out += first ? fmt::format(" {}", hint.substr(0, end))
                 : fmt::format("\n      | {} {}", hint_pad, hint.substr(0, end));
    hint.remove_prefix(std::min(end + 1, hint.size()));
  }
  return out + "\n";
}

std::string render_one(const FileReport& report, const Diagnostic& diagnostic, bool color) {
  const bool error = diagnostic.severity == Diagnostic::Severity::error;
  const std::string_view word = error ? "error" : "warning";
  const std::string_view paint = error ? "\x1b[1;31m" : "\x1b[1;33m";
  std::string out = fmt::format("{}:{}:{}: {}{}{}: {}\n", printable(report.path),
                                diagnostic.span.line, diagnostic.span.column, color ? paint : "",
                                word, color ? "\x1b[0m" : "", printable(diagnostic.message));
  const std::string line = printable(line_of(report.text, diagnostic.span.line));
  if (line.size() > kMaxShownLine || line.empty()) {
    return diagnostic.hint.empty() ? out : out + "      | " + diagnostic.hint + "\n";
  }
  out += fmt::format("{:>5} | {}\n", diagnostic.span.line, line);
  return out + caret_block(line, diagnostic, color);
}

} // namespace

std::string render(const FileReport& report, bool color) {
  std::string out;
  for (const auto& diagnostic : report.diagnostics) out += render_one(report, diagnostic, color);
  return out;
}

ProblemCount count(const std::vector<FileReport>& reports) {
  ProblemCount total;
  for (const auto& report : reports) {
    for (const auto& diagnostic : report.diagnostics) {
      (diagnostic.severity == Diagnostic::Severity::error ? total.errors : total.warnings) += 1;
    }
  }
  return total;
}

std::string count_text(const ProblemCount& problems) {
  const auto part = [](std::size_t n, std::string_view word) {
    return fmt::format("{} {}{}", n, word, n == 1 ? "" : "s");
  };
  if (problems.errors == 0 && problems.warnings == 0) return "";
  if (problems.errors == 0) return part(problems.warnings, "warning");
  if (problems.warnings == 0) return part(problems.errors, "error");
  return part(problems.errors, "error") + ", " + part(problems.warnings, "warning");
}

void sort_by_place(std::vector<Diagnostic>& diagnostics) {
  std::stable_sort(
      diagnostics.begin(), diagnostics.end(), [](const Diagnostic& a, const Diagnostic& b) {
        return std::pair(a.span.line, a.span.column) < std::pair(b.span.line, b.span.column);
      });
}

} // namespace coalmine::config
