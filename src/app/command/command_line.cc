// SPDX-License-Identifier: Apache-2.0
#include "app/command/command_line.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <string_view>

#include "app/command/command_table.h"
#include "app/version.h"
#include "base/did_you_mean.h"
#include "cli/cli.h"

namespace coalmine::app {
namespace {

// The command that was understood last, and how it is typed.
const CLI::App& deepest(const CLI::App& root, std::string& path) {
  const auto* at = &root;
  path = root.get_name();
  while (!at->get_subcommands().empty()) {
    at = at->get_subcommands().front();
    path += " " + at->get_name();
  }
  return *at;
}

std::vector<std::string> subcommands_of(const CLI::App& command) {
  std::vector<std::string> out;
  for (const auto* each : command.get_subcommands([](const CLI::App*) { return true; }))
    out.push_back(each->get_name());
  return out;
}

// The nearest of the names: one that begins like the word, else one that is spelt like it.
std::string nearest(const std::string& word, const std::vector<std::string>& names) {
  const std::vector<std::string_view> all(names.begin(), names.end());
  const auto longer = std::ranges::find_if(
      all, [&](std::string_view name) { return word.size() > 3 && name.starts_with(word); });
  return longer != all.end() ? std::string(*longer) : did_you_mean(word, all);
}

std::string suggestion(const std::string& close) {
  return close.empty() ? "" : fmt::format("; did you mean {}?", close);
}

int say(std::ostream& err, const std::string& path, const std::string& sentence) {
  err << "coalmine: " << sentence << "\n  Help:   " << path << " --help\n";
  return cli::kExitUsage;
}

int explain_option(const CLI::App& at, const std::string& path, const std::string& typed,
                   std::ostream& err) {
  const auto word = typed.substr(0, typed.find('='));
  std::vector<std::string> names;
  for (const auto* command = &at; command != nullptr; command = command->get_parent()) {
    for (const auto* option : command->get_options()) {
      for (const auto& name : option->get_lnames()) names.push_back("--" + name);
    }
  }
  return say(err, path, fmt::format("unknown option {}{}", word, suggestion(nearest(word, names))));
}

// CLI11's own words name neither the command nor what to do.
int explain(const CLI::App& root, const CLI::ParseError& problem, std::ostream& err) {
  std::string path;
  const auto& at = deepest(root, path);
  const auto known = subcommands_of(at);
  const auto words = root.remaining(true);
  const auto option = std::ranges::find_if(
      words, [](const std::string& word) { return word.size() > 1 && word.starts_with('-'); });
  if (option != words.end()) return explain_option(at, path, *option, err);
  if (!words.empty() && !known.empty()) {
    return say(
        err, path,
        fmt::format("unknown command \"{}\"{}", words[0], suggestion(nearest(words[0], known))));
  }
  if (!words.empty()) return say(err, path, fmt::format("{} takes no \"{}\"", path, words[0]));
  const bool missing = dynamic_cast<const CLI::RequiredError*>(&problem) != nullptr;
  if (missing && !known.empty()) {
    const auto space = path.rfind(' ');
    err << at.help(space == std::string::npos ? "" : path.substr(0, space));
    return cli::kExitUsage;
  }
  return say(err, path, problem.what());
}

// `help CMD` is `CMD --help`.
void take_help(std::vector<std::string>& words) {
  if (words.empty() || words[0] != "help") return;
  words.erase(words.begin());
  words.emplace_back("--help");
}

// A service is named by its place; --service, as it was once written, is understood.
void take_service(std::vector<std::string>& words) {
  constexpr std::string_view kCommands[] = {"rollout", "analyze", "failures", "replay"};
  const auto command = std::ranges::find_first_of(words, kCommands);
  if (command == words.end() || *command == kCommands[0]) return;
  constexpr std::string_view kWithValue = "--service=";
  std::erase(words, "--service");
  for (auto& word : words) {
    if (word.starts_with(kWithValue)) word.erase(0, kWithValue.size());
  }
}

// -o junit and -o github are forms of a verdict.
bool fits_output(const CLI::App& root, const Typed& typed) {
  const auto& output = typed.common.output;
  if (output != "junit" && output != "github") return true;
  const auto chosen = root.get_subcommands();
  return !chosen.empty() && chosen.front()->get_name() == "analyze";
}

} // namespace

ParsedLine parse_command_line(std::vector<std::string> words, std::ostream& out,
                              std::ostream& err) {
  struct Line {
    CLI::App root{
        "coalmine watches a canary release through OpenTelemetry and rolls it back or promotes it.",
        "coalmine"};
    Typed typed;
  };
  const auto line = std::make_shared<Line>();
  auto& root = line->root;
  root.require_subcommand(1);
  root.fallthrough();
  root.set_version_flag("--version", "coalmine " + std::string(kVersion));
  add_commands(root, line->typed);
  root.footer(
      "Exit codes: 0 good, 1 bad canary, 2 usage or config, 3 undecided, 4 no data, 5 "
      "unreachable,\n            6 the router fails.\nHelp on a command: coalmine help COMMAND");
  take_help(words);
  take_service(words);
  std::ranges::reverse(words); // as CLI11 takes them
  try {
    root.parse(words);
  } catch (const CLI::ParseError& problem) {
    if (dynamic_cast<const CLI::Success*>(&problem) == nullptr)
      return {.exit = explain(root, problem, err)};
    const bool help = dynamic_cast<const CLI::CallForHelp*>(&problem) != nullptr;
    if (help && !root.remaining(true).empty()) return {.exit = explain(root, problem, err)};
    root.exit(problem, out, err); // --help, --version
    return {.exit = cli::kExitGood};
  }
  if (!fits_output(root, line->typed)) {
    return {.exit = say(err, "coalmine",
                        fmt::format("-o {} is for a verdict (coalmine analyze); use text or json",
                                    line->typed.common.output))};
  }
  const char* user = std::getenv("USER");
  line->typed.start.actor = line->typed.command.actor =
      user != nullptr && *user != '\0' ? std::string(user) + " (cli)" : "cli";
  return {.run = [line] { return line->typed.run(); }};
}

} // namespace coalmine::app
