// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/cohort_selector.h"

#include <utility>

#include "base/text.h"
#include "rollout/track_selection.h"
#include "telemetry/resource.h"

namespace coalmine::rollout {

cohort::CohortSelector cohort_selector(const RolloutSpec& spec, Track track,
                                       const std::string& version) {
  cohort::CohortSelector out{.matchers = {}, .failures = spec.failures};
  const auto equal = [&](std::string name, std::string value) {
    out.matchers.push_back({std::move(name), Matcher::Op::equal, std::move(value)});
  };
  equal("service_name", spec.service);
  bool version_named = false;
  const auto tracks = select_tracks(spec);
  for (const auto& [name, value] : tracks.of(track).with) {
    auto label = label_name(name);
    version_named = version_named || label == "service_version";
    equal(std::move(label), value);
  }
  if (const auto& other = tracks.of(track).without)
    out.matchers.push_back({label_name(other->first), Matcher::Op::not_equal, other->second});
  if (!spec.environment.empty()) {
    // Old and new name of the attribute. Matchers are all to hold, so each of the two is to be this
    // environment or missing: telemetry that names another environment is left out.
    for (const auto* label : {"deployment_environment", "deployment_environment_name"}) {
      out.matchers.push_back({label, Matcher::Op::regexp, regexp_of(spec.environment) + "|"});
    }
  }
  if (!version.empty() && !version_named) equal("service_version", version);
  return out;
}

} // namespace coalmine::rollout
