// Panel files such as the seed's canary-dashboard-panels.yaml: text in, panels out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "base/result.h"
#include "config/diagnostics.h"
#include "promql/panel.h"

namespace coalmine::config {

// file   = { panels: [ panel, … ] }
// panel  = { title: text, type: timeseries | gauge, queries: [ { label: text, query: promql }, … ]
// }
//        | { title: text, type: timeseries | gauge, query: promql }
// Unknown keys are warnings: a newer file still shows what this version understands.
struct DashboardFile {
  FileReport report;
  promql::Dashboard dashboard; // name: the file's, without extension
  bool ok() const { return count({report}).errors == 0; }
};

DashboardFile parse_dashboard(std::string path, std::string text);
Result<DashboardFile> load_dashboard(const std::string& path);
// Tells a panel file from a config file by its top-level keys.
bool looks_like_dashboard(const std::string& text);

} // namespace coalmine::config
