// analyze, failures, services, query: questions with one answer.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <fstream>
#include <ranges>
#include <vector>

#include "cli/cli.h"
#include "cli/client.h"
#include "cli/render.h"
#include "cli/text.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

constexpr std::size_t kMaxRangeRows = 1000;
constexpr std::size_t kMaxSeries = 200;

void next(const Terminal& terminal, const std::string& command) {
  if (!terminal.quiet) terminal.out << "\nNext: " << command << '\n';
}

// {__name__="up", job="x"} as Prometheus writes it.
std::string series_name(const json::value& metric) {
  std::string name = text_of(metric, "__name__");
  std::string labels;
  if (const auto* object = metric.if_object()) {
    for (const auto& [key, value] : *object) {
      if (key == "__name__" || !value.is_string()) continue;
      labels += fmt::format("{}{}=\"{}\"", labels.empty() ? "" : ", ", std::string_view(key),
                            std::string_view(value.get_string()));
    }
  }
  if (!labels.empty() || name.empty()) name += "{" + labels + "}";
  return harmless(name);
}

// [seconds, "value"]
std::int64_t point_ms(const json::value& point) {
  const auto* pair = point.if_array();
  return pair != nullptr && pair->size() == 2 && (*pair)[0].is_number()
             ? std::llround((*pair)[0].to_number<double>() * 1000)
             : 0;
}

std::string point_value(const json::value& point) {
  const auto* pair = point.if_array();
  if (pair == nullptr || pair->size() != 2) return "";
  if (const auto* text = (*pair)[1].if_string())
    return harmless(std::string_view(text->data(), text->size()));
  return (*pair)[1].is_object() ? "histogram " + harmless(text_of((*pair)[1], "count")) : "";
}

void print_vector(const Terminal& terminal, const json::array& result) {
  std::vector<std::vector<std::string>> rows;
  for (const auto& series : result) {
    const bool histogram = member_of(series, "histogram").is_array();
    rows.push_back({series_name(member_of(series, "metric")),
                    point_value(member_of(series, histogram ? "histogram" : "value"))});
  }
  terminal.out << table({{"SERIES"}, {"VALUE", Align::right}}, rows);
}

void print_matrix(const Terminal& terminal, const json::array& result) {
  std::size_t rows_left = kMaxRangeRows;
  std::size_t shown = 0;
  for (const auto& series : result) {
    if (shown == kMaxSeries || rows_left == 0) break;
    terminal.out << (shown++ == 0 ? "" : "\n") << series_name(member_of(series, "metric")) << '\n';
    std::vector<std::vector<std::string>> rows;
    for (const auto* key : {"values", "histograms"}) {
      for (const auto& point : list_of(series, key)) {
        if (rows_left == 0) break;
        --rows_left;
        rows.push_back({"  " + date_text(point_ms(point), terminal.utc), point_value(point)});
      }
    }
    terminal.out << table({{"  TIME"}, {"VALUE", Align::right}}, rows);
  }
  if (shown < result.size() || rows_left == 0) {
    terminal.err << fmt::format("coalmine: showing {} of {} series; --output json prints all\n",
                                shown, result.size());
  }
}

int print_result(const Terminal& terminal, const json::value& answer) {
  const auto& data = member_of(answer, "data");
  const std::string type = text_of(data, "resultType");
  for (const auto* key : {"warnings", "infos"}) {
    for (const auto& note : list_of(answer, key)) {
      if (note.is_string())
        terminal.err << "coalmine: " << harmless(std::string_view(note.get_string())) << '\n';
    }
  }
  if (type == "scalar" || type == "string") {
    terminal.out << point_value(member_of(data, "result")) << '\n';
    return kExitGood;
  }
  const auto& result = list_of(data, "result");
  if (result.empty()) {
    terminal.err << "coalmine: the query has no result: no series matches, or none has a sample in "
                    "that time\n";
    return kExitGood;
  }
  if (type == "matrix") {
    print_matrix(terminal, result);
  } else {
    print_vector(terminal, result);
  }
  return kExitGood;
}

// Files that a CI system names; without one there is nothing to write.
void append_file(const std::string& path, const std::string& text) {
  if (!path.empty()) std::ofstream(path, std::ios::app) << text;
}

// Seconds with milliseconds, as the Prometheus API wants them.
std::string seconds(std::int64_t ms) { return fmt::format("{}.{:03}", ms / 1000, ms % 1000); }

} // namespace

std::int64_t parse_duration_text(std::string_view text) { return parse_typed_duration(text); }

int print_verdict(const Terminal& terminal, const std::string& verdict_json,
                  const std::string& service, const Environment& env) {
  boost::system::error_code failure;
  const auto verdict = json::parse(verdict_json, failure);
  if (failure) {
    terminal.err << "coalmine: the verdict cannot be read: " << failure.message() << '\n';
    return kExitUnreachable;
  }
  const int exit = exit_for_verdict(verdict);
  const auto variable = [&](const char* name) { return env ? env(name) : std::string(); };
  if (variable("GITHUB_ACTIONS") == "true" || terminal.output == Output::github) {
    append_file(variable("GITHUB_STEP_SUMMARY"), verdict_markdown(verdict));
    append_file(variable("GITHUB_OUTPUT"),
                fmt::format("decision={}\n", harmless(text_of(verdict, "decision"))));
    terminal.err << verdict_annotation(
        verdict); // workflow commands are read from both streams; the result stays whole
  }
  switch (terminal.output) {
    case Output::json: return print_json(terminal, {verdict, verdict_json}, exit);
    case Output::junit: terminal.out << verdict_junit(verdict); return exit;
    case Output::github: terminal.out << verdict_markdown(verdict); return exit;
    case Output::text: break;
  }
  terminal.out << verdict_text(verdict, style_of(terminal));
  if (const std::string beside = text_of(verdict, "beside_rollout"); !beside.empty())
    terminal.out << harmless(beside) << ".\n";
  const std::string version = text_of(verdict, "canary_version");
  if (exit == kExitBad) {
    if (const auto command = failures_command(verdict, service, version); !command.empty())
      next(terminal, command);
  } else if (exit == kExitNoData) {
    next(terminal, fmt::format("coalmine query 'count by (deployment_track, service_version) "
                               "(http_server_request_total{{service_name=\"{}\"}})'",
                               service));
  }
  return exit;
}

int analyze(const Terminal& terminal, const AnalyzeOptions& options) {
  if (!options.window.empty() && parse_typed_duration(options.window) <= 0) {
    return usage_error(terminal, fmt::format("--window {} is not a duration", options.window),
                       "write 10m, 90s or 1h30m");
  }
  const auto answer = post(terminal, "/v1/analyze",
                           {{"service", options.service},
                            {"canary_version", options.canary_version},
                            {"stable_version", options.stable_version},
                            {"window", options.window}});
  if (!answer) return report(terminal, answer.error());
  return print_verdict(terminal, answer->text, options.service, terminal.environment);
}

int failures(const Terminal& terminal, const FailuresOptions& options) {
  if (options.limit < 1 || options.limit > 10'000) {
    return usage_error(terminal,
                       fmt::format("--limit {} is not between 1 and 10000", options.limit));
  }
  const auto answer = get(terminal, "/v1/failures",
                          {{"service", options.service},
                           {"version", options.version},
                           {"track", options.track == "any" ? "" : options.track},
                           {"limit", std::to_string(options.limit)}});
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  const auto& found = list_of(answer->json, "failures");
  for (const auto& failure : found) terminal.out << failure_text(failure);
  if (found.empty()) {
    terminal.err << fmt::format(
        "coalmine: no failing request of {}{}{} is stored\n", options.service,
        options.version.empty() ? "" : " " + options.version,
        options.track == "any" || options.track.empty() ? "" : " (" + options.track + ")");
  }
  return kExitGood;
}

int services(const Terminal& terminal, const std::string& service) {
  auto answer = get(terminal, "/v1/services");
  if (!answer) return report(terminal, answer.error());
  json::array chosen;
  for (const auto& one : list_of(answer->json, "services")) {
    if (service.empty() || text_of(one, "service") == service) chosen.push_back(one);
  }
  const auto& misdirected = list_of(answer->json, "misdirected");
  if (terminal.output == Output::json) {
    answer->text = json::serialize(
        json::object{{"services", std::move(chosen)}, {"misdirected", misdirected}});
    return print_json(terminal, *answer, kExitGood);
  }
  for (const auto& sender : misdirected) {
    terminal.err << fmt::format("coalmine: {} sends telemetry that cannot arrive: {}\n",
                                harmless(text_of(sender, "address")),
                                harmless(text_of(sender, "what")));
  }
  if (chosen.empty()) {
    terminal.err << fmt::format(
        "coalmine: no telemetry of {} has come to this server\n"
        "  `coalmine serve` prints what to set in an application\n",
        service.empty() ? "any service" : harmless(service));
    return kExitGood;
  }
  std::vector<std::vector<std::string>> rows;
  for (const auto& one : chosen) {
    const auto ms = [&](const char* key) { return std::llround(number_of(one, key)); };
    // Exports jitter by a few milliseconds.
    auto interval_ms = ms("export_interval_ms");
    if (interval_ms >= 1'000) interval_ms = (interval_ms + 500) / 1'000 * 1'000;
    rows.push_back({harmless(text_of(one, "service")), harmless(text_of(one, "track")),
                    harmless(text_of(one, "version")), harmless(text_of(one, "instance")),
                    interval_ms > 0 ? short_duration(interval_ms) : "-",
                    date_text(ms("last_ms"), terminal.utc)});
  }
  terminal.out << table(
      {{"SERVICE"}, {"TRACK"}, {"VERSION"}, {"INSTANCE"}, {"EXPORTS EACH"}, {"NEWEST"}}, rows);
  return kExitGood;
}

int doctor(const Terminal& terminal, const std::string& service) {
  const auto answer = get(terminal, "/v1/doctor", {{"service", service}});
  if (!answer) return report(terminal, answer.error());
  bool wrong = false;
  std::string text;
  std::string about;
  for (const auto& finding : list_of(answer->json, "findings")) {
    const std::string state = text_of(finding, "state");
    wrong = wrong || state == "wrong";
    if (const auto of = harmless(text_of(finding, "about")); of != about) {
      text += fmt::format("{}{}\n", about.empty() ? "" : "\n", of);
      about = of;
    }
    text += fmt::format("  {} {}\n",
                        state == "wrong"     ? "✖"
                        : state == "missing" ? "○"
                                             : "✔",
                        harmless(text_of(finding, "text")));
    if (const auto remedy = text_of(finding, "remedy"); !remedy.empty())
      text += fmt::format("      → {}\n", harmless(remedy));
  }
  const int exit = wrong ? kExitUndecided : kExitGood;
  if (terminal.output == Output::json) return print_json(terminal, *answer, exit);
  terminal.out << text;
  return exit;
}

int config_show(const Terminal& terminal, const std::string& service) {
  const auto answer = get(terminal, "/v1/config", {{"service", service}});
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  const auto& services = list_of(answer->json, "services");
  if (services.empty()) {
    terminal.err << "coalmine: no service is configured on this server\n"
                    "  Configure one:   coalmine serve -c FILE\n";
    return kExitGood;
  }
  const char* between = "";
  for (const auto& one : services) {
    terminal.out << between;
    for (const auto line : std::views::split(text_of(one, "words"), '\n')) {
      const std::string_view words(line);
      if (!words.empty()) terminal.out << harmless(words) << '\n';
    }
    between = "\n";
  }
  return kExitGood;
}

int query(const Terminal& terminal, const QueryOptions& options) {
  const std::int64_t now_ms = terminal.clock.wall_ms();
  std::string path = "/api/v1/query";
  Parameters parameters{{"query", options.promql}, {"time", seconds(now_ms)}};
  if (options.range.empty() && !options.step.empty())
    return usage_error(terminal, "--step needs --range", "write --range 1h --step 15s");
  if (!options.range.empty()) {
    const std::int64_t range_ms = parse_typed_duration(options.range);
    if (range_ms <= 0)
      return usage_error(terminal, fmt::format("--range {} is not a duration", options.range),
                         "write 1h or 30m");
    const std::int64_t step_ms = options.step.empty() ? std::max<std::int64_t>(range_ms / 60, 1000)
                                                      : parse_typed_duration(options.step);
    if (step_ms <= 0)
      return usage_error(terminal, fmt::format("--step {} is not a duration", options.step),
                         "write 15s or 1m");
    path = "/api/v1/query_range";
    // Whole steps since the epoch, so that the same question gives the same times.
    const std::int64_t end_ms = now_ms / step_ms * step_ms;
    parameters = {{"query", options.promql},
                  {"start", seconds(end_ms - range_ms)},
                  {"end", seconds(end_ms)},
                  {"step", seconds(step_ms)}};
  }
  const auto answer = get(terminal, path, parameters);
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  return print_result(terminal, answer->json);
}

int backup(const Terminal& terminal, const BackupOptions& options) {
  constexpr std::chrono::hours kPatience{6}; // enough for a large store on a slow disk
  auto answer = post(terminal, "/v1/backup", {{"directory", options.directory}}, kPatience);
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  terminal.out << fmt::format("{} files, {:.1f} MB in {}\n", number_of(answer->json, "files"),
                              number_of(answer->json, "bytes") / 1e6,
                              harmless(text_of(answer->json, "directory")));
  next(terminal, fmt::format("cd {} && sha256sum --quiet -c SHA256SUMS",
                             harmless(text_of(answer->json, "directory"))));
  return kExitGood;
}

} // namespace coalmine::cli
