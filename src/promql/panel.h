// Panels of a dashboard: plain values, read from a panel file and shown by the page.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>
#include <vector>

namespace coalmine::promql {

// A panel file such as canary-dashboard-panels.yaml: titles, and the PromQL that fills them.
struct PanelQuery {
  std::string label;
  std::string query;
};
struct Panel {
  std::string title;
  std::string type; // timeseries, gauge
  std::vector<PanelQuery> queries;
};
struct Dashboard {
  std::string name; // file name without extension
  std::vector<Panel> panels;
};

} // namespace coalmine::promql
