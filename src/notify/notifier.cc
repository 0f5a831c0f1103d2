// SPDX-License-Identifier: Apache-2.0
#include "notify/notifier.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <map>

#include "base/log.h"
#include "net/secrets.h"
#include "notify/channel.h"
#include "notify/target_address.h"

namespace coalmine::notify {

void Notifier::enqueue(OutboxEntry entry, Target target) {
  const bool full = queue_.with([&](Queue& queue) {
    const auto same = [&](const Waiting& w) { return w.delivery.entry.event_id == entry.event_id; };
    if (std::ranges::any_of(queue.waiting, same)) return false;
    if (queue.waiting.size() >= kMaxWaitingNotices) return true;
    queue.waiting.push_back({{std::move(entry), std::move(target)}, clock_.steady_ms()});
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

std::vector<std::string> Notifier::undelivered() const {
  std::map<std::string, std::pair<int, int>> waiting; // by address: notifications, most attempts
  queue_.with([&](const Queue& queue) {
    for (const auto& each : queue.waiting) {
      const auto& entry = each.delivery.entry;
      if (entry.attempts == 0) continue;
      auto& [count, attempts] = waiting[shown_address(each.delivery.target)];
      ++count;
      attempts = std::max(attempts, static_cast<int>(entry.attempts));
    }
  });
  std::vector<std::string> out;
  for (const auto& [address, known] : waiting) {
    out.push_back(fmt::format(
        "{} notification{} to {} could not be delivered yet, after {} attempt{}; tried again",
        known.first, known.first == 1 ? "" : "s", address, known.second,
        known.second == 1 ? "" : "s"));
  }
  return out;
}

Status Notifier::attempt(const Delivery& delivery) {
  const auto& [entry, target] = delivery;
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

void Notifier::settle(const OutboxEntry& entry, Ending ending) {
  queue_.with([&](Queue& queue) {
    std::erase_if(queue.waiting,
                  [&](const Waiting& w) { return w.delivery.entry.event_id == entry.event_id; });
  });
  const auto status = outbox_.settle(entry.event_id, entry.attempts, ending);
  if (!status)
    log_warn("a notification will be sent again after a restart",
             {{"why", status.error().message}});
  metrics_
      .counter("coalmine_notifications_total", "Notifications by how they ended.",
               {{"outcome", ending == Ending::given_up ? "given_up" : "delivered"}})
      .add();
}

std::vector<Notifier::Delivery> Notifier::take_due() {
  const auto now = clock_.steady_ms();
  return queue_.with([&](Queue& queue) {
    std::vector<Delivery> out;
    for (auto& waiting : queue.waiting) {
      if (waiting.next_try > now) continue;
      waiting.next_try = INT64_MAX;
      out.push_back(waiting.delivery);
    }
    return out;
  });
}

void Notifier::try_again_in(const OutboxEntry& entry, std::int64_t delay_ms) {
  queue_.with([&](Queue& queue) {
    for (auto& waiting : queue.waiting) {
      if (waiting.delivery.entry.event_id != entry.event_id) continue;
      waiting.delivery.entry.attempts = entry.attempts;
      waiting.next_try = clock_.steady_ms() + delay_ms;
    }
  });
}

void Notifier::put_back(const Delivery& delivery) { try_again_in(delivery.entry, 1000); }

void Notifier::deliver(const Delivery& due) {
  if (stopping_) return;
  auto delivery = due;
  const auto tried = ++delivery.entry.attempts;
  const auto where = shown_address(delivery.target);
  const auto sent = attempt(delivery);
  const auto& id = delivery.entry.id;
  if (sent) {
    settle(delivery.entry, Ending::delivered);
    report_(id, fmt::format("notified {}", where));
    return;
  }
  // It waited no longer because the process stops: the next one sends it.
  if (stopping_) return;
  const auto& why = sent.error().message;
  log_warn("a notification was not delivered",
           {{"to", where}, {"attempt", fmt::format("{}", tried)}, {"why", why}});
  if (tried >= kMaxNotifyAttempts || sent.error().code == ErrorCode::failed_precondition) {
    settle(delivery.entry, Ending::given_up);
    report_(id, fmt::format("could not notify {}: {}{}{} attempts", where, why, kGaveUp, tried));
    return;
  }
  try_again_in(delivery.entry,
               std::min(kMaxNotifyDelayMs, std::int64_t{1000} << std::min(tried - 1, 20)));
  if (tried == 1) report_(id, fmt::format("could not notify {} yet: {}; trying again", where, why));
}

} // namespace coalmine::notify
