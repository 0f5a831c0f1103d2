// rollout start, retry, status, list, log, and what a person asks of one.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <boost/json/serialize.hpp>
#include <cmath>
#include <optional>

#include "base/rfc3339.h"
#include "cli/cli.h"
#include "cli/client.h"
#include "cli/render.h"
#include "cli/text.h"
#include "net/secrets.h"

namespace coalmine::cli {
namespace {

namespace json = boost::json;

constexpr std::chrono::milliseconds kPoll{1000};
// A restarting server is back within this time. Waiting commands do not give up earlier.
constexpr std::int64_t kPatienceMs = 20'000;
// A router that is reloaded is back within this time. Who waits for a rollout is told after it.
constexpr std::int64_t kRouterPatienceMs = 60'000;

std::string id_text(const json::value& rollout) {
  return fmt::format("{:.0f}", number_of(rollout, "id"));
}

std::optional<std::string> as_number(std::string_view target) {
  const bool digits = !target.empty() && target.size() < 19 &&
                      target.find_first_not_of("0123456789") == std::string_view::npos;
  return digits ? std::optional(std::string(target)) : std::nullopt;
}

// The rollout's number: given, or the newest of the service. "#42" is a rollout. Anything else is a
// service, also "42" where a service has that name; only where none has, it is a rollout too.
CallResult<std::string> find_rollout(const Terminal& terminal, const std::string& target) {
  if (target.starts_with('#')) {
    if (const auto number = as_number(std::string_view(target).substr(1))) return *number;
  }
  auto answer = get(terminal, "/v1/rollouts", {{"service", target}, {"limit", "1"}});
  if (!answer) return std::unexpected(answer.error());
  for (const auto& rollout : list_of(answer->json, "rollouts")) {
    if (text_of(rollout, "service") == target) return id_text(rollout);
  }
  const auto number = as_number(target);
  const auto& configured = list_of(answer->json, "services");
  const bool is_service = std::ranges::any_of(configured, [&](const json::value& name) {
    return name.is_string() && std::string_view(name.get_string()) == target;
  });
  if (number && !is_service) return *number;
  CallError error;
  error.exit = kExitUsage;
  error.message = fmt::format("{} has no rollout on {}\n  Start one:   coalmine rollout start {}",
                              target, net::shown_url(terminal.server), target);
  if (number) {
    error.message += fmt::format("\n  {} is a service here; the rollout of that number is '#{}'",
                                 target, *number);
  }
  return std::unexpected(std::move(error));
}

bool is_settled(const json::value& rollout, bool paused_counts) {
  return flag_of(rollout, "terminal") || (paused_counts && text_of(rollout, "phase") == "paused");
}

int print_rollout(const Terminal& terminal, const Answer& answer) {
  const int exit = exit_for_rollout(answer.json);
  if (terminal.output == Output::json) return print_json(terminal, answer, exit);
  terminal.out << rollout_text(answer.json, style_of(terminal));
  if (terminal.quiet) return exit;
  const std::string phase = text_of(answer.json, "phase");
  const std::string service = text_of(answer.json, "service");
  const std::string version = text_of(answer.json, "canary_version");
  if (phase == "rolled_back") {
    const auto command = failures_command(member_of(answer.json, "judgement"), service, version);
    if (!command.empty()) terminal.out << fmt::format("\nNext: {}\n", command);
  } else if (phase == "paused") {
    terminal.out << fmt::format(
        "\nNext: coalmine rollout promote {} --reason '…'   (or resume, or abort)\n", service);
  } else if (phase == "progressing") {
    terminal.out << fmt::format("\nNext: coalmine rollout status {} --watch\n", service);
  }
  return exit;
}

// Ending what has ended so is no mistake, and not what was done now: a sentence that says since
// when.
std::optional<std::string> ended_already(const Terminal& terminal, const std::string& id,
                                         const std::string& verb) {
  const std::string_view phase = verb == "abort" ? "aborted" : verb == "abandon" ? "abandoned" : "";
  if (phase.empty() || terminal.output == Output::json) return std::nullopt;
  const auto answer = get(terminal, "/v1/rollouts/" + id);
  if (!answer || text_of(answer->json, "phase") != phase) return std::nullopt;
  return fmt::format("rollout {} of {} was {} already, at {}", id,
                     harmless(text_of(answer->json, "service")), phase,
                     date_text(std::llround(number_of(answer->json, "ended_ms")), terminal.utc));
}

// Shows a rollout as it changes: redraws on a terminal, one line per change elsewhere, nothing for
// JSON until the end.
class Follower {
 public:
  Follower(const Terminal& terminal, bool lines) : terminal_(terminal), lines_(lines) {}

  void show(const Answer& answer) {
    if (terminal_.output == Output::json || !lines_) return;
    if (terminal_.interactive) return redraw(rollout_text(answer.json, style_of(terminal_)));
    for (const auto& entry : list_of(answer.json, "log")) {
      const double sequence = number_of(entry, "sequence");
      const std::string kind = text_of(entry, "kind");
      if (sequence <= last_sequence_ || kind == "look") continue;
      last_sequence_ = sequence;
      line(std::llround(number_of(entry, "time_ms")), kind, text_of(entry, "text"));
    }
    const std::string phase = text_of(answer.json, "phase");
    // What it waits for is a change too.
    const std::string condition = text_of(answer.json, "condition");
    const bool waits = !condition.empty() && condition != "none" && condition != last_condition_;
    if (phase != last_phase_ || waits)
      line(terminal_.clock.wall_ms(), phase, text_of(answer.json, "reason"));
    last_phase_ = phase;
    last_condition_ = condition;
    terminal_.out << std::flush;
  }

 private:
  // Over what was there, so that nothing flickers: each line to its end, then what is left below.
  void redraw(const std::string& text) {
    std::string frame = drawn_ ? "\x1b[H" : "\x1b[2J\x1b[H";
    drawn_ = true;
    for (const char c : text) frame += c == '\n' ? std::string("\x1b[K\n") : std::string(1, c);
    terminal_.out << frame << "\x1b[J" << std::flush;
  }
  void line(std::int64_t ms, const std::string& kind, const std::string& text) {
    terminal_.out << fmt::format("{} {} {}\n", rfc3339_seconds(ms), kind, harmless(text));
  }

  const Terminal& terminal_;
  const bool lines_;
  bool drawn_ = false;
  double last_sequence_ = 0;
  std::string last_phase_;
  std::string last_condition_;
};

// Who waits is told that the server goes on without them.
void explain_router(const Terminal& terminal, const json::value& rollout, const std::string& id) {
  if (text_of(rollout, "condition") != "router_failing") return;
  terminal.err << fmt::format(
      "coalmine: {}\n  The server goes on trying. To end it: coalmine rollout abort '#{}', or "
      "abandon when the router does not come back\n",
      harmless(text_of(rollout, "reason")), id);
}

// Polls until the rollout settles, the time is up, or the server stays away.
int follow(const Terminal& terminal, const std::string& id, const StatusOptions& options) {
  const std::int64_t timeout_ms =
      options.timeout.empty() ? -1 : parse_typed_duration(options.timeout);
  const std::int64_t began_ms = terminal.clock.steady_ms();
  std::int64_t answered_ms = began_ms;
  std::int64_t router_ms = began_ms; // when the router last did what it was asked
  Follower follower(terminal, options.watch || !terminal.quiet);
  for (;;) {
    const auto answer = get(terminal, "/v1/rollouts/" + id);
    const std::int64_t now_ms = terminal.clock.steady_ms();
    const bool late = timeout_ms >= 0 && now_ms - began_ms >= timeout_ms;
    if (answer) {
      answered_ms = now_ms;
      follower.show(*answer);
      const bool settled = is_settled(answer->json, options.wait);
      if (text_of(answer->json, "condition") != "router_failing") router_ms = now_ms;
      const bool given_up = options.wait && now_ms - router_ms >= kRouterPatienceMs;
      if (settled || late || given_up) {
        if (!settled && late)
          terminal.err << fmt::format("coalmine: rollout {} is not over after {}\n", id,
                                      options.timeout);
        if (!settled) explain_router(terminal, answer->json, id);
        const int exit = exit_for_rollout(answer->json);
        if (terminal.output == Output::json) return print_json(terminal, *answer, exit);
        return exit;
      }
    } else if (!answer.error().unreachable || late || now_ms - answered_ms >= kPatienceMs) {
      return report(terminal, answer.error());
    }
    terminal.sleep(kPoll);
  }
}

// Older servers give the number only.
std::string started_text(const json::value& answer, const std::string& id,
                         const std::string& service) {
  const std::string summary = harmless(text_of(answer, "summary"));
  return summary.empty() ? fmt::format("Rollout {} of {} started.", id, service) : summary;
}

} // namespace

int rollout_start(const Terminal& terminal, const StartOptions& options) {
  if (!options.timeout.empty() && parse_typed_duration(options.timeout) < 0) {
    return usage_error(terminal, fmt::format("--timeout {} is not a duration", options.timeout),
                       "write 40m or 90s");
  }
  const auto answer = post(terminal, "/v1/rollouts",
                           {{"service", options.service},
                            {"canary_version", options.canary_version},
                            {"stable_version", options.stable_version},
                            {"actor", options.actor}});
  if (!answer) return report(terminal, answer.error());
  const std::string id = id_text(answer->json);
  for (const auto& warning : list_of(answer->json, "warnings")) {
    if (warning.is_string() && terminal.output == Output::text)
      terminal.err << "coalmine: warning: " << std::string_view(warning.get_string()) << '\n';
  }
  if (options.wait) {
    if (terminal.output == Output::text && !terminal.quiet)
      terminal.err << "coalmine: " << started_text(answer->json, id, options.service) << '\n';
    return follow(terminal, id,
                  {.target = id, .watch = false, .wait = true, .timeout = options.timeout});
  }
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  terminal.out << started_text(answer->json, id, options.service) << '\n';
  if (!terminal.quiet)
    terminal.out << fmt::format("\nNext: coalmine rollout status {} --watch\n", options.service);
  return kExitGood;
}

int rollout_retry(const Terminal& terminal, StartOptions start) {
  const auto id = find_rollout(terminal, start.service);
  if (!id) return report(terminal, id.error());
  const auto before = get(terminal, "/v1/rollouts/" + *id);
  if (!before) return report(terminal, before.error());
  const std::string phase = text_of(before->json, "phase");
  start.service = text_of(before->json, "service");
  if (!flag_of(before->json, "terminal")) {
    return usage_error(terminal,
                       fmt::format("rollout {} of {} is {}: only one that has ended is "
                                   "tried again",
                                   *id, harmless(start.service), phase),
                       fmt::format("coalmine rollout abort {}", start.service));
  }
  if (phase == "promoted") {
    return usage_error(terminal,
                       fmt::format("rollout {} of {} was promoted: there is nothing to try again",
                                   *id, harmless(start.service)),
                       fmt::format("coalmine rollout start {} --version V", start.service));
  }
  start.canary_version = text_of(before->json, "canary_version");
  start.stable_version = text_of(before->json, "stable_version");
  return rollout_start(terminal, start);
}

int rollout_status(const Terminal& terminal, const StatusOptions& options) {
  if (!options.timeout.empty() && parse_typed_duration(options.timeout) < 0) {
    return usage_error(terminal, fmt::format("--timeout {} is not a duration", options.timeout),
                       "write 40m or 90s");
  }
  if (!options.timeout.empty() && !options.wait && !options.watch)
    return usage_error(terminal, "--timeout needs --wait or --watch");
  const auto id = find_rollout(terminal, options.target);
  if (!id) return report(terminal, id.error());
  if (options.watch || options.wait) return follow(terminal, *id, options);
  const auto answer = get(terminal, "/v1/rollouts/" + *id);
  if (!answer) return report(terminal, answer.error());
  return print_rollout(terminal, *answer);
}

bool is_everything(const ListOptions& options) {
  return options.service.empty() && options.phase.empty() && options.limit <= 0;
}

// Those that were asked for, newest first, as in one answer of the server.
CallResult<Answer> chosen_rollouts(const Terminal& terminal, const ListOptions& options) {
  json::array chosen;
  const auto enough = [&] {
    return options.limit > 0 && chosen.size() == static_cast<std::size_t>(options.limit);
  };
  for (std::string before;;) { // page by page
    auto answer = get(
        terminal, "/v1/rollouts",
        {{"service", options.service}, {"phase", options.phase}, {"before", std::move(before)}});
    if (!answer) return answer;
    for (const auto& rollout : list_of(answer->json, "rollouts")) {
      if (enough()) break;
      if (!options.service.empty() && text_of(rollout, "service") != options.service) continue;
      if (!options.phase.empty() && text_of(rollout, "phase") != options.phase) continue;
      chosen.push_back(rollout);
    }
    const auto next = number_of(answer->json, "next");
    if (next > 0 && !enough()) {
      before = fmt::format("{:.0f}", next);
      continue;
    }
    json::object whole{{"rollouts", std::move(chosen)}};
    if (is_everything(options)) whole["services"] = list_of(answer->json, "services");
    answer->text = json::serialize(whole);
    answer->json = std::move(whole);
    return answer;
  }
}

int rollout_list(const Terminal& terminal, const ListOptions& options) {
  const auto answer = chosen_rollouts(terminal, options);
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  const auto& chosen = list_of(answer->json, "rollouts");
  if (chosen.empty()) {
    terminal.err
        << (is_everything(options)
                ? "coalmine: no rollouts yet\n  Start one:   coalmine rollout start SERVICE\n"
                : "coalmine: no rollout is so\n  All of them:   coalmine rollout list\n");
    return kExitGood;
  }
  terminal.out << rollouts_text(chosen, style_of(terminal));
  return kExitGood;
}

int rollout_log(const Terminal& terminal, const std::string& target) {
  const auto id = find_rollout(terminal, target);
  if (!id) return report(terminal, id.error());
  auto answer = get(terminal, "/v1/rollouts/" + *id);
  if (!answer) return report(terminal, answer.error());
  const auto& log = list_of(answer->json, "log");
  if (terminal.output == Output::json) {
    answer->text = json::serialize(json::object{{"log", log}});
    return print_json(terminal, *answer, kExitGood);
  }
  for (const auto& entry : log) {
    const std::string text = text_of(entry, "text");
    if (text.empty()) continue; // a look that changed nothing
    const std::string actor = text_of(entry, "actor");
    const bool by_hand = !actor.empty() && actor != "coalmine";
    terminal.out << fmt::format("{}  {:<12}  {}{}\n",
                                date_text(std::llround(number_of(entry, "time_ms")), terminal.utc),
                                harmless(text_of(entry, "kind")), harmless(text),
                                by_hand ? "  [" + harmless(actor) + "]" : "");
  }
  return kExitGood;
}

int rollout_command(const Terminal& terminal, const CommandOptions& options) {
  if (options.verb == "promote" && options.reason.empty()) {
    return usage_error(
        terminal, "promote passes a gate by hand, so it needs --reason",
        fmt::format("coalmine rollout promote {} --reason 'why the gate may be passed'",
                    options.target));
  }
  if (options.verb == "abandon" && options.reason.empty()) {
    return usage_error(
        terminal, "abandon leaves the traffic wherever the router sends it, so it needs --reason",
        fmt::format("coalmine rollout abandon {} --reason 'why the router does not come back'",
                    options.target));
  }
  const auto id = find_rollout(terminal, options.target);
  if (!id) return report(terminal, id.error());
  if (const auto ended = ended_already(terminal, *id, options.verb)) {
    if (!terminal.quiet) terminal.err << "coalmine: " << *ended << '\n';
    return kExitGood;
  }
  json::object body{{"reason", options.reason}, {"actor", options.actor}};
  if (options.full) body["full"] = true;
  const auto answer =
      post(terminal, fmt::format("/v1/rollouts/{}/{}", *id, options.verb), std::move(body));
  if (!answer) return report(terminal, answer.error());
  if (terminal.output == Output::json) return print_json(terminal, *answer, kExitGood);
  if (!terminal.quiet) terminal.out << rollout_text(answer->json, style_of(terminal));
  return kExitGood;
}

} // namespace coalmine::cli
