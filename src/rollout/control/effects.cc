// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/effects.h"

#include <fmt/format.h>

#include "base/log.h"

namespace coalmine::rollout {

Effects::Effects(const ControllerDeps& deps, Journal& journal, ControlThread control,
                 OnChange on_change, OnForget on_forget)
    : deps_(deps),
      control_(std::move(control)),
      on_change_(std::move(on_change)),
      on_forget_(std::move(on_forget)),
      routers_(deps, control_),
      cells_(journal, deps.metrics),
      looks_(deps, control_, cells_),
      notices_(journal, deps, control_),
      journal_(journal, deps, control_,
               [this](const std::vector<notify::OutboxEntry>& outbox, const Status& status) {
                 notices_.tried(outbox, status);
               }) {}

// First of all, so that nothing further begins while the pools finish.
Effects::~Effects() { prepare_stop(); }

void Effects::add_router(RolloutId id, const route::RouterOptions& options,
                         std::shared_ptr<route::Router> router) {
  routers_.add(id, options, std::move(router));
}

void Effects::when_synced(RolloutId id, std::uint64_t sequence, std::function<void(Status)> reply) {
  journal_.when_synced(id, sequence, std::move(reply));
}

void Effects::forget(RolloutId id) {
  journal_.forget(id);
  routers_.remove(id);
  looks_.remove(id);
  notices_.remove(id);
}

void Effects::enqueue(notify::OutboxEntry entry, const RolloutSpec& spec) {
  notices_.enqueue(std::move(entry), spec);
}

std::vector<std::string> Effects::troubles() const {
  auto out = notices_.undelivered();
  if (const auto problem = journal_.problem(); !problem.empty()) {
    out.push_back(fmt::format(
        "the journal cannot be written, so no weight is raised until it can: {}", problem));
  }
  return out;
}

void Effects::tick() {
  const auto now_ms = deps_.clock.steady_ms();
  journal_.tick(now_ms);
  notices_.tick(now_ms);
  routers_.tick();
}

// Once when something stops answering and once when it is back: the server's log is where somebody
// looks who does not look at the rollout.
void Effects::record(JournalRecord record) {
  for (const auto& line : record.lines) {
    const bool failed = line.kind == "router_error" || line.kind == "source_error";
    if (!failed && line.kind != "router_back" && line.kind != "source_back") continue;
    const LogFields fields{{"rollout", fmt::format("{}", record.id.value)},
                           {"service", record.service},
                           {"what", line.text}};
    if (failed) {
      log_warn("a rollout waits", fields);
    } else {
      log_info("a rollout goes on", fields);
    }
  }
  journal_.record(std::move(record));
}

void Effects::call_router(const State& state, const effect::CallRouter& call) {
  routers_.call(state.plan.id, call);
}

void Effects::take_look(const State& state, const effect::TakeLook& look) {
  looks_.take(state, look);
}

void Effects::changed(const State& state, const SharedVector<LogEntry>& log) {
  notices_.set_spec(state.plan.id, state.plan.spec);
  if (is_terminal(state.position.phase)) {
    routers_.remove(state.plan.id);
    looks_.remove(state.plan.id);
    cells_.ended(state.plan.id);
  }
  on_change_(state, log);
}

void Effects::forgotten(RolloutId id) {
  notices_.remove(id);
  on_forget_(id);
}

} // namespace coalmine::rollout
