// The versions that the telemetry of a track has named, and which of them a rollout watches when
// nobody named one. Pure; any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "rollout/spec.h"
#include "telemetry/track.h"

namespace coalmine::rollout {

struct SeenVersion {
  std::string version;         // "": telemetry that names none
  std::int64_t first_ms = 0;   // its first telemetry ever, Unix ms
  std::int64_t last_ms = 0;    // its newest, by arrival where that is known
  std::int64_t arrival_ms = 0; // when some last came in, by our clock; 0: not since the start
  // It may well be there: its next export is not overdue. A process without requests sends nothing,
  // so one that does not report may be there too.
  bool reports = false;

  bool operator==(const SeenVersion&) const = default;
};

// The one that was first seen last comes first.
using SeenVersions = std::vector<SeenVersion>;
// nullopt: that cannot be known, since the track is selected by an attribute that is not kept, or
// the telemetry is in another store.
using AskVersions = std::function<std::optional<SeenVersions>(const RolloutSpec&, Track)>;

// The newest version that reports; "" when none does that has a name.
std::string newest_reporting(const SeenVersions& seen);
// The newest version of which telemetry came in after since_ms; one with a name where there is one.
// nullopt: nothing came.
std::optional<std::string> newest_since(const SeenVersions& seen, std::int64_t since_ms);
// The newest version that reports where version does not; "" when it does, nothing does, or version
// is "".
std::string other_than(const std::string& version, const SeenVersions& seen);
// "2.3.0 (4m ago), no version (1h ago)"; "none" when none was seen.
std::string seen_text(const SeenVersions& seen, std::int64_t now_ms);

} // namespace coalmine::rollout
