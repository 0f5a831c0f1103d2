// What services count by themselves: their own request counters, and how these tell failed requests
// from the others.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "store/ingest/stage.h"
#include "telemetry/labels.h"

namespace coalmine::store {

struct DerivedGroup;

// How one version of a service counts the errors among the requests that it counts itself. The
// later, the better.
enum class OwnErrors : std::uint8_t {
  none,       // it does not, as far as is known
  by_status,  // its request counter has a label with the HTTP status
  by_counter, // it has an error counter
};

// What is known about one version of a service.
struct OwnVersion {
  OwnErrors errors = OwnErrors::none;
  bool status_label = false; // its request counter has a label with the HTTP status
  // Its duration histogram has points with an HTTP status or an error type.
  bool histogram_tells = false;
};

// One instance that may count its requests itself.
struct OwnCounts {
  std::int64_t newest_ms = INT64_MIN; // the newest point of its own request counter
  const OwnVersion* version = nullptr;
  // The groups that are derived from its duration histogram.
  std::vector<DerivedGroup*> groups;
  bool touched = false; // by the current append
  // Processes that report as this instance, where nothing but their starts tells them apart: start
  // in seconds, and the time of the first point seen.
  std::map<std::int64_t, std::int64_t> processes;
};

// Invariant: an error count is one that somebody counted. Beside an application's own request
// counter it is the application's own, or that of the status label, or it is lent by the instance's
// duration histogram, if that tells failed requests from others. A zero that may stand for
// "unknown" is a guess: it is written only where another version of the service has an error
// counter, and everything else comes before it. Where nobody but the spans counts errors, readers
// take requests and errors from the spans (SourceChoice::complete).
//
// Guarded by Locks::write. Entries stay at their addresses until forget_groups().
class OwnCountsBook {
 public:
  OwnCounts& of(const Labels& labels);
  // Takes note that the version counts its errors so. True when that is news.
  bool learn(const Labels& labels, OwnErrors how);
  void learn_histogram_tells(const Labels& labels);
  // Whether any version of the service has an error counter of its own.
  bool service_counts_errors(const Labels& labels) const;
  void touch(OwnCounts& own);
  // After the derived series are written: gives the errors and the client errors of the instances
  // touched by this append to their own request counters where these have none.
  void lend(Stage& stage);
  // Called before the groups are deleted, and with them all other pointers to entries.
  void forget_groups();
  // Forgets instances whose newest point is older, and what is known of versions that no other
  // instance has; to be learnt again from the series that are left. After forget_groups().
  void forget_older(std::int64_t before_ms);
  std::size_t size() const { return versions_.size() + services_.size() + instances_.size(); }

 private:
  static std::string version_key(const Labels& labels);

  std::map<std::string, OwnVersion> versions_;  // by service and version
  std::set<std::string, std::less<>> services_; // with an error counter of their own
  std::map<std::string, OwnCounts> instances_;  // by instance_key
  std::vector<OwnCounts*> touched_;
};

} // namespace coalmine::store
