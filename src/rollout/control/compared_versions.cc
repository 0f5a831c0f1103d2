// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/compared_versions.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/json_text.h"
#include "rollout/words.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

std::optional<SeenVersions> seen_of(const AskVersions& versions, const RolloutSpec& spec,
                                    Track track) {
  return versions ? versions(spec, track) : std::nullopt;
}

// An analysis looks back: a version that has gone is better than all versions at once.
std::string best_known(const SeenVersions& seen) {
  if (auto reporting = newest_reporting(seen); !reporting.empty()) return reporting;
  const SeenVersion* last = nullptr;
  for (const auto& one : seen) {
    if (!one.version.empty() && (last == nullptr || one.last_ms > last->last_ms)) last = &one;
  }
  return last == nullptr ? "" : last->version;
}

struct StartedTrack {
  json::object fields;
  std::string text;
};

StartedTrack started_track(const char* name, const std::string& version,
                           const std::optional<SeenVersions>& seen, std::int64_t now_ms) {
  StartedTrack out{{{"version", json_string(version)}, {"last_seen_ms", nullptr}},
                   fmt::format("{} {}", name, version.empty() ? "of any version" : version)};
  if (!seen) return out;
  const auto it = std::ranges::find(*seen, version, &SeenVersion::version);
  if (version.empty()) {
    out.text = fmt::format("{} of the version that reports first (seen so far: {})", name,
                           seen_text(*seen, now_ms));
  } else if (it == seen->end()) {
    out.text += " (not seen yet)";
  } else {
    out.fields["last_seen_ms"] = it->last_ms;
    out.text += fmt::format(" (last seen {} ago)",
                            duration_text(std::max<std::int64_t>(0, now_ms - it->last_ms)));
  }
  return out;
}

} // namespace

std::optional<RolloutStatus> running_rollout(const Controller& rollouts,
                                             const std::string& service) {
  for (const auto& status : rollouts.list()) {
    if (status->service == service && !is_terminal(status->phase)) return *status;
  }
  return std::nullopt;
}

void choose_versions(const RolloutSpec& spec, const std::optional<RolloutStatus>& running,
                     const AskVersions& versions, VerdictContext& context) {
  const auto choose = [&](Track track, const std::string& of_rollout, std::string& version) {
    if (!version.empty()) return;
    version = of_rollout;
    if (!version.empty()) return;
    if (const auto seen = seen_of(versions, spec, track)) version = best_known(*seen);
  };
  choose(Track::canary, running ? running->canary_version : "", context.canary_version);
  choose(Track::stable, running ? running->stable_version : "", context.stable_version);
}

std::string beside_rollout(const RolloutStatus& running, const VerdictContext& context,
                           const judge::Judgement& judgement) {
  const auto shown = [](const std::string& version) {
    return version.empty() ? std::string("any version") : version;
  };
  if (running.canary_version != context.canary_version ||
      running.stable_version != context.stable_version) {
    return fmt::format("Rollout {} of {} compares {} with {}; this is about {} and {}",
                       running.id.value, running.service, shown(running.canary_version),
                       shown(running.stable_version), shown(context.canary_version),
                       shown(context.stable_version));
  }
  const auto decision =
      running.judgement ? running.judgement->decision : judge::Decision::keep_watching;
  if (decision == judgement.decision) return "";
  return fmt::format(
      "Rollout {} of {} says {}: it judges what came since it began, within one "
      "error budget over all its looks; this is one look at {}",
      running.id.value, running.service, judge::to_string(decision),
      duration_text(context.to_ms - context.from_ms));
}

json::object start_answer(const RolloutStatus& begun, const RolloutSpec& spec,
                          const AskVersions& versions, std::int64_t now_ms) {
  auto canary =
      started_track("canary", begun.canary_version, seen_of(versions, spec, Track::canary), now_ms);
  auto stable =
      started_track("stable", begun.stable_version, seen_of(versions, spec, Track::stable), now_ms);
  const auto weight = begun.steps.empty() ? 0 : begun.steps.front().spec.weight;
  json::object out{{"id", begun.id.value},
                   {"service", json_string(begun.service)},
                   {"canary", std::move(canary.fields)},
                   {"stable", std::move(stable.fields)},
                   {"step", begun.step},
                   {"steps", begun.steps.size()},
                   {"weight", weight}};
  out["summary"] = json_string(
      fmt::format("Rollout {} of {} started: {} against {}, step 1 of {} {} {}.", begun.id.value,
                  begun.service, canary.text, stable.text, begun.steps.size(),
                  begun.moves_traffic ? "at" : "watches what is planned for", percent(weight)));
  return out;
}

} // namespace coalmine::rollout
