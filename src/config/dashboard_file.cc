// SPDX-License-Identifier: Apache-2.0
#include "config/dashboard_file.h"

#include <fmt/format.h>

#include <filesystem>

#include "config/config.h"
#include "config/yaml_reader.h"
#include "promql/engine.h"

namespace coalmine::config {
namespace {

constexpr std::size_t kMaxDashboardBytes = 1u << 20;
constexpr std::size_t kMaxPanels = 200;
constexpr std::size_t kMaxQueries = 50;

class PanelParser {
 public:
  PanelParser(YamlReader& yaml, promql::Dashboard& out) : yaml_(yaml), out_(out) {}

  void document(const YAML::Node& node) {
    bool any = false;
    yaml_.map(node, "a panel file",
              {{"panels",
                [&](const YAML::Node& list) {
                  any = true;
                  yaml_.items(list, "panels", [&](const YAML::Node& item) { panel(item); });
                }}},
              false);
    if (node.IsMap() && !any)
      yaml_.error(node, "a panel file without panels",
                  "write panels: with a list of { title, type, query }");
  }

 private:
  void panel(const YAML::Node& node) {
    promql::Panel panel;
    panel.type = "timeseries";
    const YamlReader::Keys keys{
        {"title", [&](const YAML::Node& v) { panel.title = yaml_.text(v, "title").value_or(""); }},
        {"type",
         [&](const YAML::Node& v) {
           panel.type = yaml_.choice(v, "type", {"timeseries", "gauge"}).value_or("timeseries");
         }},
        {"query", [&](const YAML::Node& v) { add_query(panel, "", v); }},
        {"queries",
         [&](const YAML::Node& v) {
           yaml_.items(v, "queries", [&](const YAML::Node& item) { labelled(panel, item); });
         }},
    };
    if (!yaml_.map(node, "a panel", keys, false)) return;
    if (panel.queries.empty())
      yaml_.error(node, fmt::format("panel \"{}\" has no query", panel.title));
    if (out_.panels.size() >= kMaxPanels)
      return yaml_.error(node, fmt::format("more than {} panels", kMaxPanels));
    out_.panels.push_back(std::move(panel));
  }

  void labelled(promql::Panel& panel, const YAML::Node& node) {
    std::string label;
    YAML::Node query(YAML::NodeType::Undefined);
    yaml_.map(node, "a query",
              {{"label", [&](const YAML::Node& v) { label = yaml_.text(v, "label").value_or(""); }},
               {"query", [&](const YAML::Node& v) { query.reset(v); }}},
              false);
    if (query.IsDefined()) {
      add_query(panel, std::move(label), query);
    } else if (node.IsMap()) {
      yaml_.error(node, "an entry of queries without query");
    }
  }

  // Keeps the text as written. A query that does not parse is shown by the page with its error, so
  // it is a warning here.
  void add_query(promql::Panel& panel, std::string label, const YAML::Node& node) {
    auto text = yaml_.text(node, "query");
    if (!text) return;
    if (panel.queries.size() >= kMaxQueries)
      return yaml_.error(node, fmt::format("more than {} queries in one panel", kMaxQueries));
    if (const auto checked = promql::format(*text); !checked) {
      yaml_.warn(node, fmt::format("not a PromQL expression: {}", checked.error().message));
    }
    panel.queries.push_back({std::move(label), std::move(*text)});
  }

  YamlReader& yaml_;
  promql::Dashboard& out_;
};

} // namespace

DashboardFile parse_dashboard(std::string path, std::string text) {
  DashboardFile file;
  file.dashboard.name = std::filesystem::path(path).stem().string();
  file.report = {std::move(path), std::move(text), {}};
  YamlReader yaml(file.report.text, file.report.diagnostics);
  try {
    const auto documents = yaml.load();
    if (documents.size() == 1) {
      PanelParser(yaml, file.dashboard).document(documents[0]);
    } else if (file.report.diagnostics.empty()) {
      file.report.diagnostics.push_back(
          {Diagnostic::Severity::error,
           {},
           fmt::format("a panel file holds one YAML document, this one {}", documents.size()),
           ""});
    }
  } catch (const YAML::Exception& problem) {
    file.report.diagnostics.push_back(
        {Diagnostic::Severity::error, {}, "cannot be read: " + problem.msg, ""});
  }
  sort_by_place(file.report.diagnostics);
  return file;
}

Result<DashboardFile> load_dashboard(const std::string& path) {
  TRY_ASSIGN(auto text, read_file(path, kMaxDashboardBytes));
  return parse_dashboard(path, std::move(text));
}

bool looks_like_dashboard(const std::string& text) {
  try {
    const auto node = YAML::Load(text);
    return node.IsMap() && node["panels"].IsDefined() && !node["service"].IsDefined();
  } catch (const YAML::Exception&) {
    return false;
  }
}

} // namespace coalmine::config
