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

// In the report of an entry that was given up.
inline constexpr std::string_view kGaveUp = "; gave up after ";

// Delivers entries with retries. deliver may block as long as the target takes (10 s). Safe from
// any thread. outbox, http, clock and metrics outlive it.
class Notifier {
 public:
  // One sentence on what became of an entry, for the rollout's log; on the thread of deliver.
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
  // An entry that is due. It is not due again before deliver or put_back.
  struct Delivery {
    OutboxEntry entry;
    Target target;
  };
  std::vector<Delivery> take_due();
  // One attempt. Entries of one target are delivered one after the other, in the order taken.
  void deliver(const Delivery& delivery);
  // Not tried: due again in a second.
  void put_back(const Delivery& delivery);
  // Steady; INT64_MAX: nothing waits.
  std::int64_t due() const;
  // A sentence for each target to which an attempt failed and another one waits.
  std::vector<std::string> undelivered() const;
  // No attempt begins after this, and one under way that fails is as if it had not been: what was
  // not delivered is sent after the next start.
  void stop() { stopping_ = true; }

 private:
  struct Waiting {
    Delivery delivery;
    std::int64_t next_try = 0; // steady; INT64_MAX: taken
  };
  struct Queue {
    std::vector<Waiting> waiting;
  };
  Status attempt(const Delivery& delivery);
  void settle(const OutboxEntry& entry, Ending ending);
  void try_again_in(const OutboxEntry& entry, std::int64_t delay_ms);

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
