// SPDX-License-Identifier: Apache-2.0
#include "rollout/json_steps.h"

#include <boost/json/object.hpp>
#include <utility>

#include "base/json_text.h"
#include "rollout/json_fields.h"

namespace coalmine::rollout {

boost::json::array steps_value(const std::vector<StepState>& steps) {
  boost::json::array out;
  for (const auto& step : steps) {
    boost::json::object o;
    for (const auto& field : step_fields()) put_field(o, field, step.spec);
    o["started_ms"] = step.started_ms;
    o["ended_ms"] = step.ended_ms;
    o["outcome"] = json_string(step.outcome);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace coalmine::rollout
