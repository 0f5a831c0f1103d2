// What is said of every way to type a command, against tests/cli/command_line.txt.
// SPDX-License-Identifier: Apache-2.0
#include "app/command/command_line.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/golden_for_test.h"
#include "base/temp_dir_for_test.h"

namespace coalmine::app {
namespace {

const std::filesystem::path kFile =
    std::filesystem::path(COALMINE_SOURCE_DIR) / "tests/cli/command_line.txt";

std::vector<std::string> words_of(const std::string& line) {
  std::istringstream in(line);
  return {std::istream_iterator<std::string>(in), {}};
}

// Each line "$ coalmine …" is followed by what is printed and by the exit code, or by "runs".
TEST(CommandLine, SaysWhatIsExpected) {
  std::ifstream in(kFile);
  std::string actual;
  const std::string prompt = "$ coalmine";
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(prompt)) continue;
    std::ostringstream out;
    std::ostringstream err;
    const auto parsed = parse_command_line(words_of(line.substr(prompt.size())), out, err);
    actual += line + "\n" + out.str() + err.str() +
              (parsed.run ? std::string("runs\n") : fmt::format("exit {}\n", parsed.exit)) + "\n";
  }
  expect_golden(kFile, actual);
}

std::string help_of(std::vector<std::string> command) {
  std::ostringstream out;
  std::ostringstream err;
  command.insert(command.begin(), "help");
  EXPECT_EQ(parse_command_line(command, out, err).exit, 0);
  return out.str();
}

TEST(CommandLine, EveryHelpHasAnExample) {
  std::ostringstream script;
  for (const auto* line : {"serve",           "demo",           "analyze",
                           "failures",        "services",       "query",
                           "check",           "backup",         "promql-test",
                           "vectors",         "replay",         "simulate",
                           "version",         "completion",     "rollout",
                           "rollout start",   "rollout status", "rollout list",
                           "rollout log",     "rollout pause",  "rollout resume",
                           "rollout promote", "rollout abort",  "rollout abandon",
                           "rollout retry",   "rollout undo",   "config",
                           "config show",     "doctor"}) {
    const auto help = help_of(words_of(line));
    EXPECT_NE(help.find("Example:\n  "), std::string::npos) << line << "\n" << help;
    EXPECT_NE(help.find(std::string("coalmine ") + line), std::string::npos) << line;
  }
}

// What bash offers after the words, the last of which is still being typed.
std::string offered_after(const std::string& script, const std::string& words) {
  const TempDir directory;
  std::filesystem::create_directories(directory.path());
  const auto file = directory.path() + "/completion.sh";
  std::ofstream(file) << script << "COMP_WORDS=(" << words << ")\n"
                      << "COMP_CWORD=$((${#COMP_WORDS[@]} - 1))\n_coalmine\n"
                      << "echo \"${COMPREPLY[*]}\"\n";
  auto* shell = ::popen(("bash '" + file + "'").c_str(), "r");
  std::string out;
  for (int c = std::fgetc(shell); c != EOF; c = std::fgetc(shell)) out += static_cast<char>(c);
  EXPECT_EQ(::pclose(shell), 0);
  return out;
}

TEST(CommandLine, BashCompletesCommandsOfCommands) {
  std::ostringstream out;
  std::ostringstream err;
  const auto parsed = parse_command_line({"completion"}, out, err);
  ::testing::internal::CaptureStdout();
  ASSERT_EQ(parsed.run(), 0);
  const auto script = ::testing::internal::GetCapturedStdout();
  EXPECT_EQ(offered_after(script, "coalmine doc"), "doctor\n");
  EXPECT_EQ(offered_after(script, "coalmine rollout un"), "undo\n");
  EXPECT_EQ(offered_after(script, "coalmine rollout promote shop --fu"), "--full\n");
  EXPECT_EQ(offered_after(script, "coalmine config sh"), "show\n");
  EXPECT_EQ(offered_after(script, "coalmine config show sh"), "\n") << "a service comes next";
}

} // namespace
} // namespace coalmine::app
