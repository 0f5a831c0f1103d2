// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/notices.h"

#include <algorithm>
#include <utility>

#include "notify/target_address.h"

namespace coalmine::rollout {

void restore_targets(RolloutSpec& spec, const std::vector<RolloutSpec>& configured) {
  std::vector<notify::Target> known;
  if (const auto it = std::ranges::find(configured, spec.service, &RolloutSpec::service);
      it != configured.end())
    known = it->notify;
  for (auto& target : spec.notify) {
    const auto address = notify::shown_address(target);
    const auto it = std::ranges::find_if(known, [&](const notify::Target& t) {
      return t.kind == target.kind && !t.url.empty() && notify::shown_address(t) == address;
    });
    target.url = it == known.end() ? "" : it->url;
    target.secret = it == known.end() ? "" : it->secret;
    if (it != known.end()) known.erase(it); // the next of that address is the next target's
  }
}

Notices::Notices(notify::Outbox& outbox, const ControllerDeps& deps, const ControlThread& control)
    : notifier_(outbox, deps.http, deps.clock, deps.metrics,
                [&control](RolloutId id, std::string text) {
                  control.answer(id, event::Noted{"notify", std::move(text)});
                }),
      lanes_({.pool = {.name = "notify",
                       .threads = 1,
                       .queue_limit = kEffectQueueLimit,
                       .most_threads = 16}}) {}

void Notices::set_spec(RolloutId id, std::shared_ptr<const RolloutSpec> spec) {
  specs_[id.value] = std::move(spec);
}

void Notices::enqueue(notify::OutboxEntry entry, const RolloutSpec& spec) {
  if (entry.target >= spec.notify.size()) return;
  const auto& target = spec.notify[entry.target];
  notifier_.enqueue(std::move(entry), target);
}

void Notices::tried(const std::vector<notify::OutboxEntry>& outbox, const Status& status) {
  // Notify even if the journal write failed, but only once: every retry comes by here.
  for (const auto& entry : outbox) {
    const bool first = queued_early_.insert(entry.event_id).second;
    if (status) queued_early_.erase(entry.event_id);
    const auto it = specs_.find(entry.id.value);
    if (first && it != specs_.end() && it->second != nullptr) enqueue(entry, *it->second);
  }
}

void Notices::tick(std::int64_t now_ms) {
  if (now_ms < notifier_.due()) return;
  for (auto& delivery : notifier_.take_due()) {
    const auto task =
        lanes_.try_submit(delivery.target.url, [this, delivery] { notifier_.deliver(delivery); });
    if (task == nullptr) notifier_.put_back(delivery);
  }
}

} // namespace coalmine::rollout
