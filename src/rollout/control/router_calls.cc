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
      pool_({.name = "routers", .threads = 4, .queue_limit = kEffectQueueLimit}) {}

void RouterCalls::add(RolloutId id, const route::RouterOptions& options,
                      std::unique_ptr<route::Router> router) {
  auto slot = std::make_shared<Slot>();
  slot->options = options;
  slot->router.with([&](auto& held) { held = std::move(router); });
  slots_[id.value] = std::move(slot);
}

void RouterCalls::remove(RolloutId id) {
  const auto it = slots_.find(id.value);
  if (it == slots_.end()) return;
  it->second->is_removed = true;
  slots_.erase(it);
}

Result<std::shared_ptr<route::Router>> RouterCalls::router_of(Slot& slot) const {
  return slot.router.with(
      [&](std::shared_ptr<route::Router>& held) -> Result<std::shared_ptr<route::Router>> {
        if (held == nullptr) {
          TRY_ASSIGN(held, deps_.make_router(slot.options));
        }
        return held;
      });
}

event::RouterDone RouterCalls::run(Slot& slot, const effect::CallRouter& call) const {
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

void RouterCalls::call(RolloutId id, const effect::CallRouter& call) {
  const auto it = slots_.find(id.value);
  CHECK(it != slots_.end());
  const bool accepted = pool_.try_submit([this, id, call, slot = it->second] {
    auto done = run(*slot, call);
    deps_.metrics
        .counter(
            "coalmine_router_calls_total", "Calls of traffic routers.",
            {{"op", std::string(to_string(call.op))}, {"outcome", done.error ? "error" : "ok"}})
        .add();
    control_.answer(id, std::move(done));
  });
  if (accepted) return;
  control_.answer(
      id, event::RouterDone{.op = call.op,
                            .epoch = call.epoch,
                            .error = Error{ErrorCode::unavailable, "too many router calls wait"},
                            .applied = 0,
                            .detail = ""});
}

} // namespace coalmine::rollout
