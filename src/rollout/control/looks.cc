// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/looks.h"

#include <time.h>

#include <exception>
#include <utility>

#include "base/log.h"
#include "rollout/evidence/kept_feed.h"
#include "rollout/evidence/metric_reader.h"
#include "rollout/status.h"

namespace coalmine::rollout {
namespace {

// CPU time of this thread, not of the Clock: a Clock that a test moves by hand shows no cost.
std::int64_t thread_cpu_us() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return now.tv_sec * 1'000'000 + now.tv_nsec / 1000;
}

} // namespace

Looks::Looks(const ControllerDeps& deps, const ControlThread& control, CellBook& book)
    : deps_(deps),
      control_(control),
      book_(book),
      // A look that waits for a slow store or metric makes room for another one.
      pool_({.name = "looks", .threads = 2, .queue_limit = kEffectQueueLimit, .most_threads = 32}) {
}

void Looks::remove(RolloutId id) { slots_.erase(id.value); }

std::unique_ptr<EvidenceFeed> Looks::make_feed(const State& state,
                                               const judge::Judge& judge) const {
  const auto& plan = state.plan;
  const bool wanted = judge.takes_cells() || route::moves_traffic(plan.spec->router);
  if (!wanted || deps_.feeds == nullptr) return nullptr;
  const bool with_metrics =
      judge.takes_cells() && !plan.spec->metrics.empty() && deps_.own_metrics != nullptr;
  const auto [canary_version, stable_version] = watched_versions(plan);
  auto behind = [this, spec = plan.spec, canary = canary_version, stable = stable_version,
                 started_ms = plan.started_ms, with_metrics](std::shared_ptr<const KeptPast> past) {
    auto feed = make_grid_feed(*deps_.feeds, {spec, canary, stable, started_ms, past});
    if (!with_metrics) return feed;
    return make_metric_feed(std::move(feed), *deps_.own_metrics, {spec, canary, stable},
                            past.get());
  };
  return make_kept_feed(book_.open(plan.id), std::move(behind));
}

std::unique_ptr<MetricReader> Looks::make_metrics(const State& state,
                                                  const judge::Judge& judge) const {
  const auto& plan = state.plan;
  if (judge.takes_cells() || plan.spec->metrics.empty() || deps_.own_metrics == nullptr)
    return nullptr;
  const auto [canary, stable] = watched_versions(plan);
  return std::make_unique<MetricReader>(*deps_.own_metrics, MetricScope{plan.spec, canary, stable});
}

std::shared_ptr<Looks::Slot> Looks::slot_of(const State& state) {
  auto& slot = slots_[state.plan.id.value];
  const auto [canary, stable] = watched_versions(state.plan);
  // A version became known: what was made for another one is of no use. The cells stay.
  if (slot != nullptr && (slot->canary_version != canary || slot->stable_version != stable))
    slot.reset();
  // Evidence of a judge that takes cells goes on from step to step. Without a feed its cells come
  // from the window, anew with every look.
  const bool takes_cells = slot != nullptr && slot->judge->takes_cells();
  const bool goes_on =
      slot != nullptr && (takes_cells ? slot->feed != nullptr : slot->step == state.position.step);
  if (goes_on) return slot;
  const auto before = std::exchange(slot, std::make_shared<Slot>());
  slot->step = state.position.step;
  slot->canary_version = canary;
  slot->stable_version = stable;
  slot->judge = make_step_judge(state);
  if (before != nullptr && !takes_cells) {
    slot->feed = std::move(before->feed);
    slot->metrics = std::move(before->metrics);
  }
  if (slot->feed == nullptr) slot->feed = make_feed(state, *slot->judge);
  if (slot->metrics == nullptr) slot->metrics = make_metrics(state, *slot->judge);
  return slot;
}

void Looks::export_look(RolloutStatus& status, const LookResult& result) const {
  try {
    status.judgement = result.judgement;
    status.judged_from_ms = result.from_ms;
    status.judged_ms = result.to_ms;
    deps_.on_look(status, *result.judgement);
  } catch (const std::exception& e) {
    log_warn("a look could not be exported", {{"why", e.what()}});
  }
}

LookResult Looks::run(const LookRequest& request, Slot& slot, Counter& looks) {
  const auto begun_us = thread_cpu_us();
  auto result = take_look(request, *slot.judge,
                          {.cohorts = deps_.cohorts,
                           .feed = slot.feed.get(),
                           .metrics = slot.metrics.get(),
                           .versions = deps_.versions});
  looks.add();
  // Another look may change the average between the read and the write. One lost sample does not
  // matter.
  cost_us_ = (cost_us_ * 7 + (thread_cpu_us() - begun_us)) / 8;
  return result;
}

void Looks::take(const State& state, const effect::TakeLook& look) {
  const auto id = state.plan.id;
  const auto request = make_look_request(state, look);
  auto slot = slot_of(state);
  RolloutStatus status;
  if (deps_.on_look) status = make_status(state, {});
  auto& looks =
      deps_.metrics.counter("coalmine_looks_total", "Looks of rollouts at the telemetry.");
  const bool accepted =
      pool_.try_submit([this, id, request, slot, status = std::move(status), &looks]() mutable {
        if (stopping_) return;
        auto result = run(request, *slot, looks);
        if (stopping_) return;
        if (deps_.on_look) export_look(status, result);
        control_.answer(id, event::Looked{std::move(result)});
      });
  if (accepted) return;
  LookResult none;
  none.look = look.look;
  none.step = look.step;
  none.source_error = "too many looks wait";
  control_.answer(id, event::Looked{std::move(none)});
}

} // namespace coalmine::rollout
