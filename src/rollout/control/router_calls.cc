// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/router_calls.h"

#include <fmt/format.h>

#include <exception>
#include <optional>
#include <string>
#include <utility>

#include "base/check.h"

namespace coalmine::rollout {

RouterCalls::RouterCalls(const ControllerDeps& deps, const ControlThread& control)
    : deps_(deps),
      control_(control),
      lanes_({.pool = {.name = "routers",
                       .threads = 4,
                       .queue_limit = kEffectQueueLimit,
                       .most_threads = 64,
                       .patience = std::chrono::milliseconds(100),
                       .stop_wait = std::chrono::seconds(2)},
              .per_lane = 4}) {}

RouterCalls::~RouterCalls() {
  port_->with([](RouterCalls*& self) { self = nullptr; });
}

void RouterCalls::add(RolloutId id, const route::RouterOptions& options,
                      std::shared_ptr<route::Router> router) {
  auto slot = std::make_shared<Slot>();
  slot->options = options;
  slot->make = deps_.make_router;
  slot->router.with([&](auto& held) { held = std::move(router); });
  slots_[id.value] = std::move(slot);
}

void RouterCalls::remove(RolloutId id) {
  const auto it = slots_.find(id.value);
  if (it == slots_.end()) return;
  it->second->is_removed = true;
  slots_.erase(it);
}

Result<std::shared_ptr<route::Router>> RouterCalls::router_of(Slot& slot) {
  return slot.router.with(
      [&](std::shared_ptr<route::Router>& held) -> Result<std::shared_ptr<route::Router>> {
        if (held == nullptr) {
          TRY_ASSIGN(held, slot.make(slot.options));
        }
        return held;
      });
}

event::RouterDone RouterCalls::run(Slot& slot, const effect::CallRouter& call) {
  event::RouterDone done{
      .op = call.op, .epoch = call.epoch, .error = std::nullopt, .applied = 0, .detail = ""};
  try {
    if (slot.is_removed) {
      done.error = Error{ErrorCode::unavailable, "the rollout has ended"};
      return done;
    }
    auto router = router_of(slot);
    if (!router) {
      // The router itself has not answered. Whatever the code of the error, another try is worth
      // it.
      done.error = Error{ErrorCode::unavailable, router.error().message};
      done.never_raised = true;
      return done;
    }
    if (call.op == RouterOp::read) {
      auto weight = (*router)->read();
      if (weight) {
        done.applied = weight->canary;
        done.split_cause = weight->split_cause;
      }
      if (!weight) done.error = weight.error();
      return done;
    }
    auto applied = call.op == RouterOp::panic ? (*router)->panic() : (*router)->set({call.weight});
    if (applied) {
      done.applied = applied->applied.canary;
      done.detail = applied->detail;
      done.split_cause = applied->applied.split_cause;
      done.kept = applied->kept;
    } else {
      done.error = applied.error();
    }
    done.never_raised = !(*router)->may_have_raised();
  } catch (const std::exception& e) {
    done.error = Error{ErrorCode::internal, fmt::format("the router call failed: {}", e.what())};
  }
  return done;
}

namespace {

event::RouterDone failed_call(const effect::CallRouter& call, ErrorCode code, std::string why) {
  return {.op = call.op,
          .epoch = call.epoch,
          .error = Error{code, std::move(why)},
          .applied = 0,
          .detail = ""};
}

} // namespace

void RouterCalls::call(RolloutId id, const effect::CallRouter& call) {
  const auto it = slots_.find(id.value);
  CHECK(it != slots_.end());
  const auto& options = it->second->options;
  const auto number = ++newest_;
  const auto limit_ms = route::longest_call_ms(options);
  Pending pending{
      .id = id,
      .call = call,
      .endpoint = route::endpoint(options),
      .limit_ms = limit_ms,
      .give_up_at = std::chrono::steady_clock::now() + std::chrono::milliseconds(limit_ms),
      .task = nullptr};
  // The answer comes by way of the control thread, so not before the call is pending.
  pending.task = lanes_.try_submit((call.op == RouterOp::panic ? "panic " : "") + pending.endpoint,
                                   [number, call, slot = it->second, port = port_] {
                                     auto done = run(*slot, call);
                                     port->with([&](RouterCalls* self) {
                                       if (self != nullptr) self->answered(number, std::move(done));
                                     });
                                   });
  if (pending.task == nullptr) {
    control_.answer(id, failed_call(call, ErrorCode::unavailable,
                                    fmt::format("too many calls of {} wait or hang; the next is "
                                                "made when one has ended",
                                                pending.endpoint)));
    return;
  }
  pending_.emplace(number, std::move(pending));
}

void RouterCalls::answered(std::uint64_t number, event::RouterDone done) {
  control_.post([this, number, done = std::move(done)]() mutable {
    const auto it = pending_.find(number);
    if (it == pending_.end()) return; // given up
    const auto id = it->second.id;
    pending_.erase(it);
    deliver(id, done.error ? "error" : "ok", std::move(done));
  });
}

void RouterCalls::tick() {
  const auto now = std::chrono::steady_clock::now();
  for (auto it = pending_.begin(); it != pending_.end();) {
    if (now < it->second.give_up_at) {
      ++it;
      continue;
    }
    const auto pending = std::move(it->second);
    it = pending_.erase(it);
    lanes_.give_up(pending.task);
    deliver(
        pending.id, "given_up",
        failed_call(pending.call, ErrorCode::deadline_exceeded,
                    fmt::format("{} has not answered; the call was given up after {:g} s",
                                pending.endpoint, static_cast<double>(pending.limit_ms) / 1000)));
  }
}

void RouterCalls::deliver(RolloutId id, std::string_view outcome, event::RouterDone done) {
  deps_.metrics
      .counter("coalmine_router_calls_total", "Calls of traffic routers.",
               {{"op", std::string(to_string(done.op))}, {"outcome", std::string(outcome)}})
      .add();
  control_.deliver(id, std::move(done));
}

} // namespace coalmine::rollout
