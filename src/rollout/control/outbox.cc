// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/outbox.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "notify/channel.h"
#include "rollout/json.h"

namespace coalmine::rollout {

std::vector<notify::OutboxEntry> make_outbox(const RolloutStatus& status, const RolloutSpec& spec,
                                             const std::vector<Notice>& notices,
                                             std::uint64_t sequence, std::int64_t now_ms) {
  std::vector<notify::OutboxEntry> out;
  const auto rollout = rollout_json(status, WithLog::no);
  for (std::size_t n = 0; n < notices.size(); ++n) {
    const auto& notice = notices[n];
    for (std::size_t i = 0; i < spec.notify.size(); ++i) {
      const auto& target = spec.notify[i];
      const bool wanted = target.events.empty() || notice.event == "attention" ||
                          std::ranges::find(target.events, notice.event) != target.events.end();
      if (!wanted) continue;
      notify::OutboxEntry entry;
      entry.event_id = fmt::format("{}-{}-{}", status.id.value, sequence - n, i);
      entry.id = status.id;
      entry.target = i;
      entry.is_signed = !target.secret.empty();
      entry.created_ms = now_ms;
      entry.body = notify::make_channel(target)->body({.event = notice.event,
                                                       .text = notice.text,
                                                       .event_id = entry.event_id,
                                                       .time_ms = now_ms,
                                                       .rollout = rollout});
      out.push_back(std::move(entry));
    }
  }
  return out;
}

} // namespace coalmine::rollout
