// SPDX-License-Identifier: Apache-2.0
#include "rollout/evidence/absent_track.h"

#include <fmt/format.h>

#include <algorithm>
#include <vector>

#include "rollout/evidence/cohort_selector.h"
#include "rollout/evidence/uncounted.h"
#include "rollout/track_selection.h"
#include "telemetry/resource.h"

namespace coalmine::rollout {
namespace {

constexpr std::size_t kShownValues = 5;
// A step that has just begun is a window of seconds, and a sender may export once in minutes.
constexpr std::int64_t kLookBackMs = 10 * 60 * 1000;

class Absence {
 public:
  Absence(const RolloutSpec& spec, const AbsenceRequest& request,
          const cohort::CohortSource& cohorts)
      : spec_(spec),
        cohorts_(cohorts),
        from_ms_(std::min(request.from_ms, request.to_ms - kLookBackMs)),
        to_ms_(request.to_ms) {}

  bool service_reports() const { return !values(of_service(), "service_name").empty(); }
  std::string uncounted() const { return uncounted(spec_.service, of_service()); }

  // "" when the selector finds something.
  std::string of(Track track, const std::string& version) const {
    const auto selector = cohort_selector(spec_, track, version);
    if (!values(selector, "service_name").empty()) return "";
    const auto whose = track == Track::canary ? "the canary" : "stable";
    if (auto sentence = uncounted(whose, selector); !sentence.empty()) return sentence;
    auto wanted = select_tracks(spec_).of(track).with;
    if (!spec_.environment.empty()) wanted.emplace_back(environment(), spec_.environment);
    const bool names_version = std::ranges::any_of(
        wanted, [](const auto& attribute) { return attribute.first == "service.version"; });
    if (!version.empty() && !names_version) wanted.emplace_back("service.version", version);
    std::string parts;
    for (const auto& [name, value] : wanted) {
      const auto there = values(of_service(), label_name(name));
      if (std::ranges::find(there, value) != there.end()) continue;
      parts += fmt::format("{}{}", parts.empty() ? "" : ", ",
                           there.empty() ? fmt::format("{} is not there", name)
                                         : fmt::format("{} is {}", name, list(there)));
    }
    if (parts.empty()) parts = "each of them is there, but not all at once";
    return fmt::format("nothing of {} has {}: {}", spec_.service, to_text(wanted), parts);
  }

 private:
  std::string uncounted(std::string_view whose, const cohort::CohortSelector& among) const {
    return explain_uncounted(whose, among, from_ms_, to_ms_, cohorts_);
  }
  cohort::CohortSelector of_service() const {
    return {{{"service_name", Matcher::Op::equal, spec_.service}}};
  }
  std::vector<std::string> values(const cohort::CohortSelector& among,
                                  const std::string& label) const {
    return cohorts_.label_values(among, label, from_ms_, to_ms_);
  }
  // The name under which the service reports its environment.
  std::string environment() const {
    const std::string current = "deployment.environment.name";
    const std::string old = "deployment.environment";
    return values(of_service(), label_name(old)).empty() ? current : old;
  }
  static std::string list(const std::vector<std::string>& values) {
    std::string out;
    const auto shown = std::min(values.size(), kShownValues);
    for (std::size_t i = 0; i < shown; ++i) {
      const bool last = i + 1 == shown && shown == values.size();
      out += fmt::format("{}{}", i == 0 ? "" : last ? " or " : ", ", values[i]);
    }
    if (shown < values.size()) out += fmt::format(" and {} more", values.size() - shown);
    return out;
  }

  const RolloutSpec& spec_;
  const cohort::CohortSource& cohorts_;
  const std::int64_t from_ms_;
  const std::int64_t to_ms_;
};

} // namespace

std::string explain_absence(const RolloutSpec& spec, const AbsenceRequest& request,
                            const cohort::CohortSource& cohorts) {
  const Absence absence(spec, request, cohorts);
  if (!absence.service_reports()) return absence.uncounted();
  auto out = absence.of(Track::canary, request.canary_version);
  const auto stable = absence.of(Track::stable, request.stable_version);
  if (!out.empty() && !stable.empty()) out += "; ";
  return out + stable;
}

void add_absence(const std::string& absence, std::string& reason) {
  if (!absence.empty()) reason += fmt::format(" ({})", absence);
}

} // namespace coalmine::rollout
