// Reading YAML strictly: every value checked where it stands, every complaint with its line and
// column.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <yaml-cpp/yaml.h>

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/diagnostic.h"
#include "base/result.h"

namespace coalmine::config {

// Reads values out of YAML nodes and collects what is wrong with them. Each getter reports a
// problem itself and then returns empty, so a caller goes on and one run shows every mistake. One
// thread; source and out must outlive it.
class YamlReader {
 public:
  using Handler = std::function<void(const YAML::Node& value)>;
  struct Key {
    std::string_view name;
    Handler read;
  };
  using Keys = std::vector<Key>;

  YamlReader(std::string_view source, std::vector<Diagnostic>& out) : source_(source), out_(out) {}

  // All documents of the text. Syntax errors are reported.
  std::vector<YAML::Node> load();

  void error(const YAML::Node& at, std::string message, std::string hint = "");
  void warn(const YAML::Node& at, std::string message, std::string hint = "");
  SourceSpan span(const YAML::Node& node) const;
  // Errors reported so far.
  std::size_t errors() const;

  // The value is a secret, written out or not fit to be one: no message and no line shows it.
  void keep_secret(const YAML::Node& node);
  // source as it may be shown, byte for byte in its place; and the same for the messages so far.
  // Once, at the end.
  std::string conceal();

  // Calls the handler of each key present. what names the block in messages: `step`, `policy`.
  // False when node is no map.
  bool map(const YAML::Node& node, std::string_view what, const Keys& keys,
           bool unknown_is_error = true);
  // Every entry of a map whose keys are the user's own; duplicate keys are refused.
  bool entries(const YAML::Node& node, std::string_view what,
               const std::function<void(const std::string& key, const YAML::Node& key_node,
                                        const YAML::Node& value)>& each);
  bool items(const YAML::Node& node, std::string_view what, const Handler& each);

  // A non-empty text. Unquoted words that other YAML readers take for booleans or null are refused.
  std::optional<std::string> text(const YAML::Node& node, std::string_view what);
  // text, but one of the choices.
  std::optional<std::string> choice(const YAML::Node& node, std::string_view what,
                                    const std::vector<std::string_view>& choices);
  std::optional<bool> boolean(const YAML::Node& node, std::string_view what);
  // A number, low <= n <= high.
  std::optional<double> number(const YAML::Node& node, std::string_view what, double low,
                               double high);
  std::optional<std::int64_t> duration(const YAML::Node& node, std::string_view what,
                                       std::int64_t low_ms, std::int64_t high_ms);
  // 0% to 100% as 0..1.
  std::optional<double> percent(const YAML::Node& node, std::string_view what);
  // A list of texts, or one text.
  std::vector<std::string> texts(const YAML::Node& node, std::string_view what);

 private:
  void add(Diagnostic::Severity severity, const YAML::Node& at, std::string message,
           std::string hint);
  std::optional<std::string> scalar(const YAML::Node& node, std::string_view what,
                                    std::string_view wanted);

  std::string_view source_;
  std::vector<Diagnostic>& out_;
  std::vector<std::pair<std::size_t, std::string>> secrets_; // where they begin, and their values
};

// "a list", "a map", "nothing" … as messages name what was found.
std::string_view kind_of(const YAML::Node& node);
bool quoted(const YAML::Node& node);

} // namespace coalmine::config
