// SPDX-License-Identifier: Apache-2.0
#include "app/command/completion.h"

#include <fmt/format.h>

namespace coalmine::app {
namespace {

// One line of the script's case: the words that may follow a command, and those of its commands.
std::string completion_cases(const CLI::App& command, const std::string& path,
                             const std::string& inherited) {
  std::string words;
  std::string cases;
  for (const auto* option : command.get_options()) {
    for (const auto& name : option->get_lnames()) words += " --" + name;
  }
  const std::string options = words + inherited;
  for (const auto* each : command.get_subcommands([](const CLI::App*) { return true; })) {
    words += " " + each->get_name();
    cases +=
        completion_cases(*each, path.empty() ? each->get_name() : path + " " + each->get_name(),
                         path.empty() ? options : inherited);
  }
  return cases + fmt::format("    '{}') words='{}' ;;\n", path, (words + inherited).substr(1));
}

// The commands that have commands of their own, as a pattern of the shell.
std::string with_commands(const CLI::App& root) {
  std::string out;
  for (const auto* each : root.get_subcommands([](const CLI::App*) { return true; })) {
    if (each->get_subcommands([](const CLI::App*) { return true; }).empty()) continue;
    out += (out.empty() ? "" : "|") + each->get_name();
  }
  return out;
}

} // namespace

std::string completion_script(const CLI::App& root) {
  return R"(# bash: source <(coalmine completion)
# zsh:  autoload -U bashcompinit && bashcompinit && source <(coalmine completion)
_coalmine() {
  local word path= words=
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case $word in -*) continue ;; esac
    case $path in '') path=$word ;; )" +
         with_commands(root) + R"() path="$path $word" ;; esac
  done
  case $path in
)" + completion_cases(root, "", "") +
         R"(  esac
  COMPREPLY=($(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}"))
}
complete -o default -F _coalmine coalmine
)";
}

} // namespace coalmine::app
