// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/journal_writer.h"

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace coalmine::rollout {
namespace {

constexpr std::size_t kMaxBatch = 256;

} // namespace

JournalWriter::JournalWriter(Journal& journal, const ControllerDeps& deps,
                             const ControlThread& control, OnTried on_tried)
    : journal_(journal),
      deps_(deps),
      control_(control),
      on_tried_(std::move(on_tried)),
      pool_({.name = "journal", .threads = 1, .queue_limit = kEffectQueueLimit}) {}

void JournalWriter::when_synced(RolloutId id, std::uint64_t sequence,
                                std::function<void(Status)> reply) {
  waiters_.push_back({id, sequence, std::move(reply)});
}

void JournalWriter::forget(RolloutId id) {
  pending_.with([&](Pending& pending) {
    std::erase_if(pending.records, [&](const auto& record) { return record.id == id; });
  });
}

void JournalWriter::record(JournalRecord record) {
  pending_.with([&](Pending& pending) {
    pending.records.push_back(std::move(record));
    if (pending.records.size() > kMaxPendingRecords) drop_quiet_looks(pending);
  });
  if (!broken_) schedule_flush();
}

void JournalWriter::drop_quiet_looks(Pending& pending) {
  const auto quiet = [](const JournalRecord& record) {
    return std::ranges::all_of(record.lines,
                               [](const LogEntry& line) { return line.text.empty(); });
  };
  const auto dropped = std::erase_if(pending.records, quiet);
  deps_.metrics
      .counter("coalmine_journal_dropped_total",
               "Looks left out of the journal because it could not be written for too long.")
      .add(static_cast<double>(dropped));
}

void JournalWriter::schedule_flush() {
  if (flushing_) return;
  flushing_ = pool_.try_submit([this] { flush(); });
  if (!flushing_) flush_at_ = deps_.clock.steady_ms() + kRetryMs;
}

void JournalWriter::flush() {
  std::vector<JournalRecord> batch;
  pending_.with([&](Pending& pending) {
    const auto n = std::min(kMaxBatch, pending.records.size());
    std::move(pending.records.begin(), pending.records.begin() + static_cast<std::ptrdiff_t>(n),
              std::back_inserter(batch));
    pending.records.erase(pending.records.begin(),
                          pending.records.begin() + static_cast<std::ptrdiff_t>(n));
  });
  Status status;
  if (!batch.empty() || journal_.wants_upkeep()) status = journal_.append(batch);
  Written written;
  std::vector<notify::OutboxEntry> outbox;
  for (auto& record : batch) {
    written.emplace_back(record.id, record.lines.back().sequence);
    outbox.insert(outbox.end(), record.outbox.begin(), record.outbox.end());
  }
  if (!status) {
    pending_.with([&](Pending& pending) {
      pending.records.insert(pending.records.begin(), std::make_move_iterator(batch.begin()),
                             std::make_move_iterator(batch.end()));
    });
  }
  const bool is_written = status.has_value();
  control_.post(
      [this, written = std::move(written), outbox = std::move(outbox), status = std::move(status)] {
        on_tried_(outbox, status);
        flushed(written, status);
      });
  // Behind the answer: nobody waits for it. What fails is tried again after the next batch.
  if (is_written) (void)journal_.prune();
}

void JournalWriter::note_health(const Status& status) {
  problem_.with([&](std::string& problem) { problem = status ? "" : status.error().message; });
  if (!status) {
    if (!broken_)
      log_error("the journal cannot be written; no weight is raised until it can",
                {{"why", status.error().message}});
    deps_.metrics.counter("coalmine_journal_errors_total", "Journal writes that failed.").add();
    broken_ = true;
    flush_at_ = deps_.clock.steady_ms() + kRetryMs;
  } else {
    if (broken_) log_info("the journal can be written again");
    broken_ = false;
    flush_at_ = journal_.wants_upkeep() ? deps_.clock.steady_ms() + kRetryMs : INT64_MAX;
  }
}

void JournalWriter::flushed(const Written& written, const Status& status) {
  flushing_ = false;
  note_health(status);
  std::vector<Waiter> ready;
  for (const auto& [id, sequence] : written) {
    const auto done = [&](const Waiter& waiter) {
      return waiter.id == id && waiter.sequence <= sequence;
    };
    const auto rest = std::stable_partition(waiters_.begin(), waiters_.end(),
                                            [&](const Waiter& w) { return !done(w); });
    std::move(rest, waiters_.end(), std::back_inserter(ready));
    waiters_.erase(rest, waiters_.end());
    if (status) control_.deliver(id, event::JournalSynced{sequence});
  }
  for (auto& waiter : ready) waiter.reply(status);
  const bool more = pending_.with([](const Pending& pending) { return !pending.records.empty(); });
  if (more && !broken_) schedule_flush();
}

void JournalWriter::tick(std::int64_t now_ms) {
  if (now_ms < flush_at_) return;
  flush_at_ = INT64_MAX;
  schedule_flush();
}

} // namespace coalmine::rollout
