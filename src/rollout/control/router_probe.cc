// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/router_probe.h"

#include <fmt/format.h>

#include <chrono>
#include <exception>
#include <optional>
#include <utility>

#include "rollout/control/start_checks.h"

namespace coalmine::rollout {
namespace {

// Another try may help.
bool may_pass(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded ||
         code == ErrorCode::resource_exhausted || code == ErrorCode::internal;
}

// A router that is not there may come back; one that names what does not exist stays wrong.
Status fits(route::Router& router, const RolloutSpec& spec) {
  if (const auto fit = router.check(); !fit) {
    if (may_pass(fit.error().code)) return {};
    return fail(ErrorCode::failed_precondition,
                fmt::format("no rollout of {} can start, its router cannot do it: {}", spec.service,
                            fit.error().message));
  }
  if (const auto now = router.read()) return check_no_traffic_yet(*now, spec);
  return {};
}

Status fits_or_why(route::Router& router, const RolloutSpec& spec) {
  try {
    return fits(router, spec);
  } catch (const std::exception& e) {
    return fail(ErrorCode::internal,
                fmt::format("the router of {} could not be asked: {}", spec.service, e.what()));
  }
}

} // namespace

RouterProbe::RouterProbe()
    : lanes_({.pool = {.name = "router-probes",
                       .threads = 2,
                       .queue_limit = 16,
                       .most_threads = 32,
                       .patience = std::chrono::milliseconds(100),
                       .stop_wait = std::chrono::milliseconds(100)},
              .per_lane = 4}) {}

void RouterProbe::stop() {
  const std::lock_guard lock(desk_->mutex);
  desk_->stopping = true;
  desk_->changed.notify_all();
}

Status RouterProbe::ask(std::shared_ptr<route::Router>& router, const RolloutSpec& spec) {
  auto answer = std::make_shared<std::optional<Status>>(); // guarded by the desk
  // Owns all that it uses: it may go on when nobody waits for it any more.
  const auto task =
      lanes_.try_submit(route::endpoint(spec.router), [desk = desk_, answer, router, spec] {
        auto said = fits_or_why(*router, spec);
        const std::lock_guard lock(desk->mutex);
        *answer = std::move(said);
        desk->changed.notify_all();
      });
  if (task != nullptr) {
    const auto limit = std::chrono::milliseconds(route::longest_call_ms(spec.router));
    std::unique_lock lock(desk_->mutex);
    desk_->changed.wait_for(lock, limit, [&] { return answer->has_value() || desk_->stopping; });
    if (answer->has_value()) return std::move(**answer);
    if (desk_->stopping) return fail(ErrorCode::unavailable, "the server is stopping");
    lock.unlock();
    lanes_.give_up(task);
  }
  router = nullptr;
  return {};
}

} // namespace coalmine::rollout
