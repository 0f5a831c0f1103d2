// Delivers notifications from a transactional outbox: at least once, and never in the way of a
// rollback.
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
#include "notify/outbox.h"

namespace coalmine::notify {

// Delivers entries with retries. deliver_due is called by one thread at a time and may block as
// long as the targets take (10 s each); everything else is for any thread. outbox, http, clock and
// metrics outlive it.
class Notifier {
 public:
  // One sentence on what became of an entry, for the rollout's log; on the thread of deliver_due.
  using Report = std::function<void(RolloutId, std::string text)>;
  Notifier(Outbox& outbox, net::HttpClient& http, const Clock& clock, SelfMetrics& metrics,
           Report report)
      : outbox_(outbox),
        http_(http),
        clock_(clock),
        metrics_(metrics),
        report_(std::move(report)) {}

  // target: with its secret. An entry that waits already is not queued twice.
  void enqueue(OutboxEntry entry, Target target);
  // One attempt for every entry that is due.
  void deliver_due();
  // Steady; INT64_MAX: nothing waits.
  std::int64_t due() const;
  // No attempt begins after this; what waits is sent after the next start.
  void stop() { stopping_ = true; }

 private:
  struct Waiting {
    OutboxEntry entry;
    Target target;
    std::int64_t next_try = 0; // steady
  };
  struct Queue {
    std::vector<Waiting> waiting;
  };
  Status attempt(const Waiting& waiting);
  void settle(const Waiting& waiting, Ending ending);

  // Const after construction.
  Outbox& outbox_;
  net::HttpClient& http_;
  const Clock& clock_;
  SelfMetrics& metrics_;
  const Report report_;
  // Own synchronisation.
  std::atomic<bool> stopping_ = false;
  Guarded<Queue> queue_;
};

inline constexpr int kMaxNotifyAttempts = 30; // about two hours
inline constexpr std::int64_t kMaxNotifyDelayMs = 300'000;
inline constexpr std::size_t kMaxWaitingNotices = 10'000;

} // namespace coalmine::notify
