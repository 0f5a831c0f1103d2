// SPDX-License-Identifier: Apache-2.0
#include "rollout/json_steps.h"

#include <boost/json/object.hpp>
#include <utility>

#include "base/json_text.h"

namespace coalmine::rollout {

boost::json::array steps_value(const std::vector<StepState>& steps) {
  boost::json::array out;
  for (const auto& step : steps) {
    boost::json::object o;
    o["weight"] = step.spec.weight;
    o["analyze_ms"] = step.spec.analyze_ms;
    o["min_requests"] = step.spec.min_requests;
    o["approve_manually"] = step.spec.approve_manually;
    o["started_ms"] = step.started_ms;
    o["ended_ms"] = step.ended_ms;
    o["outcome"] = json_string(step.outcome);
    out.push_back(std::move(o));
  }
  return out;
}

} // namespace coalmine::rollout
