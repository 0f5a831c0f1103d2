// SPDX-License-Identifier: Apache-2.0
#include "notify/notifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "base/log.h"
#include "net/secrets.h"
#include "notify/channel.h"
#include "notify/target_address.h"

namespace coalmine::notify {

void Notifier::enqueue(OutboxEntry entry, Target target) {
  const bool full = queue_.with([&](Queue& queue) {
    const auto same = [&](const Waiting& w) { return w.entry.event_id == entry.event_id; };
    if (std::ranges::any_of(queue.waiting, same)) return false;
    if (queue.waiting.size() >= kMaxWaitingNotices) return true;
    queue.waiting.push_back({std::move(entry), std::move(target), clock_.steady_ms()});
    return false;
  });
  if (full) log_error("too many notifications are waiting; one is kept for the next start", {});
}

std::int64_t Notifier::due() const {
  return queue_.with([](const Queue& queue) {
    std::int64_t due = INT64_MAX;
    for (const auto& waiting : queue.waiting) due = std::min(due, waiting.next_try);
    return due;
  });
}

Status Notifier::attempt(const Waiting& waiting) {
  const auto& [entry, target, next_try] = waiting;
  if (target.url.empty()) {
    return fail(ErrorCode::failed_precondition,
                "its address is no longer in the configuration, and the journal keeps none");
  }
  if (entry.is_signed && target.secret.empty()) {
    return fail(ErrorCode::failed_precondition,
                "its secret is no longer in the configuration, and it is not sent unsigned");
  }
  net::ClientRequest request;
  request.method = "POST";
  request.url = target.url;
  request.headers = {{"Content-Type", "application/json"}};
  for (auto& header : make_channel(target)->headers(entry, clock_.wall_ms()))
    request.headers.push_back(std::move(header));
  request.body = entry.body;
  request.timeout = std::chrono::seconds(10);
  request.max_response = 64u << 10;
  TRY_ASSIGN(const auto response, net::fetch_discreetly(http_, request, net::UrlPath::secret));
  if (response.status >= 200 && response.status < 300) return {};
  return fail(ErrorCode::unavailable, fmt::format("it answered {}", response.status));
}

void Notifier::settle(const Waiting& waiting, Ending ending) {
  queue_.with([&](Queue& queue) {
    std::erase_if(queue.waiting,
                  [&](const Waiting& w) { return w.entry.event_id == waiting.entry.event_id; });
  });
  const auto status = outbox_.settle(waiting.entry.event_id, waiting.entry.attempts, ending);
  if (!status)
    log_warn("a notification will be sent again after a restart",
             {{"why", status.error().message}});
  metrics_
      .counter("coalmine_notifications_total", "Notifications by how they ended.",
               {{"outcome", ending == Ending::given_up ? "given_up" : "delivered"}})
      .add();
}

void Notifier::deliver_due() {
  const auto now = clock_.steady_ms();
  auto ready = queue_.with([&](Queue& queue) {
    std::vector<Waiting> out;
    for (auto& waiting : queue.waiting) {
      if (waiting.next_try > now) continue;
      ++waiting.entry.attempts;
      const auto delay = std::min(kMaxNotifyDelayMs,
                                  std::int64_t{1000} << std::min(waiting.entry.attempts - 1, 20));
      waiting.next_try = now + delay;
      out.push_back(waiting);
    }
    return out;
  });
  for (const auto& waiting : ready) {
    if (stopping_) return;
    const auto where = shown_address(waiting.target);
    const auto sent = attempt(waiting);
    if (sent) {
      settle(waiting, Ending::delivered);
      report_(waiting.entry.id, fmt::format("notified {}", where));
      continue;
    }
    const auto& why = sent.error().message;
    log_warn("a notification was not delivered",
             {{"to", where}, {"attempt", fmt::format("{}", waiting.entry.attempts)}, {"why", why}});
    if (waiting.entry.attempts >= kMaxNotifyAttempts ||
        sent.error().code == ErrorCode::failed_precondition) {
      settle(waiting, Ending::given_up);
      report_(waiting.entry.id, fmt::format("could not notify {}: {}; gave up after {} attempts",
                                            where, why, waiting.entry.attempts));
    } else if (waiting.entry.attempts == 1) {
      report_(waiting.entry.id,
              fmt::format("could not notify {} yet: {}; trying again", where, why));
    }
  }
}

} // namespace coalmine::notify
