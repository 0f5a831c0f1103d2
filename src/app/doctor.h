// What is right and what is wrong with a server, its services, their telemetry and their routers:
// `coalmine doctor`, GET /v1/doctor. Each thing is decided here alone.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cohort/cohorts.h"
#include "net/misdirected_senders.h"
#include "rollout/control/controller.h"
#include "rollout/seen_versions.h"
#include "serve/finding.h"
#include "telemetry/presence.h"

namespace coalmine::app {

// What it looks at. Functions may be empty: then that is not looked at.
struct Examined {
  std::string listening; // where the server listens, as a sentence's end
  std::int64_t now_ms = 0;
  std::uint64_t disk_free_bytes = 0; // of the data directory; 0: unknown
  std::vector<rollout::RolloutSpec> specs;
  std::vector<rollout::StatusPointer> rollouts; // newest first
  std::vector<Presence> presence;
  std::vector<net::MisdirectedSender> misdirected;
  std::vector<std::string> troubles{};           // Controller's
  const cohort::CohortSource* cohorts = nullptr; // the requests of a service
  rollout::AskVersions versions{};
  std::function<std::vector<std::string>(const rollout::RolloutSpec&)> telemetry_doubts{};
  std::function<Status(const rollout::RolloutSpec&)> ask_store{}; // another store than our own
  rollout::MakeRouter make_router{};
};

// service: "" for all. Asks routers and stores, so it takes as long as their timeouts.
std::vector<serve::Finding> examine(const Examined& on, const std::string& service);

} // namespace coalmine::app
