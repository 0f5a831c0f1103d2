// SPDX-License-Identifier: Apache-2.0
#include "app/doctor.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <set>

#include "app/analysis_span.h"
#include "app/telemetry_doubts.h"
#include "base/did_you_mean.h"
#include "notify/notifier.h"
#include "rollout/control/start_checks.h"
#include "rollout/words.h"

namespace coalmine::app {
namespace {

using serve::Finding;
using State = Finding::State;

constexpr std::int64_t kClockOffMs = 10'000;
constexpr std::int64_t kRecentMs = 10 * 60'000;
constexpr std::uint64_t kLittleDisk = 512u << 20;
constexpr auto kSetTrack =
    "start its processes with OTEL_RESOURCE_ATTRIBUTES=service.version=V,deployment.track=";

class Examination {
 public:
  explicit Examination(const Examined& on) : on_(on) {}

  std::vector<Finding> run(const std::string& service) && {
    server();
    for (const auto& spec : on_.specs) {
      if (!service.empty() && spec.service != service) continue;
      about_ = spec.service;
      telemetry(spec);
      store(spec);
      router(spec);
      rollout(spec);
    }
    if (service.empty()) {
      unconfigured();
    } else if (std::ranges::find(on_.specs, service, &rollout::RolloutSpec::service) ==
               on_.specs.end()) {
      unknown(service);
    }
    return std::move(out_);
  }

 private:
  void say(State state, std::string text, std::string remedy = "") {
    out_.push_back({state, about_, std::move(text), std::move(remedy)});
  }

  void server() {
    about_ = "server";
    say(State::good, on_.listening);
    for (const auto& sender : on_.misdirected) {
      say(State::wrong,
          fmt::format("{} sends telemetry that cannot arrive ({} times in the last hour): {}",
                      sender.address, sender.count, sender.what));
    }
    const auto text =
        fmt::format("the disk of the data directory has {} MiB left", on_.disk_free_bytes >> 20);
    if (on_.disk_free_bytes >= kLittleDisk) {
      say(State::good, text);
    } else if (on_.disk_free_bytes != 0) {
      say(State::wrong, text, "make room, or keep less: serve --retention-size");
    }
    for (const auto& trouble : on_.troubles) say(State::wrong, trouble);
  }

  // Those of one track, as far as the store can tell.
  void track(const rollout::RolloutSpec& spec, Track which, State when_absent) {
    if (!on_.versions) return;
    const auto* name = which == Track::canary ? "canary" : "stable";
    const auto seen = on_.versions(spec, which);
    if (!seen) {
      if (on_.ask_store) return; // it does not answer, as is said of the store
      say(State::good,
          fmt::format("the versions of {} cannot be told from its telemetry: its selector names an "
                      "attribute that is not kept",
                      name));
      return;
    }
    const auto versions = rollout::seen_text(*seen, on_.now_ms);
    if (std::ranges::any_of(*seen, &rollout::SeenVersion::reports)) {
      say(State::good, fmt::format("{} reports: {}", name, versions));
      return;
    }
    const auto text =
        seen->empty() ? fmt::format("nothing has come from {}", name)
                      : fmt::format("{} does not report now; versions seen: {}", name, versions);
    say(when_absent, text,
        seen->empty() ? fmt::format("{}{}", kSetTrack, name)
                      : "a process without requests sends nothing; is it running, and does it get "
                        "any?");
  }

  void telemetry(const rollout::RolloutSpec& spec) {
    track(spec, Track::stable, State::wrong);
    track(spec, Track::canary, State::missing);
    if (on_.telemetry_doubts) {
      for (auto& doubt : on_.telemetry_doubts(spec)) say(State::wrong, std::move(doubt));
    }
    exports(spec);
    requests(spec);
    clocks(spec);
  }

  // How often metrics come, beside the shortest step. A step that is too short is among the doubts.
  void exports(const rollout::RolloutSpec& spec) {
    const auto interval_ms = export_interval_ms(spec.service, on_.presence, on_.now_ms);
    if (interval_ms <= 0) return;
    std::int64_t newest_ms = 0;
    for (const auto& one : on_.presence) {
      if (one.service == spec.service)
        newest_ms =
            std::max(newest_ms, one.last_arrival_ms != 0 ? one.last_arrival_ms
                                                         : std::min(one.last_ms, on_.now_ms));
    }
    std::int64_t shortest_ms = INT64_MAX;
    for (const auto& step : spec.steps) {
      if (step.analyze_ms > 0) shortest_ms = std::min(shortest_ms, step.analyze_ms);
    }
    auto text =
        fmt::format("metrics come every {}, the newest {} ago", rollout::duration_text(interval_ms),
                    rollout::duration_text(on_.now_ms - newest_ms));
    if (shortest_ms != INT64_MAX) {
      text += fmt::format("; the shortest step lasts {}", rollout::duration_text(shortest_ms));
    }
    say(State::good, std::move(text));
  }

  // That nothing counts requests is among the doubts.
  void requests(const rollout::RolloutSpec& spec) {
    if (on_.cohorts == nullptr) return;
    const cohort::CohortSelector all{{{"service_name", Matcher::Op::equal, spec.service}},
                                     spec.failures};
    const auto counts = on_.cohorts->counts(all, on_.now_ms - kRecentMs, on_.now_ms);
    if (!counts || !counts->any_series) return;
    double requests = 0, errors = 0, timed = 0;
    std::size_t routes = 0;
    std::string note;
    for (const auto& route : counts->routes) {
      requests += route.counts.requests;
      errors += route.counts.errors;
      timed += route.counts.timed;
      if (!route.route.empty()) ++routes;
      if (note.empty()) note = route.counts.bounds_note;
    }
    const auto lately = rollout::duration_text(kRecentMs);
    if (requests <= 0) {
      say(State::missing, fmt::format("no request came in the last {}", lately));
      return;
    }
    say(State::good,
        fmt::format("{:.0f} requests came in the last {}, {:.0f} of them failed{}", requests,
                    lately, errors, counts->counted_by_spans ? " (counted by spans)" : ""));
    say(timed > 0 ? State::good : State::missing,
        timed > 0 ? "their durations come, so latency can be judged"
        : note.empty()
            ? "no durations come (yet), so latency cannot be judged; new instances warm up first"
            : fmt::format("latency cannot be judged: {}", note));
    say(routes > 0 ? State::good : State::missing,
        routes > 0
            ? fmt::format("{} route{} named by http.route", routes, routes == 1 ? " is" : "s are")
            : "no request names its route (http.route), so only the whole service is judged",
        routes > 0 ? "" : "use an instrumentation that knows the router of the web framework");
  }

  void clocks(const rollout::RolloutSpec& spec) {
    std::set<std::string> told;
    for (const auto& one : on_.presence) {
      if (one.service != spec.service || one.last_arrival_ms == 0) continue;
      const auto ahead = one.last_ms - one.last_arrival_ms;
      if (ahead <= kClockOffMs || !told.insert(one.instance).second) continue;
      say(State::wrong,
          fmt::format("the clock of {} is {} ahead of this server's",
                      one.instance.empty() ? "an instance" : one.instance,
                      rollout::duration_text(ahead)),
          "set both by NTP");
    }
  }

  void store(const rollout::RolloutSpec& spec) {
    if (!on_.ask_store) return;
    const auto answer = on_.ask_store(spec);
    if (answer) {
      say(State::good, "the store answers");
    } else {
      say(State::wrong, fmt::format("the store does not answer: {}", answer.error().message),
          "see stores: prometheus in the configuration");
    }
  }

  void router(const rollout::RolloutSpec& spec) {
    if (!route::moves_traffic(spec.router)) {
      say(State::good, "no traffic is moved (router: observe)");
      return;
    }
    if (!on_.make_router) return;
    const auto made = on_.make_router(spec.router);
    if (!made) {
      say(State::wrong, fmt::format("the router cannot be used: {}", made.error().message));
      return;
    }
    auto& router = **made;
    if (const auto fit = router.check(); !fit) {
      say(State::wrong, fmt::format("the router, {}, does not do what is asked: {}",
                                    router.describe(), fit.error().message));
      return;
    }
    const auto weight = router.read();
    if (!weight) {
      say(State::wrong, fmt::format("the weight cannot be read: {}", weight.error().message));
      return;
    }
    const auto* running = running_rollout(spec.service);
    const auto free = rollout::check_no_traffic_yet(*weight, spec);
    if (running == nullptr && !free) {
      say(State::wrong, free.error().message);
    } else {
      say(State::good, fmt::format("the router, {}, gives the canary {}", router.describe(),
                                   rollout::percent(weight->canary)));
    }
    if (!weight->stable_down.empty()) {
      say(State::wrong, weight->stable_down, "bring a server of stable up");
    } else if (!weight->split_cause.empty()) {
      say(State::wrong,
          fmt::format("the requests may not be split by the weights: {}", weight->split_cause));
    }
  }

  const rollout::RolloutStatus* running_rollout(const std::string& service) const {
    const auto found = std::ranges::find_if(on_.rollouts, [&](const auto& status) {
      return status->service == service && !is_terminal(status->phase);
    });
    return found == on_.rollouts.end() ? nullptr : found->get();
  }

  // Of the newest rollout: what nobody has heard of it.
  void unheard(const rollout::RolloutSpec& spec) {
    const auto newest = std::ranges::find_if(
        on_.rollouts, [&](const auto& status) { return status->service == spec.service; });
    if (newest == on_.rollouts.end()) return;
    for (const auto& line : *(*newest)->log) {
      if (line.kind == "notify" && line.text.contains(notify::kGaveUp))
        say(State::wrong, fmt::format("of rollout {}: {}", (*newest)->id.value, line.text),
            "see notify: in the configuration");
    }
  }

  void rollout(const rollout::RolloutSpec& spec) {
    unheard(spec);
    const auto* running = running_rollout(spec.service);
    if (running == nullptr) return;
    const auto text = fmt::format("rollout {} is {} at step {} of {}: {}", running->id.value,
                                  to_string(running->phase), running->step + 1,
                                  running->steps.size(), running->reason);
    using rollout::Condition;
    if (running->condition == Condition::router_failing) {
      say(State::wrong, text, "abort, or abandon when the router does not come back");
    } else if (running->phase == rollout::Phase::paused) {
      say(State::missing, text, "promote, resume or abort it");
    } else {
      say(running->condition == Condition::none ? State::good : State::missing, text);
    }
  }

  // Sent, and judged by nobody unless asked.
  void unconfigured() {
    std::set<std::string> names;
    for (const auto& one : on_.presence) names.insert(one.service);
    for (const auto& spec : on_.specs) names.erase(spec.service);
    names.erase(std::string(kAnalyzer)); // our own spans
    about_ = "server";
    if (on_.specs.empty())
      say(State::missing, "no service is configured, so there is nothing to roll out",
          "serve -c FILE; analyze works without");
    if (names.empty()) {
      if (on_.specs.empty())
        say(State::wrong, "no telemetry has come", "docs/getting-started.md shows how to send it");
      return;
    }
    std::string list;
    for (const auto& name : names) list += (list.empty() ? "" : ", ") + name;
    say(State::good, fmt::format("telemetry of services without configuration comes: {}", list));
  }

  void unknown(const std::string& service) {
    about_ = service;
    std::set<std::string> there;
    for (const auto& one : on_.presence) there.insert(one.service);
    const bool sends = there.contains(service);
    for (const auto& spec : on_.specs) there.insert(spec.service);
    const std::vector<std::string_view> names(there.begin(), there.end());
    const auto close = did_you_mean(service, names);
    if (sends) {
      say(State::missing, "its telemetry comes, and no rollout of it is configured",
          "serve -c FILE; analyze works without");
      return;
    }
    say(State::wrong, "it is not configured, and no telemetry names it",
        close.empty() ? "coalmine services shows who sends"
                      : fmt::format("did you mean {}?", close));
  }

  const Examined& on_;
  std::string about_;
  std::vector<Finding> out_;
};

} // namespace

std::vector<serve::Finding> examine(const Examined& on, const std::string& service) {
  return Examination(on).run(service);
}

} // namespace coalmine::app
