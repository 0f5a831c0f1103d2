// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/effects.h"

#include <fmt/format.h>

#include <time.h>

#include <algorithm>
#include <exception>
#include <iterator>

#include "base/check.h"
#include "base/log.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/status.h"

namespace coalmine::rollout {
namespace {

constexpr std::size_t kMaxBatch = 256;

// CPU time of this thread: what a look costs is not what a Clock says.
std::int64_t thread_cpu_us() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

Executor::Options pool(std::string name, std::size_t threads) {
  return {.name = std::move(name), .threads = threads, .queue_limit = 4096};
}

} // namespace

Effects::Effects(const ControllerDeps& deps, Journal& journal, Callbacks callbacks)
    : deps_(deps),
      journal_(journal),
      callbacks_(std::move(callbacks)),
      notifier_(journal, deps.http, deps.clock, deps.metrics,
                [this](RolloutId id, std::string text) {
                  callbacks_.post([this, id, text = std::move(text)] {
                    callbacks_.deliver(id, event::Noted{"notify", text});
                  });
                }),
      router_pool_(pool("routers", 4)),
      look_pool_(pool("looks", 2)),
      notify_pool_(pool("notify", 1)),
      journal_pool_(pool("journal", 1)) {}

Effects::~Effects() { notifier_.stop(); }

void Effects::add_router(RolloutId id, const route::RouterOptions& options,
                         std::unique_ptr<route::Router> router) {
  auto slot = std::make_shared<RouterSlot>();
  slot->options = options;
  slot->router.with([&](auto& held) { held = std::move(router); });
  routers_[id.value] = std::move(slot);
}

Result<std::shared_ptr<route::Router>> Effects::router_of(RouterSlot& slot) const {
  return slot.router.with(
      [&](std::shared_ptr<route::Router>& held) -> Result<std::shared_ptr<route::Router>> {
        if (held == nullptr) {
          TRY_ASSIGN(held, deps_.make_router(slot.options));
        }
        return held;
      });
}

event::RouterDone Effects::run_router(RouterSlot& slot, const effect::CallRouter& call) const {
  event::RouterDone done{
      .op = call.op, .epoch = call.epoch, .error = std::nullopt, .applied = 0, .detail = ""};
  try {
    auto router = router_of(slot);
    if (!router) {
      // Not the router's answer: whatever it is, it is worth another try.
      done.error = Error{ErrorCode::unavailable, router.error().message};
      return done;
    }
    if (call.op == RouterOp::read) {
      auto weight = (*router)->read();
      if (weight) done.applied = weight->canary;
      if (!weight) done.error = weight.error();
      return done;
    }
    auto applied = call.op == RouterOp::panic ? (*router)->panic() : (*router)->set({call.weight});
    if (applied) {
      done.applied = applied->applied.canary;
      done.detail = applied->detail;
    } else {
      done.error = applied.error();
    }
  } catch (const std::exception& e) {
    done.error = Error{ErrorCode::internal, fmt::format("the router call failed: {}", e.what())};
  }
  return done;
}

void Effects::call_router(const State& state, const effect::CallRouter& call) {
  const auto it = routers_.find(state.plan.id.value);
  CHECK(it != routers_.end());
  const auto id = state.plan.id;
  const bool accepted = router_pool_.try_submit([this, id, call, slot = it->second] {
    auto done = run_router(*slot, call);
    deps_.metrics
        .counter(
            "coalmine_router_calls_total", "Calls of traffic routers.",
            {{"op", std::string(to_string(call.op))}, {"outcome", done.error ? "error" : "ok"}})
        .add();
    callbacks_.post(
        [this, id, done = std::move(done)]() mutable { callbacks_.deliver(id, std::move(done)); });
  });
  if (accepted) return;
  event::RouterDone busy{.op = call.op,
                         .epoch = call.epoch,
                         .error = Error{ErrorCode::unavailable, "too many router calls wait"},
                         .applied = 0,
                         .detail = ""};
  callbacks_.post(
      [this, id, busy = std::move(busy)]() mutable { callbacks_.deliver(id, std::move(busy)); });
}

std::shared_ptr<Effects::JudgeSlot> Effects::judge_of(const State& state) {
  auto& slot = judges_[state.plan.id.value];
  // Evidence goes on from step to step; after a look that was given up it is read again from the
  // beginning.
  const bool keeps = slot != nullptr && slot->feed != nullptr && slot->judge->takes_cells();
  const bool whole_again = slot != nullptr && slot->judge->takes_cells() &&
                           !keeps; // a window's cells come anew with every look
  if (slot == nullptr || (slot->step != state.position.step && !keeps) || whole_again ||
      slot->busy) {
    // The guard of the split goes on with the feed it has; one that a look which was given up may
    // be using is left to it.
    auto feed = slot != nullptr && !slot->busy && !slot->judge->takes_cells()
                    ? std::move(slot->feed)
                    : nullptr;
    slot = std::make_shared<JudgeSlot>();
    slot->step = state.position.step;
    slot->judge = make_step_judge(state);
    slot->feed = std::move(feed);
    const bool wanted = slot->judge->takes_cells() || guards_split(*state.plan.spec);
    if (wanted && slot->feed == nullptr && deps_.feeds != nullptr) {
      slot->feed = make_grid_feed(*deps_.feeds, {state.plan.spec, state.plan.canary_version,
                                                 state.plan.stable_version, state.plan.started_ms});
      if (slot->judge->takes_cells() && !state.plan.spec->metrics.empty() &&
          deps_.own_metrics != nullptr) {
        slot->feed = make_metric_feed(
            std::move(slot->feed), *deps_.own_metrics,
            {state.plan.spec, state.plan.canary_version, state.plan.stable_version});
      }
    }
  }
  return slot;
}

void Effects::take_look(const State& state, const effect::TakeLook& look) {
  const auto id = state.plan.id;
  const auto request = make_look_request(state, look);
  auto judge = judge_of(state);
  judge->busy = true;
  RolloutStatus status;
  if (deps_.on_look) status = make_status(state, {});
  auto& looks =
      deps_.metrics.counter("coalmine_looks_total", "Looks of rollouts at the telemetry.");
  const bool accepted = look_pool_.try_submit(
      [this, id, request, judge, status = std::move(status), &looks]() mutable {
        const auto begun_us = thread_cpu_us();
        auto result = rollout::take_look(request, deps_.cohorts, *judge->judge, judge->feed.get(),
                                         deps_.own_metrics);
        looks.add();
        // Looks of other threads may change it meanwhile: an average loses nothing by that.
        look_cost_us_ = (look_cost_us_ * 7 + (thread_cpu_us() - begun_us)) / 8;
        if (deps_.on_look) {
          try {
            status.judgement = result.judgement;
            status.judged_from_ms = result.from_ms;
            status.judged_ms = result.to_ms;
            deps_.on_look(status, *result.judgement);
          } catch (const std::exception& e) {
            log_warn("a look could not be exported", {{"why", e.what()}});
          }
        }
        judge->busy = false;
        callbacks_.post([this, id, result = std::move(result)]() mutable {
          callbacks_.deliver(id, event::Looked{std::move(result)});
        });
      });
  if (accepted) return;
  judge->busy = false;
  LookResult none;
  none.look = look.look;
  none.step = look.step;
  none.source_error = "too many looks wait";
  callbacks_.post([this, id, none = std::move(none)]() mutable {
    callbacks_.deliver(id, event::Looked{std::move(none)});
  });
}

void Effects::changed(const State& state, const std::vector<LogEntry>& log) {
  specs_[state.plan.id.value] = state.plan.spec;
  if (is_terminal(state.position.phase)) {
    routers_.erase(state.plan.id.value);
    judges_.erase(state.plan.id.value);
  }
  callbacks_.changed(state, log);
}

void Effects::enqueue(notify::OutboxEntry entry, const RolloutSpec& spec) {
  if (entry.target >= spec.notify.size()) return;
  notifier_.enqueue(std::move(entry), spec.notify[entry.target]);
}

void Effects::when_synced(RolloutId id, std::uint64_t sequence, std::function<void(Status)> reply) {
  waiters_.push_back({id, sequence, std::move(reply)});
}

void Effects::forget(RolloutId id) {
  pending_.with([&](Pending& pending) {
    std::erase_if(pending.records, [&](const auto& record) { return record.id == id; });
  });
  routers_.erase(id.value);
  judges_.erase(id.value);
  specs_.erase(id.value);
}

void Effects::record(JournalRecord record) {
  specs_.try_emplace(record.id.value, nullptr);
  pending_.with([&](Pending& pending) {
    pending.records.push_back(std::move(record));
    if (pending.records.size() > kMaxPendingRecords) drop_quiet_looks(pending);
  });
  if (!journal_broken_) schedule_flush();
}

void Effects::drop_quiet_looks(Pending& pending) {
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

void Effects::schedule_flush() {
  if (flushing_) return;
  flushing_ = journal_pool_.try_submit([this] { flush(); });
  if (!flushing_) flush_at_ = deps_.clock.steady_ms() + kRetryMs;
}

void Effects::flush() {
  std::vector<JournalRecord> batch;
  pending_.with([&](Pending& pending) {
    const auto n = std::min(kMaxBatch, pending.records.size());
    std::move(pending.records.begin(), pending.records.begin() + static_cast<std::ptrdiff_t>(n),
              std::back_inserter(batch));
    pending.records.erase(pending.records.begin(),
                          pending.records.begin() + static_cast<std::ptrdiff_t>(n));
  });
  Status status;
  if (!batch.empty()) status = journal_.append(batch);
  std::vector<std::pair<RolloutId, std::uint64_t>> written;
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
  callbacks_.post(
      [this, written = std::move(written), outbox = std::move(outbox), status = std::move(status)] {
        // Notify even if the journal write failed, but only once: every retry comes by here.
        for (const auto& entry : outbox) {
          const bool first = queued_early_.insert(entry.event_id).second;
          if (status) queued_early_.erase(entry.event_id);
          const auto it = specs_.find(entry.id.value);
          if (first && it != specs_.end() && it->second != nullptr) enqueue(entry, *it->second);
        }
        flushed(written, status);
      });
}

void Effects::flushed(const std::vector<std::pair<RolloutId, std::uint64_t>>& written,
                      const Status& status) {
  flushing_ = false;
  if (!status) {
    if (!journal_broken_)
      log_error("the journal cannot be written; no weight is raised until it can",
                {{"why", status.error().message}});
    deps_.metrics.counter("coalmine_journal_errors_total", "Journal writes that failed.").add();
    journal_broken_ = true;
    flush_at_ = deps_.clock.steady_ms() + kRetryMs;
  } else {
    if (journal_broken_) log_info("the journal can be written again");
    journal_broken_ = false;
    flush_at_ = INT64_MAX;
  }
  std::vector<Waiter> ready;
  for (const auto& [id, sequence] : written) {
    const auto done = [&](const Waiter& waiter) {
      return waiter.id == id && waiter.sequence <= sequence;
    };
    const auto rest = std::stable_partition(waiters_.begin(), waiters_.end(),
                                            [&](const Waiter& w) { return !done(w); });
    std::move(rest, waiters_.end(), std::back_inserter(ready));
    waiters_.erase(rest, waiters_.end());
    if (status) callbacks_.deliver(id, event::JournalSynced{sequence});
  }
  for (auto& waiter : ready) waiter.reply(status);
  const bool more = pending_.with([](const Pending& pending) { return !pending.records.empty(); });
  if (more && !journal_broken_) schedule_flush();
}

void Effects::tick() {
  const auto now = deps_.clock.steady_ms();
  if (now >= flush_at_) {
    flush_at_ = INT64_MAX;
    schedule_flush();
  }
  if (notifying_ || now < notifier_.due()) return;
  notifying_ = true;
  const bool accepted = notify_pool_.try_submit([this] {
    notifier_.deliver_due();
    notifying_ = false;
  });
  if (!accepted) notifying_ = false;
}

std::int64_t Effects::due() const {
  return std::min(flush_at_, notifying_ ? INT64_MAX : notifier_.due());
}

} // namespace coalmine::rollout
