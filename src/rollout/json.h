// The one JSON form of rollouts and verdicts: HTTP API, event stream, webhooks, journal and CLI all
// show this. docs/http-api.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>

#include "rollout/rollout.h"

namespace coalmine::rollout {

// What a verdict is about.
struct VerdictContext {
  std::string service;
  std::string canary_version;
  std::string stable_version;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  // Of an analysis: why a running rollout of the service says something else. "": it does not.
  std::string beside_rollout{};
};

std::string verdict_json(const judge::Judgement& judgement, const VerdictContext& context);
// Lists and events leave the log out: it is long.
enum class WithLog { no, yes };
std::string rollout_json(const RolloutStatus& status, WithLog with_log);

} // namespace coalmine::rollout
