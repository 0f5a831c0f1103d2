// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "base/text.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/render_parts.h"
#include "cli/text.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kBarCells = 20;
constexpr std::size_t kMaxRouteRows = 8;
constexpr std::size_t kLogLines = 6;

std::int64_t ms_of(const json::value& object, std::string_view key) {
  return std::llround(number_of(object, key));
}

// Older servers do not say; they are taken at their word.
bool moves_traffic(const json::value& rollout) {
  const auto& moves = member_of(rollout, "moves_traffic");
  return !moves.is_bool() || moves.get_bool();
}

struct PhaseLook {
  std::string text;
  Tone tone;
};

PhaseLook phase_look(const json::value& rollout) {
  const std::string phase = text_of(rollout, "phase");
  const std::string weight = share_text(number_of(rollout, "weight_asked"));
  if (!moves_traffic(rollout)) {
    if (phase == "promoted") return {"✔ PASSED, nothing was moved", Tone::good};
    if (phase == "rolled_back" || phase == "rolling_back")
      return {"✖ FAILED, nothing was moved", Tone::bad};
    if (phase == "aborted") return {"✖ ABORTED, nothing was moved", Tone::bad};
  }
  const std::string condition = text_of(rollout, "condition");
  if (condition == "router_failing") {
    return {phase == "rolling_back" ? "✖ ROUTER FAILS, not at 0% yet" : "✖ ROUTER FAILS",
            Tone::bad};
  }
  if (phase == "progressing" && condition == "awaits_telemetry")
    return {fmt::format("◌ WAITING for telemetry at {}", weight), Tone::waiting};
  if (phase == "abandoned") return {"✖ ABANDONED", Tone::bad};
  if (phase == "promoted") return {"✔ PROMOTED", Tone::good};
  if (phase == "rolled_back") return {"✖ ROLLED BACK", Tone::bad};
  if (phase == "rolling_back") return {"✖ ROLLING BACK", Tone::bad};
  if (phase == "aborted") return {"✖ ABORTED", Tone::bad};
  if (phase == "paused") return {fmt::format("॥ PAUSED at {}", weight), Tone::waiting};
  return {fmt::format("◌ WATCHING at {}", weight), Tone::waiting};
}

std::string versions(const json::value& rollout) {
  const std::string canary = harmless(text_of(rollout, "canary_version"));
  const std::string stable = harmless(text_of(rollout, "stable_version"));
  if (canary.empty() && stable.empty()) return "";
  return fmt::format("   {} → {}", stable.empty() ? "?" : stable, canary.empty() ? "?" : canary);
}

std::string bar(double share) {
  const auto full = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * kBarCells);
  std::string out = "▕";
  for (std::size_t i = 0; i < kBarCells; ++i) out += i < full ? "█" : "░";
  return out + "▏";
}

std::string current_step(const json::value& rollout, std::int64_t analyze_ms) {
  const auto& requests = member_of(member_of(rollout, "judgement"), "requests");
  std::string out;
  if (analyze_ms > 0) {
    const std::int64_t done = std::min(ms_of(rollout, "observed_valid_ms"), analyze_ms);
    out =
        fmt::format("{} {} of {}", bar(static_cast<double>(done) / static_cast<double>(analyze_ms)),
                    minutes_seconds(done), minutes_seconds(analyze_ms));
  }
  if (has_number(requests, "canary")) {
    out += fmt::format("   canary {} req · stable {} req", grouped(number_of(requests, "canary")),
                       grouped(number_of(requests, "stable")));
  }
  return out;
}

std::string step_lines(const json::value& rollout) {
  const auto& steps = list_of(rollout, "steps");
  const auto current = static_cast<std::size_t>(std::max(0.0, number_of(rollout, "step")));
  const bool running = !flag_of(rollout, "terminal");
  std::string out;
  for (std::size_t i = 0; i < steps.size(); ++i) {
    const auto& step = steps[i];
    const std::string outcome = text_of(step, "outcome");
    const bool here = running && i == current;
    const std::string_view glyph = outcome == "failed"    ? "✖"
                                   : outcome == "passed"  ? "●"
                                   : outcome == "skipped" ? "-"
                                   : here                 ? "◌"
                                                          : "○";
    std::string line = fmt::format("{} {}", glyph, pad(share_text(number_of(step, "weight")), 6));
    const std::int64_t analyze_ms = ms_of(step, "analyze_ms");
    if (here) {
      line += current_step(rollout, analyze_ms);
    } else if (analyze_ms > 0) {
      line += pad(short_duration(analyze_ms), 6);
    }
    if (flag_of(step, "approve_manually")) line += "  ॥ needs approval";
    while (line.ends_with(' ')) line.pop_back();
    out += line + "\n";
  }
  return out;
}

std::string split_line(const json::value& rollout) {
  if (!moves_traffic(rollout)) {
    std::string out = fmt::format("Canary weight: {} planned, nothing is moved (router: observe)",
                                  share_text(number_of(rollout, "weight_asked")));
    if (has_number(rollout, "observed_split"))
      out += fmt::format(", {} of requests seen", share_text(number_of(rollout, "observed_split")));
    return out + "\n";
  }
  if (text_of(rollout, "phase") == "abandoned") {
    return fmt::format("Canary weight: unknown, {} was asked last\n",
                       share_text(number_of(rollout, "weight_asked")));
  }
  std::string out =
      fmt::format("Canary weight: {} asked", share_text(number_of(rollout, "weight_asked")));
  if (has_number(rollout, "weight_applied"))
    out += fmt::format(", {} read back", share_text(number_of(rollout, "weight_applied")));
  if (has_number(rollout, "observed_split"))
    out += fmt::format(", {} of requests seen", share_text(number_of(rollout, "observed_split")));
  const double back_ms = number_of(rollout, "time_to_rollback_ms");
  if (back_ms > 0) out += fmt::format("; back to stable in {:.0f} ms", back_ms);
  return out + "\n";
}

std::string metric_table(const json::value& judgement, bool color) {
  std::vector<std::vector<std::string>> rows;
  std::vector<MetricCells> all;
  for (const auto& metric : list_of(judgement, "metrics")) all.push_back(metric_cells(metric));
  std::size_t folded = 0;
  const auto add = [&](const MetricCells& cells, std::string name) {
    const std::string verdict =
        fmt::format("{} {}", verdict_glyph(cells.verdict), verdict_word(cells.verdict));
    rows.push_back({std::move(name), cells.stable, cells.canary, cells.difference, cells.margin,
                    painted(verdict, verdict_tone(cells.verdict), color) +
                        (cells.gate ? "" : " (shown only)")});
  };
  std::set<std::string> done;
  for (const auto& whole : all) {
    if (!done.insert(whole.name).second) continue;
    if (whole.route.empty()) {
      add(whole, whole.name);
    } else {
      rows.push_back({whole.name, "", "", "", whole.margin, ""}); // of routes only
    }
    std::size_t shown = 0;
    for (const auto& route : all) {
      if (route.route.empty() || route.name != whole.name) continue;
      if (++shown > kMaxRouteRows && route.verdict != "regression") {
        ++folded;
      } else {
        add(route, "└─ " + route.route);
      }
    }
  }
  if (rows.empty()) return "";
  std::string out = table({{"METRIC"},
                           {"STABLE", Align::right},
                           {"CANARY", Align::right},
                           {"DIFFERENCE"},
                           {"ALLOWED"},
                           {"VERDICT"}},
                          rows);
  if (folded > 0) out += fmt::format("and {} more route rows without a regression\n", folded);
  return out;
}

std::string log_lines(const json::value& rollout, bool utc) {
  const auto& log = list_of(rollout, "log");
  std::string out;
  std::vector<std::string> lines;
  for (const auto& entry : log) {
    if (text_of(entry, "kind") == "look") continue;
    lines.push_back(fmt::format("{}  {}", clock_text(ms_of(entry, "time_ms"), utc),
                                harmless(text_of(entry, "text"))));
  }
  const std::size_t first = lines.size() > kLogLines ? lines.size() - kLogLines : 0;
  for (std::size_t i = first; i < lines.size(); ++i) out += lines[i] + "\n";
  return out;
}

} // namespace

int exit_for_rollout(const json::value& rollout) {
  const std::string phase = text_of(rollout, "phase");
  if (phase == "promoted") return kExitGood;
  if (text_of(rollout, "condition") == "router_failing") return kExitRouter;
  if (phase == "rolled_back" || phase == "rolling_back" || phase == "aborted" ||
      phase == "abandoned")
    return kExitBad;
  const auto& judgement = member_of(rollout, "judgement");
  const int seen = judgement.is_object() ? exit_for_verdict(judgement) : kExitUndecided;
  return seen == kExitNoData || seen == kExitUnreachable ? seen : kExitUndecided;
}

std::string rollout_text(const json::value& rollout, const Style& style) {
  const PhaseLook look = phase_look(rollout);
  const std::string name = fmt::format("{}{}   #{}", harmless(text_of(rollout, "service")),
                                       versions(rollout), ms_of(rollout, "id"));
  std::string out =
      fmt::format("{}   {}\n", pad(name, 52), painted(look.text, look.tone, style.color));
  const std::string reason = harmless(text_of(rollout, "reason"));
  if (!reason.empty()) out += reason + "\n";
  out += "\n" + step_lines(rollout) + split_line(rollout);
  const std::string advice = harmless(text_of(member_of(rollout, "advice"), "sentence"));
  if (!advice.empty()) out += "Note: " + advice + "\n";
  const std::string metrics = metric_table(member_of(rollout, "judgement"), style.color);
  if (!metrics.empty()) out += "\n" + metrics;
  const std::string log = log_lines(rollout, style.utc);
  if (!log.empty()) out += "\n" + log;
  return out;
}

std::string rollouts_text(const json::array& rollouts, const Style& style) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& rollout : rollouts) {
    const std::int64_t started = ms_of(rollout, "started_ms");
    rows.push_back({fmt::format("{}", ms_of(rollout, "id")), harmless(text_of(rollout, "service")),
                    fmt::format("{} → {}", harmless(text_of(rollout, "stable_version")),
                                harmless(text_of(rollout, "canary_version"))),
                    started > 0 ? date_text(started, style.utc) : "-", phase_look(rollout).text,
                    harmless(text_of(rollout, "reason"))});
  }
  return table({{"#", Align::right}, {"SERVICE"}, {"VERSIONS"}, {"STARTED"}, {"PHASE"}, {"REASON"}},
               rows);
}

std::string failure_text(const json::value& failure) {
  std::string out = fmt::format("Trace ID: {}\n", harmless(text_of(failure, "trace_id")));
  out += fmt::format("  Error: {}\n", harmless(text_of(failure, "error")));
  out += fmt::format("  Duration: {}ms\n", plain_number(number_of(failure, "duration_ms")));
  const std::string endpoint = harmless(text_of(failure, "endpoint"));
  out += fmt::format("  Endpoint: {}\n", endpoint.empty() ? "unknown" : endpoint);
  for (const auto& span : list_of(failure, "failed_spans")) {
    out += fmt::format("  Failed span: {}\n", harmless(text_of(span, "name")));
    out += fmt::format("  Exception: {}\n", harmless(text_of(span, "exception_message")));
  }
  return out + "\n";
}

} // namespace coalmine::cli
