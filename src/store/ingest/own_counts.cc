// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/own_counts.h"

#include <fmt/format.h>

#include <algorithm>

#include "store/ingest/derive.h"

namespace coalmine::store {
namespace {

// The series of one export have the same time, or times a few milliseconds apart.
constexpr std::int64_t kSameExportMs = 1000;

} // namespace

std::string OwnCountsBook::version_key(const Labels& labels) {
  return fmt::format("{}\xff{}", labels.get("service_name"), labels.get("service_version"));
}

OwnCounts& OwnCountsBook::of(const Labels& labels) {
  auto& own = instances_[instance_key(labels)];
  if (own.version == nullptr) own.version = &versions_[version_key(labels)];
  return own;
}

bool OwnCountsBook::learn(const Labels& labels, OwnErrors how) {
  if (how == OwnErrors::by_counter) services_.emplace(labels.get("service_name"));
  auto& version = versions_[version_key(labels)];
  version.status_label = version.status_label || how == OwnErrors::by_status;
  auto& known = version.errors;
  if (known >= how) return false;
  known = how;
  return true;
}

void OwnCountsBook::learn_histogram_tells(const Labels& labels) {
  versions_[version_key(labels)].histogram_tells = true;
}

bool OwnCountsBook::service_counts_errors(const Labels& labels) const {
  return services_.contains(labels.get("service_name"));
}

void OwnCountsBook::touch(OwnCounts& own) {
  if (!own.touched) touched_.push_back(&own);
  own.touched = true;
}

// The lent count has the times of the own counter's exports. So both advance together, and nobody
// takes the histogram's exports for those of the own counter. A histogram that is newer than the
// own counter waits for its next point.
void OwnCountsBook::lend(Stage& stage) {
  for (auto* own : touched_) {
    own->touched = false;
    if (own->newest_ms == INT64_MIN || own->version->status_label) continue;
    for (auto* group : own->groups) {
      if (group->last_ms == 0 || group->last_ms > own->newest_ms + kSameExportMs) continue;
      if (own->version->errors == OwnErrors::none) lend_errors(stage, *group, own->newest_ms);
      lend_client_errors(stage, *group, own->newest_ms);
    }
  }
  touched_.clear();
}

void OwnCountsBook::forget_groups() {
  // Nothing is known of these but their groups, and their instances may be gone for good.
  std::erase_if(instances_, [](const auto& entry) { return entry.second.newest_ms == INT64_MIN; });
  for (auto& [key, own] : instances_) {
    own.groups.clear();
    own.touched = false;
  }
  touched_.clear();
}

void OwnCountsBook::forget_older(std::int64_t before_ms) {
  std::erase_if(instances_, [&](const auto& entry) { return entry.second.newest_ms < before_ms; });
  std::set<const OwnVersion*> used;
  for (const auto& [key, own] : instances_) used.insert(own.version);
  std::erase_if(versions_, [&](const auto& entry) { return !used.contains(&entry.second); });
  services_.clear();
}

} // namespace coalmine::store
