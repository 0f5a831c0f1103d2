// SPDX-License-Identifier: Apache-2.0
#include "notify/notify.h"

#include <fmt/format.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>

#include "base/hex.h"
#include "base/json_text.h"
#include "base/log.h"
#include "rollout/json.h"

namespace coalmine::rollout {
namespace {

namespace json = boost::json;

std::string_view symbol(std::string_view event) {
  if (event == "promoted") return ":white_check_mark:";
  if (event == "rolled_back") return ":rewind:";
  if (event == "aborted") return ":octagonal_sign:";
  return ":warning:";
}

std::string slack_body(const Notice& notice) {
  json::object body;
  body["text"] = json_string(fmt::format("{} {}", symbol(notice.event), notice.text));
  return json_text(body);
}

std::string webhook_body(const RolloutStatus& status, const Notice& notice,
                         const std::string& event_id, std::int64_t now_ms) {
  json::object body;
  body["event"] = json_string(notice.event);
  body["event_id"] = json_string(event_id);
  body["time_ms"] = now_ms;
  body["text"] = json_string(notice.text);
  auto rollout = parse_json(rollout_json(status, false), "rollout");
  body["rollout"] = rollout ? std::move(*rollout) : json::value(nullptr);
  return json_text(body);
}

// Scheme and host: the rest of a webhook's URL is often its secret.
std::string shown(const std::string& url) {
  const auto scheme = url.find("://");
  const auto end = url.find('/', scheme == std::string::npos ? 0 : scheme + 3);
  auto out = url.substr(0, end);
  if (const auto at = out.find('@'); at != std::string::npos && scheme != std::string::npos)
    out.erase(scheme + 3, at - scheme - 2);
  return out;
}

} // namespace

std::string hmac_sha256_hex(std::string_view key, std::string_view message) {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned int size = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(message.data()), message.size(), digest.data(),
       &size);
  return to_hex(std::span(digest).first(size));
}

std::vector<OutboxEntry> make_outbox(const RolloutStatus& status, const RolloutSpec& spec,
                                     const std::vector<Notice>& notices, std::uint64_t sequence,
                                     std::int64_t now_ms) {
  std::vector<OutboxEntry> out;
  for (std::size_t n = 0; n < notices.size(); ++n) {
    const auto& notice = notices[n];
    for (std::size_t i = 0; i < spec.notify.size(); ++i) {
      const auto& target = spec.notify[i];
      const bool wanted = target.events.empty() || notice.event == "attention" ||
                          std::ranges::find(target.events, notice.event) != target.events.end();
      if (!wanted) continue;
      OutboxEntry entry;
      entry.event_id = fmt::format("{}-{}-{}", status.id.value, sequence - n, i);
      entry.id = status.id;
      entry.target = i;
      entry.is_signed = !target.secret.empty();
      entry.created_ms = now_ms;
      entry.body = target.kind == NotifySpec::Kind::slack
                       ? slack_body(notice)
                       : webhook_body(status, notice, entry.event_id, now_ms);
      out.push_back(std::move(entry));
    }
  }
  return out;
}

void Notifier::enqueue(OutboxEntry entry, NotifySpec target) {
  const bool full = queue_.with([&](Queue& queue) {
    const auto same = [&](const Waiting& w) { return w.entry.event_id == entry.event_id; };
    if (std::ranges::any_of(queue.waiting, same)) return false;
    if (queue.waiting.size() >= kMaxWaitingNotices) return true;
    queue.waiting.push_back({std::move(entry), std::move(target), clock_.steady_ms()});
    return false;
  });
  if (full) log_error("too many notifications wait; one was left for the next start", {});
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
  if (entry.is_signed && target.secret.empty()) {
    return fail(ErrorCode::failed_precondition,
                "its secret is no longer in the configuration, and it is not sent unsigned");
  }
  net::ClientRequest request;
  request.method = "POST";
  request.url = target.url;
  request.headers = {{"Content-Type", "application/json"}};
  if (target.kind == NotifySpec::Kind::webhook) {
    request.headers.emplace_back("X-Coalmine-Event-Id", entry.event_id);
    request.headers.emplace_back("X-Coalmine-Timestamp",
                                 fmt::format("{}", clock_.wall_ms() / 1000));
    if (!target.secret.empty()) {
      request.headers.emplace_back("X-Coalmine-Signature",
                                   "sha256=" + hmac_sha256_hex(target.secret, entry.body));
    }
  }
  request.body = entry.body;
  request.timeout = std::chrono::seconds(10);
  request.max_response = 64u << 10;
  TRY_ASSIGN(const auto response, http_.fetch(request));
  if (response.status >= 200 && response.status < 300) return {};
  return fail(ErrorCode::unavailable, fmt::format("it answered {}", response.status));
}

void Notifier::settle(const Waiting& waiting, bool given_up) {
  queue_.with([&](Queue& queue) {
    std::erase_if(queue.waiting,
                  [&](const Waiting& w) { return w.entry.event_id == waiting.entry.event_id; });
  });
  const auto status = journal_.settle(waiting.entry.event_id, waiting.entry.attempts, given_up);
  if (!status)
    log_warn("a notification will be sent again after a restart",
             {{"why", status.error().message}});
  metrics_
      .counter("coalmine_notifications_total", "Notifications by how they ended.",
               {{"outcome", given_up ? "given_up" : "delivered"}})
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
    const auto where = shown(waiting.target.url);
    const auto sent = attempt(waiting);
    if (sent) {
      settle(waiting, false);
      told_(waiting.entry.id, fmt::format("told {}", where));
      continue;
    }
    const auto& why = sent.error().message;
    log_warn("a notification was not delivered",
             {{"to", where}, {"attempt", fmt::format("{}", waiting.entry.attempts)}, {"why", why}});
    if (waiting.entry.attempts >= kMaxNotifyAttempts ||
        sent.error().code == ErrorCode::failed_precondition) {
      settle(waiting, true);
      told_(waiting.entry.id, fmt::format("could not tell {}: {}; given up after {} attempts",
                                          where, why, waiting.entry.attempts));
    } else if (waiting.entry.attempts == 1) {
      told_(waiting.entry.id, fmt::format("could not tell {} yet: {}; trying again", where, why));
    }
  }
}

} // namespace coalmine::rollout
