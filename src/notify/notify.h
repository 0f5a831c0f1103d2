// Telling people: signed webhooks and Slack-compatible webhooks, from a transactional outbox, at
// least once, never in the way of a rollback.
//
// webhook: POST with body {"event", "event_id", "time_ms", "text", "rollout": Rollout} and the
// headers
//   X-Coalmine-Event-Id: 42-17-0          the same in every attempt
//   X-Coalmine-Timestamp: 1700000000      Unix seconds of this attempt
//   X-Coalmine-Signature: sha256=HEX      HMAC-SHA256 of the body, when the target has a secret
// slack: POST {"text": "…"}.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"
#include "base/self_metrics.h"
#include "net/http_client.h"
#include "rollout/journal/journal.h"

namespace coalmine::rollout {

// One entry for each target that wants the event. attention (a person is needed) goes to every
// target.
std::vector<OutboxEntry> make_outbox(const RolloutStatus& status, const RolloutSpec& spec,
                                     const std::vector<Notice>& notices, std::uint64_t sequence,
                                     std::int64_t now_ms);
// HMAC-SHA256 in lower-case hex.
std::string hmac_sha256_hex(std::string_view key, std::string_view message);

// Delivers entries with retries. enqueue is called from any thread; deliver_due on one effect
// thread at a time and may block as long as the targets take (10 s each). journal, http, clock and
// metrics outlive it.
class Notifier {
 public:
  // kind "notify", one sentence: for the rollout's log.
  using Told = std::function<void(RolloutId, std::string text)>;
  Notifier(Journal& journal, net::HttpClient& http, const Clock& clock, SelfMetrics& metrics,
           Told told)
      : journal_(journal), http_(http), clock_(clock), metrics_(metrics), told_(std::move(told)) {}

  // target: with its secret. An entry that waits already is not queued twice.
  void enqueue(OutboxEntry entry, NotifySpec target);
  // One attempt for every entry that is due.
  void deliver_due();
  // Steady; INT64_MAX: nothing waits.
  std::int64_t due() const;
  // No attempt begins after this; what waits is sent after the next start.
  void stop() { stopping_ = true; }

 private:
  struct Waiting {
    OutboxEntry entry;
    NotifySpec target;
    std::int64_t next_try = 0; // steady
  };
  struct Queue {
    std::vector<Waiting> waiting;
  };
  Status attempt(const Waiting& waiting);
  void settle(const Waiting& waiting, bool given_up);

  Journal& journal_;
  net::HttpClient& http_;
  const Clock& clock_;
  SelfMetrics& metrics_;
  const Told told_;
  std::atomic<bool> stopping_ = false;
  Guarded<Queue> queue_;
};

inline constexpr int kMaxNotifyAttempts = 30; // about two hours
inline constexpr std::int64_t kMaxNotifyDelayMs = 300'000;
inline constexpr std::size_t kMaxWaitingNotices = 10'000;

} // namespace coalmine::rollout
