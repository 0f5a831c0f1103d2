// Notifications of rollouts, sent on a thread of their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "base/lanes.h"
#include "base/result.h"
#include "notify/notifier.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/controller.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Addresses and secrets of targets are not in the journal: they come from the configuration, by
// service, kind, shown address, and place among those that are alike in both. A target that is not
// there any more has no URL afterwards, and its notices are given up.
void restore_targets(RolloutSpec& spec, const std::vector<RolloutSpec>& configured);

// Hands outbox entries to the Notifier with the target they are for, once each, and lets it deliver
// what is due: each target in a lane of its own, so that one that hangs delays itself alone. What
// became of an entry comes back as event::Noted.
// Called on the control thread. Destruction finishes the attempts under way (targets have their own
// timeouts). outbox, deps and control outlive it.
class Notices {
 public:
  Notices(notify::Outbox& outbox, const ControllerDeps& deps, const ControlThread& control);

  // Notifier's. Any thread.
  void stop() { notifier_.stop(); }

  // The targets of the rollout. Entries of a rollout without a spec are not queued.
  void set_spec(RolloutId id, std::shared_ptr<const RolloutSpec> spec);
  void remove(RolloutId id) { specs_.erase(id.value); }

  // Queues an entry of an earlier process.
  void enqueue(notify::OutboxEntry entry, const RolloutSpec& spec);
  // Queues the entries of a batch that the journal has tried to write. Call it once for each try.
  void tried(const std::vector<notify::OutboxEntry>& outbox, const Status& status);

  // Starts a delivery of the entries that are due, each in the lane of its target. now_ms: steady.
  void tick(std::int64_t now_ms);
  // Notifier's; any thread.
  std::vector<std::string> undelivered() const { return notifier_.undelivered(); }
  // When tick() has something to do, steady milliseconds; INT64_MAX: never.
  std::int64_t due() const { return notifier_.due(); }

 private:
  // Control thread only.
  std::map<std::uint64_t, std::shared_ptr<const RolloutSpec>> specs_; // by rollout
  std::set<std::string> queued_early_; // event ids that were queued before the journal had them
  // Own synchronisation. The lanes are last: their tasks use the members above.
  notify::Notifier notifier_;
  Lanes lanes_; // by the target's URL
};

} // namespace coalmine::rollout
