// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <ctime>
#include <vector>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/render_parts.h"
#include "cli/text.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxRouteLines = 12;

// An amount in a unit of the API: ratio, ms, s, bytes, rps, count.
std::string amount_text(double value, std::string_view unit) {
  if (unit == "ratio") return ratio_text(value);
  if (unit == "ms") return millis_text(value);
  if (unit == "s")
    return std::abs(value) < 1 ? millis_text(value * 1000) : fmt::format("{:.4g} s", value);
  if (unit == "rps") return fmt::format("{:.4g}/s", value);
  if (unit != "bytes") return fmt::format("{:.4g}", value);
  const double size = std::abs(value);
  if (size < 1e3) return fmt::format("{:.0f} B", value);
  return size < 1e6   ? fmt::format("{:.1f} KB", value / 1e3)
         : size < 1e9 ? fmt::format("{:.1f} MB", value / 1e6)
                      : fmt::format("{:.1f} GB", value / 1e9);
}

std::string value_text(const json::value& metric, std::string_view key, std::string_view unit) {
  return has_number(metric, key) ? amount_text(number_of(metric, key), unit) : "-";
}

// In the margin's own unit: +8.90pp, +4.4%, +25 ms.
std::string difference_text(const json::value& metric, std::string_view margin,
                            std::string_view unit) {
  const bool relative = margin.ends_with('%') && has_number(metric, "relative");
  if (!relative && !has_number(metric, "difference")) return "-";
  const double difference = number_of(metric, "difference");
  std::string text = relative          ? signed_percent(number_of(metric, "relative"))
                     : unit == "ratio" ? signed_points(difference)
                                       : fmt::format("{}{}", difference < 0 ? "" : "+",
                                                     amount_text(difference, unit));
  const auto& interval = list_of(metric, "interval");
  if (interval.size() == 2 && interval[0].is_number() && interval[1].is_number()) {
    // In the unit of the difference beside it.
    const double stable = std::abs(number_of(metric, "stable"));
    const auto end = [&](const json::value& v) {
      const double value = v.to_number<double>();
      if (relative)
        return stable > 0 ? fmt::format("{:+.1f}", value / stable * 100) : std::string("?");
      return unit == "ratio" ? fmt::format("{:+.2f}", value * 100)
                             : fmt::format("{}{}", value < 0 ? "" : "+", amount_text(value, unit));
    };
    const auto level =
        has_number(metric, "interval_level")
            ? fmt::format("{:.0f}%: ", std::floor(number_of(metric, "interval_level") * 100 + 1e-9))
            : std::string();
    text += fmt::format(" ({}{} … {})", level, end(interval[0]), end(interval[1]));
  }
  return text;
}

// Milliseconds of "2026-11-22T13:32:07Z", -1 for any other text.
std::int64_t time_of(const std::string& text) {
  std::tm parts{};
  if (std::sscanf(text.c_str(), "%d-%d-%dT%d:%d:%d", &parts.tm_year, &parts.tm_mon, &parts.tm_mday,
                  &parts.tm_hour, &parts.tm_min, &parts.tm_sec) != 6) {
    return -1;
  }
  parts.tm_year -= 1900;
  parts.tm_mon -= 1;
  return static_cast<std::int64_t>(timegm(&parts)) * 1000;
}

std::string window_text(const json::value& verdict) {
  const auto& window = member_of(verdict, "window");
  const std::int64_t from = time_of(text_of(window, "from"));
  const std::int64_t to = time_of(text_of(window, "to"));
  return from < 0 || to <= from ? "" : fmt::format(", last {}", short_duration(to - from));
}

std::string subject(const json::value& verdict) {
  const std::string canary = harmless(text_of(verdict, "canary_version"));
  const std::string stable = harmless(text_of(verdict, "stable_version"));
  return fmt::format("{} {} against {}", harmless(text_of(verdict, "service")),
                     canary.empty() ? "canary" : canary + " (canary)",
                     stable.empty() ? "stable" : stable + " (stable)");
}

struct Line {
  std::string label;
  std::string rest;
  std::string verdict;
};

Line metric_line(const MetricCells& cells) {
  Line line;
  line.label =
      cells.route.empty() ? cells.name : fmt::format("{}{{route={}}}", cells.name, cells.route);
  line.verdict = cells.verdict;
  const bool numbers = cells.canary != "-" && cells.stable != "-";
  // What a latency regresses by is a share of slow requests: the quantile itself may look the same.
  if (cells.verdict == "regression" && cells.tail) {
    const std::string prefix = cells.route.empty()
                                   ? cells.name + ": "
                                   : fmt::format("{} on {}: ", cells.name, cells.route);
    line.rest =
        cells.reason.starts_with(prefix) ? cells.reason.substr(prefix.size()) : cells.reason;
  } else if (numbers && (cells.verdict == "pass" || cells.verdict == "regression")) {
    line.rest = fmt::format("{} against {}: {}, allowed {}", cells.canary, cells.stable,
                            cells.difference, cells.margin);
  } else {
    line.rest = cells.reason;
  }
  if (!cells.gate) line.rest += ", shown only (gate: false)";
  return line;
}

std::string metric_lines(const json::value& verdict, bool color) {
  std::vector<Line> lines;
  std::size_t routes = 0;
  std::size_t folded = 0;
  for (const auto& metric : list_of(verdict, "metrics")) {
    const MetricCells cells = metric_cells(metric);
    if (!cells.route.empty() && ++routes > kMaxRouteLines && cells.verdict != "regression") {
      ++folded;
      continue;
    }
    lines.push_back(metric_line(cells));
  }
  std::size_t widest = 0;
  for (const auto& line : lines) widest = std::max(widest, width(line.label));
  std::string out;
  for (const auto& line : lines) {
    out += fmt::format("  {} {}  {}\n",
                       painted(verdict_glyph(line.verdict), verdict_tone(line.verdict), color),
                       pad(line.label, widest), line.rest);
  }
  if (folded > 0)
    out += fmt::format(
        "    and {} more route lines without a regression (--output json shows all)\n", folded);
  return out;
}

} // namespace

std::string painted(std::string_view text, Tone tone, bool color) {
  if (!color || tone == Tone::plain) return std::string(text);
  const std::string_view code = tone == Tone::good  ? "\x1b[32m"
                                : tone == Tone::bad ? "\x1b[1;31m"
                                                    : "\x1b[33m";
  return fmt::format("{}{}\x1b[0m", code, text);
}

std::string_view verdict_glyph(std::string_view verdict) {
  if (verdict == "pass") return "✔";
  if (verdict == "regression") return "✖";
  return verdict == "no_data" ? "∅" : "◌";
}

std::string_view verdict_word(std::string_view verdict) {
  if (verdict == "pass") return "PASS";
  if (verdict == "regression") return "REGRESSION";
  return verdict == "no_data" ? "NO DATA" : "WATCHING";
}

Tone verdict_tone(std::string_view verdict) {
  if (verdict == "pass") return Tone::good;
  return verdict == "regression" ? Tone::bad : Tone::waiting;
}

MetricCells metric_cells(const json::value& metric) {
  MetricCells cells;
  cells.name = harmless(text_of(metric, "name"));
  cells.route = harmless(text_of(metric, "route"));
  const std::string unit(text_of(metric, "unit"));
  cells.margin = harmless(text_of(metric, "margin"));
  cells.stable = value_text(metric, "stable", unit);
  cells.canary = value_text(metric, "canary", unit);
  cells.difference = difference_text(metric, cells.margin, unit);
  cells.verdict = text_of(metric, "verdict");
  cells.reason = harmless(text_of(metric, "reason"));
  cells.tail = member_of(metric, "tail").is_object();
  cells.gate = !member_of(metric, "gate").is_bool() || flag_of(metric, "gate");
  return cells;
}

int exit_for_verdict(const json::value& verdict) {
  const std::string decision = text_of(verdict, "decision");
  if (decision == "promote") return kExitGood;
  if (decision == "rollback") return kExitBad;
  int exit = kExitUndecided;
  for (const auto& metric : list_of(verdict, "metrics")) {
    const bool decides = text_of(metric, "route").empty() && flag_of(metric, "gate");
    if (!decides || text_of(metric, "verdict") != "no_data") continue;
    if (text_of(metric, "cause") == "source_unreachable") return kExitUnreachable;
    exit = kExitNoData;
  }
  return exit;
}

std::string failures_command(const json::value& judgement, std::string_view service,
                             std::string_view version) {
  bool any = false;
  bool errors = false;
  for (const auto& metric : list_of(judgement, "metrics")) {
    if (!flag_of(metric, "gate") || text_of(metric, "verdict") != "regression") continue;
    any = true;
    errors = errors || text_of(metric, "name") == "error_rate";
  }
  if (any && !errors) return "";
  return fmt::format("coalmine failures {}{}{}", service, version.empty() ? "" : " --version ",
                     version);
}

std::string verdict_text(const json::value& verdict, const Style& style) {
  const int exit = exit_for_verdict(verdict);
  const std::string decision = text_of(verdict, "decision");
  std::string head = "◌ CONTINUE";
  Tone tone = Tone::waiting;
  if (exit == kExitGood) {
    head = "✔ PROMOTE";
    tone = Tone::good;
  } else if (exit == kExitBad) {
    head = "✖ ROLLBACK";
    tone = Tone::bad;
  } else if (exit == kExitNoData) {
    head = "∅ NO DATA";
  } else if (exit == kExitUnreachable) {
    head = "∅ STORE UNREACHABLE";
  } else if (decision == "inconclusive") {
    head = "◌ INCONCLUSIVE";
  }
  std::string out = fmt::format("{}  {}{}\n", painted(head, tone, style.color), subject(verdict),
                                window_text(verdict));
  out += harmless(text_of(verdict, "reason")) + "\n";
  const std::string lines = metric_lines(verdict, style.color);
  if (!lines.empty()) out += "\n" + lines;
  const auto& requests = member_of(verdict, "requests");
  const std::int64_t age_s = std::llround(number_of(verdict, "analysis_duration_minutes") * 60);
  out += fmt::format("  {} canary and {} stable requests; the canary is {} old.\n",
                     grouped(number_of(requests, "canary")), grouped(number_of(requests, "stable")),
                     short_duration(age_s * 1000));
  if (const auto guarantee = harmless(text_of(verdict, "guarantee")); !guarantee.empty())
    out += fmt::format("  {}\n", guarantee);
  return out;
}

} // namespace coalmine::cli
