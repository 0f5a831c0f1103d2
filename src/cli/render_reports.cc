// Verdicts for machines that run other machines' jobs: JUnit, GitHub Actions.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <cctype>
#include <string>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/render_parts.h"
#include "cli/text.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

std::string xml(std::string_view text) {
  auto out = escaped(text, {{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}});
  std::ranges::replace_if(out, [](char c) { return static_cast<unsigned char>(c) < 0x20; }, ' ');
  return out;
}

// Telemetry writes route names; a cell of a table holds neither bars nor markup. An underscore
// inside a word is no markup.
std::string cell(std::string_view text) {
  const auto clean = harmless(text);
  const auto word = [&](std::size_t i) {
    return i < clean.size() && (std::isalnum(static_cast<unsigned char>(clean[i])) != 0);
  };
  std::string out;
  for (std::size_t i = 0; i < clean.size(); ++i) {
    const char c = clean[i];
    const bool emphasis = c == '*' || (c == '_' && !(i > 0 && word(i - 1) && word(i + 1)));
    if (c == '|' || c == '<' || c == '`' || c == '[' || emphasis) out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string label_of(const MetricCells& cells) {
  return cells.route.empty() ? cells.name : fmt::format("{} {}", cells.name, cells.route);
}

std::string headline(const json::value& verdict) {
  switch (exit_for_verdict(verdict)) {
    case kExitGood: return "Canary passed";
    case kExitBad: return "Canary failed"; // a verdict alone moves nothing
    case kExitNoData: return "Canary: no data";
    case kExitUnreachable: return "Canary: store unreachable";
    default: return "Canary undecided";
  }
}

// GitHub's own escaping of workflow commands.
std::string command_text(std::string_view text) {
  return escaped(text, {{'%', "%25"}, {'\r', "%0D"}, {'\n', "%0A"}});
}

} // namespace

std::string verdict_junit(const json::value& verdict) {
  std::string cases;
  int tests = 0;
  int failures = 0;
  int errors = 0;
  int skipped = 0;
  const auto suite = xml(harmless(text_of(verdict, "service")));
  for (const auto& metric : list_of(verdict, "metrics")) {
    const auto cells = metric_cells(metric);
    ++tests;
    cases += fmt::format("    <testcase classname=\"coalmine.{}\" name=\"{}\"", suite,
                         xml(label_of(cells)));
    const auto reason = xml(cells.reason);
    if (cells.verdict == "pass" || (cells.verdict == "regression" && !cells.gate)) {
      cases += "/>\n";
      continue;
    }
    if (cells.verdict == "regression") {
      ++failures;
      cases += fmt::format(
          ">\n      <failure type=\"regression\" message=\"{}\"/>\n    </testcase>\n", reason);
    } else if (text_of(metric, "cause") == "source_unreachable") {
      ++errors;
      cases += fmt::format(
          ">\n      <error type=\"store unreachable\" message=\"{}\"/>\n    </testcase>\n", reason);
    } else {
      ++skipped;
      cases += fmt::format(">\n      <skipped message=\"{}\"/>\n    </testcase>\n", reason);
    }
  }
  return fmt::format(
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n"
      "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\" errors=\"{}\" skipped=\"{}\">\n"
      "    <properties>\n      <property name=\"decision\" value=\"{}\"/>\n      <property "
      "name=\"reason\" value=\"{}\"/>\n"
      "    </properties>\n{}  </testsuite>\n</testsuites>\n",
      suite, tests, failures, errors, skipped, xml(text_of(verdict, "decision")),
      xml(harmless(text_of(verdict, "reason"))), cases);
}

std::string verdict_markdown(const json::value& verdict) {
  std::string out = fmt::format(
      "### {}: {} {} → {}\n\n{}\n\n| | metric | stable | canary | difference | allowed "
      "|\n|---|---|---|---|---|---|\n",
      headline(verdict), cell(text_of(verdict, "service")),
      cell(text_of(verdict, "stable_version")), cell(text_of(verdict, "canary_version")),
      cell(text_of(verdict, "reason")));
  for (const auto& metric : list_of(verdict, "metrics")) {
    const auto cells = metric_cells(metric);
    out += fmt::format("| {} | {}{} | {} | {} | {} | {} |\n", verdict_glyph(cells.verdict),
                       cell(label_of(cells)), cells.gate ? "" : " (shown only)", cells.stable,
                       cells.canary, cell(cells.difference), cells.margin);
  }
  const auto& requests = member_of(verdict, "requests");
  return out + fmt::format("\n{} canary and {} stable requests.\n",
                           grouped(number_of(requests, "canary")),
                           grouped(number_of(requests, "stable")));
}

std::string verdict_annotation(const json::value& verdict) {
  const int exit = exit_for_verdict(verdict);
  if (exit == kExitGood) return "";
  return fmt::format("::{} title={}::{}\n", exit == kExitBad ? "error" : "warning",
                     headline(verdict), command_text(harmless(text_of(verdict, "reason"))));
}

} // namespace coalmine::cli
