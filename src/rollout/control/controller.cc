// SPDX-License-Identifier: Apache-2.0
#include "rollout/control/controller.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>

#include "base/check.h"
#include "base/did_you_mean.h"
#include "base/executor.h"
#include "base/guarded.h"
#include "base/log.h"
#include "rollout/control/control_thread.h"
#include "rollout/control/core.h"
#include "rollout/control/effects.h"
#include "rollout/control/notices.h"
#include "rollout/control/router_probe.h"
#include "rollout/control/start_checks.h"
#include "rollout/journal/journal.h"
#include "rollout/status.h"
#include "rollout/validate.h"
#include "route/shared_traffic.h"

namespace coalmine::rollout {
namespace {

// A list of all names helps nobody: the nearest one, else the first few.
std::string unknown_service(const std::string& name, const std::vector<RolloutSpec>& specs) {
  constexpr std::size_t kShown = 5;
  std::vector<std::string_view> known;
  for (const auto& spec : specs) known.push_back(spec.service);
  const auto close = did_you_mean(name, known);
  if (!close.empty())
    return fmt::format("no configured service is named {:?}; did you mean {}?", name, close);
  std::string some = known.empty() ? "none" : "";
  for (std::size_t i = 0; i < known.size() && i < kShown; ++i)
    some += (i == 0 ? "" : ", ") + std::string(known[i]);
  if (known.size() > kShown) some += fmt::format(", and {} more", known.size() - kShown);
  return fmt::format("no configured service is named {:?}; configured: {}", name, some);
}

// How long callers of start and command wait for the control thread and the journal.
constexpr auto kAnswerTimeout = std::chrono::seconds(10);
// The control thread looks at the Clock at least this often while something runs, so that a clock
// which jumps is noticed.
constexpr auto kLongestNap = std::chrono::milliseconds(25);
constexpr auto kIdleNap = std::chrono::milliseconds(500);

// Tasks for the control thread. post and stop: any thread; take: the control thread.
class Inbox {
 public:
  void post(Task task) {
    {
      std::lock_guard lock(mutex_);
      tasks_.push_back(std::move(task));
    }
    wake_.notify_one();
  }
  void stop() {
    {
      std::lock_guard lock(mutex_);
      stopping_ = true;
    }
    wake_.notify_one();
  }
  // Waits for tasks, at most `longest`; false: stopped.
  bool take(std::vector<Task>& out, std::chrono::milliseconds longest) {
    std::unique_lock lock(mutex_);
    wake_.wait_for(lock, longest, [this] { return stopping_ || !tasks_.empty(); });
    out.clear();
    out.swap(tasks_);
    return !stopping_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Task> tasks_;
  bool stopping_ = false;
};

// One thread (control_) owns core_ and effects_; everybody else posts tasks to it and reads
// published statuses.
class ControllerImpl final : public Controller {
 public:
  ControllerImpl(ControllerDeps deps, std::vector<RolloutSpec> specs,
                 std::unique_ptr<Journal> journal, KeptRollouts kept)
      : deps_(std::move(deps)),
        specs_(std::move(specs)),
        journal_(std::move(journal)),
        effects_(
            deps_, *journal_,
            {.post = [this](Task task) { inbox_.post(std::move(task)); },
             .deliver = [this](RolloutId id, Event event) { core_.deliver(id, event); }},
            [this](const State& state, const SharedVector<LogEntry>& log) { publish(state, log); },
            [this](RolloutId id) {
              statuses_.with([&](auto& statuses) { statuses.erase(id.value); });
            }),
        core_(deps_.clock, effects_, kept.in_memory) {}

  ~ControllerImpl() override {
    inbox_.stop();
    control_.reset(); // joins; effects_ then finishes what is under way
  }

  Status recover();
  void run() {
    control_ = std::make_unique<Executor>(
        Executor::Options{.name = "rollouts", .threads = 1, .queue_limit = 1});
    CHECK(control_->try_submit([this] { loop(); }));
  }

  Result<RolloutId> start(const StartRequest& request) override;
  Status command(RolloutId id, Command command, const std::string& actor,
                 const std::string& reason) override;
  std::vector<StatusPointer> list() const override;
  std::optional<RolloutStatus> get(RolloutId id) const override;
  std::vector<RolloutSpec> specs() const override { return specs_; }
  std::vector<std::string> troubles() const override { return effects_.troubles(); }
  std::function<void()> subscribe(std::function<void(const RolloutStatus&)> on_change) override;
  void arrived(const std::string& service) override;
  void prepare_stop() override {
    probe_.stop();
    effects_.prepare_stop();
  }

 private:
  struct Subscribers {
    std::map<std::uint64_t, std::function<void(const RolloutStatus&)>> by_number;
    std::uint64_t next = 1;
  };
  void loop();
  void publish(const State& state, const SharedVector<LogEntry>& log);
  Result<event::Start> prepare(const StartRequest& request) const;
  std::vector<std::string> doubts_of(const event::Start& start) const;
  void begin(event::Start start, std::shared_ptr<route::Router> router,
             std::vector<std::string> doubts, std::function<void(Result<RolloutId>)> reply);
  void perform(RolloutId id, event::Commanded command, std::function<void(Status)> reply);
  Status may_undo(RolloutId id) const;
  Status prepare_undo(RolloutId id);

  // Const after construction.
  const ControllerDeps deps_;
  const std::vector<RolloutSpec> specs_;
  const std::unique_ptr<Journal> journal_;
  // Own synchronisation.
  Inbox inbox_;
  RouterProbe probe_;
  Guarded<std::map<std::uint64_t, StatusPointer>> statuses_;
  // Held while subscribers are called, so that nobody is called after having unsubscribed.
  std::shared_ptr<Guarded<Subscribers>> subscribers_ = std::make_shared<Guarded<Subscribers>>();
  // Services with a running rollout; true: a task for the control thread waits already.
  Guarded<std::map<std::string, bool, std::less<>>> watched_;
  // Control thread only, and recover() before that thread starts.
  std::uint64_t newest_id_ = 0;
  Effects effects_;
  Core core_;
  // Last: its task uses the members above.
  std::unique_ptr<Executor> control_;
};

Status ControllerImpl::recover() {
  TRY_ASSIGN(newest_id_, journal_->newest_id());
  TRY_ASSIGN(auto stored, journal_->load());
  TRY_ASSIGN(auto undelivered, journal_->undelivered());
  std::map<std::uint64_t, std::shared_ptr<const RolloutSpec>> specs;
  for (auto& rollout : stored) {
    auto spec = *rollout.state.plan.spec;
    restore_targets(spec, specs_);
    rollout.state.plan.spec = std::make_shared<const RolloutSpec>(std::move(spec));
    specs[rollout.state.plan.id.value] = rollout.state.plan.spec;
    if (!is_terminal(rollout.state.position.phase))
      effects_.add_router(rollout.state.plan.id, router_of(*rollout.state.plan.spec), nullptr);
    core_.restore(std::move(rollout));
  }
  for (auto& entry : undelivered) {
    if (const auto it = specs.find(entry.id.value); it != specs.end())
      effects_.enqueue(std::move(entry), *it->second);
  }
  return {};
}

void ControllerImpl::loop() {
  std::vector<Task> tasks;
  for (;;) {
    const auto due = std::min(core_.due(), effects_.due());
    auto nap = kIdleNap;
    if (due != INT64_MAX) {
      nap = std::clamp(std::chrono::milliseconds(due - deps_.clock.steady_ms()),
                       std::chrono::milliseconds(1), kLongestNap);
    }
    if (!inbox_.take(tasks, nap)) return;
    // What throws loses itself alone.
    const auto guarded = [](auto&& work) {
      try {
        work();
      } catch (const std::exception& e) {
        log_error("an event of a rollout failed", {{"what", e.what()}});
      }
    };
    for (auto& task : tasks) guarded(task);
    guarded([this] { core_.tick(); });
    guarded([this] { effects_.tick(); });
  }
}

void ControllerImpl::arrived(const std::string& service) {
  const bool first = watched_.with([&](auto& watched) {
    const auto it = watched.find(service);
    return it != watched.end() && !std::exchange(it->second, true);
  });
  if (!first) return;
  inbox_.post([this, service] {
    watched_.with([&](auto& watched) {
      if (const auto it = watched.find(service); it != watched.end()) it->second = false;
    });
    core_.arrived(service, effects_.look_cost_us());
  });
}

void ControllerImpl::publish(const State& state, const SharedVector<LogEntry>& log) {
  const auto& service = state.plan.spec->service;
  // A late line of one that has ended does not end the watch of the next one.
  const bool runs = core_.running(service) != nullptr;
  watched_.with([&](auto& watched) {
    if (!runs) {
      watched.erase(service);
    } else {
      watched.try_emplace(service, false);
    }
  });
  auto status = std::make_shared<const RolloutStatus>(make_status(state, log));
  statuses_.with([&](auto& statuses) { statuses[state.plan.id.value] = status; });
  subscribers_->with([&](const Subscribers& subscribers) {
    for (const auto& [number, on_change] : subscribers.by_number) on_change(*status);
  });
}

Result<event::Start> ControllerImpl::prepare(const StartRequest& request) const {
  const auto spec = std::ranges::find(specs_, request.service, &RolloutSpec::service);
  if (spec == specs_.end()) {
    return fail(ErrorCode::not_found, unknown_service(request.service, specs_));
  }
  TRY(validate_spec(*spec));
  event::Start start;
  start.spec = std::make_shared<const RolloutSpec>(*spec);
  start.canary_version = request.canary_version;
  start.stable_version = request.stable_version;
  // What reports now is the best guess, and the track's first telemetry in the rollout decides.
  const auto guess = [&](Track track, std::string& version, bool& open) {
    if (!version.empty() || !deps_.versions) return;
    const auto seen = deps_.versions(*spec, track);
    if (!seen) return;
    version = newest_reporting(*seen);
    open = true;
  };
  guess(Track::canary, start.canary_version, start.canary_open);
  guess(Track::stable, start.stable_version, start.stable_open);
  TRY(check_versions(start, request.canary_version.empty() || request.stable_version.empty()));
  start.actor = request.actor.empty() ? "cli" : request.actor;
  return start;
}

Result<RolloutId> ControllerImpl::start(const StartRequest& request) {
  TRY_ASSIGN(auto prepared, prepare(request));
  TRY_ASSIGN(std::shared_ptr<route::Router> router, deps_.make_router(router_of(*prepared.spec)));
  TRY(probe_.ask(router, *prepared.spec));
  auto answer = std::make_shared<std::promise<Result<RolloutId>>>();
  auto result = answer->get_future();
  auto doubts = doubts_of(prepared); // asks the store: not on the control thread
  if (deps_.telemetry_doubts) {
    for (auto& doubt : deps_.telemetry_doubts(*prepared.spec)) doubts.push_back(std::move(doubt));
  }
  inbox_.post([this, answer, prepared = std::move(prepared), router = std::move(router),
               doubts = std::move(doubts)]() mutable {
    begin(std::move(prepared), std::move(router), std::move(doubts),
          [answer](Result<RolloutId> id) { answer->set_value(std::move(id)); });
  });
  if (result.wait_for(kAnswerTimeout) != std::future_status::ready) {
    return fail(
        ErrorCode::deadline_exceeded,
        "the rollout was asked for, but the journal has not answered in 10 s; see rollout list");
  }
  return result.get();
}

std::vector<std::string> ControllerImpl::doubts_of(const event::Start& start) const {
  std::vector<std::string> out;
  if (!deps_.versions) return out;
  for (const auto track : {Track::canary, Track::stable}) {
    const auto& version = track == Track::canary ? start.canary_version : start.stable_version;
    if (auto doubt = unreported_version(track, version, deps_.versions(*start.spec, track)))
      out.push_back(std::move(*doubt));
  }
  return out;
}

void ControllerImpl::begin(event::Start start, std::shared_ptr<route::Router> router,
                           std::vector<std::string> doubts,
                           std::function<void(Result<RolloutId>)> reply) {
  if (const auto* running = core_.running(start.spec->service)) {
    reply(fail(
        ErrorCode::already_exists,
        fmt::format("{} has a rollout already: {} is {} at step {}; wait for its end or abort it",
                    start.spec->service, running->plan.id.value, to_string(running->position.phase),
                    running->position.step + 1)));
    return;
  }
  const auto traffic = route::traffic_of(start.spec->router);
  if (const auto* other = traffic ? core_.running_on(*traffic) : nullptr) {
    reply(fail(ErrorCode::failed_precondition,
               fmt::format("rollout {} of {} moves the same traffic, {}: each would undo the "
                           "other's weights; wait for its end or abort it, and give each service a "
                           "backend of its own",
                           other->plan.id.value, other->plan.spec->service, *traffic)));
    return;
  }
  const RolloutId id{++newest_id_};
  start.id = id;
  effects_.add_router(id, router_of(*start.spec), std::move(router));
  core_.start(std::move(start));
  for (auto& doubt : doubts) {
    log_warn("a rollout starts in doubt",
             {{"rollout", fmt::format("{}", id.value)}, {"why", doubt}});
    core_.deliver(id, event::Noted{"warning", std::move(doubt)});
  }
  effects_.when_synced(
      id, core_.find(id)->sequence, [this, id, reply = std::move(reply)](const Status& status) {
        if (status) {
          reply(id);
          return;
        }
        // The router has not been called yet: the rollout never was.
        effects_.forget(id);
        core_.drop(id);
        statuses_.with([&](auto& statuses) { statuses.erase(id.value); });
        reply(fail(ErrorCode::unavailable,
                   fmt::format("no rollout can start: {}", status.error().message)));
      });
}

Status ControllerImpl::command(RolloutId id, Command command, const std::string& actor,
                               const std::string& reason) {
  if (command == Command::undo) TRY(may_undo(id));
  auto answer = std::make_shared<std::promise<Status>>();
  auto result = answer->get_future();
  inbox_.post([this, answer, id, command, actor, reason] {
    perform(id, {command, actor.empty() ? "someone" : actor, reason},
            [answer](Status status) { answer->set_value(std::move(status)); });
  });
  if (result.wait_for(kAnswerTimeout) != std::future_status::ready) {
    return fail(
        ErrorCode::deadline_exceeded,
        "the command was taken, but the journal has not answered in 10 s; see rollout status");
  }
  return result.get();
}

// Somebody may have handed the traffic over since, or have brought the new version to the servers
// of stable: then there is nothing to go back to. What cannot be known is no ground to move
// traffic.
Status ControllerImpl::may_undo(RolloutId id) const {
  const auto status = get(id);
  if (!status || status->phase != Phase::promoted || !status->moves_traffic) return {};
  const auto no = [&](const std::string& why) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("rollout {} cannot be taken back: {}", id.value, why));
  };
  const auto spec = std::ranges::find(specs_, status->service, &RolloutSpec::service);
  if (spec == specs_.end())
    return no(fmt::format("{} is not configured any more", status->service));
  const auto router = deps_.make_router(router_of(*spec));
  if (!router) return no(router.error().message);
  if (const auto fit = (*router)->check(); !fit)
    return no(fmt::format("the router does not say that stable is there: {}", fit.error().message));
  const auto now = (*router)->read();
  if (!now)
    return no(fmt::format("the router does not say that stable is there: {}", now.error().message));
  if (now->canary <= 0) {
    return no(
        "the router gives the canary 0% already, so the traffic was moved after it ended; "
        "there is nothing to take back");
  }
  if (!now->stable_down.empty())
    return no(now->stable_down + "; bring one up with the old version and try again");
  const auto seen = deps_.versions ? deps_.versions(*spec, Track::stable) : std::nullopt;
  if (auto other = seen ? other_than(status->stable_version, *seen) : ""; !other.empty()) {
    return no(
        fmt::format("stable reports as version {} now, not {}, so the old release is not "
                    "there; bring {} to the servers of stable and try again",
                    other, status->stable_version, status->stable_version));
  }
  return {};
}

// Its router was let go when it ended. Two rollouts never move one traffic.
Status ControllerImpl::prepare_undo(RolloutId id) {
  const auto& spec = *core_.find(id)->plan.spec;
  for (const auto& other : list()) {
    if (other->service != spec.service || other->id.value <= id.value) continue;
    return fail(ErrorCode::failed_precondition,
                fmt::format("rollout {} of {} came after it: undo takes back the newest release "
                            "only; abort ends one that runs",
                            other->id.value, spec.service));
  }
  const auto traffic = route::traffic_of(spec.router);
  if (const auto* other = traffic ? core_.running_on(*traffic) : nullptr) {
    return fail(ErrorCode::failed_precondition,
                fmt::format("rollout {} of {} moves the same traffic, {}; wait for its end or "
                            "abort it",
                            other->plan.id.value, other->plan.spec->service, *traffic));
  }
  effects_.add_router(id, router_of(spec), nullptr);
  return {};
}

void ControllerImpl::perform(RolloutId id, event::Commanded command,
                             std::function<void(Status)> reply) {
  const auto kind = command.command;
  const auto* before = core_.find(id);
  const auto sequence = before == nullptr ? 0 : before->sequence;
  if (kind == Command::undo && before != nullptr && before->position.phase == Phase::promoted) {
    if (auto status = prepare_undo(id); !status) {
      reply(std::move(status));
      return;
    }
  }
  if (auto status = core_.command(id, command); !status) {
    reply(std::move(status));
    return;
  }
  const auto now_at = core_.find(id)->sequence;
  if (now_at == sequence) { // it was so already
    reply({});
    return;
  }
  effects_.when_synced(id, now_at, [kind, reply = std::move(reply)](const Status& status) {
    // Towards safety a broken disk is no obstacle: the record follows.
    const bool safe = kind == Command::abort || kind == Command::pause ||
                      kind == Command::abandon || kind == Command::undo;
    if (status || safe) {
      reply({});
    } else {
      reply(fail(ErrorCode::unavailable,
                 fmt::format("the command was taken, but the journal could not record it yet; no "
                             "weight rises before that: {}",
                             status.error().message)));
    }
  });
}

std::vector<StatusPointer> ControllerImpl::list() const {
  return statuses_.with([](const auto& statuses) {
    std::vector<StatusPointer> out;
    out.reserve(statuses.size());
    for (auto it = statuses.rbegin(); it != statuses.rend(); ++it) out.push_back(it->second);
    return out;
  });
}

std::optional<RolloutStatus> ControllerImpl::get(RolloutId id) const {
  const auto status = statuses_.with([&](const auto& statuses) -> StatusPointer {
    const auto it = statuses.find(id.value);
    return it == statuses.end() ? nullptr : it->second;
  });
  if (status == nullptr) return std::nullopt;
  return *status;
}

std::function<void()> ControllerImpl::subscribe(
    std::function<void(const RolloutStatus&)> on_change) {
  const auto number = subscribers_->with([&](Subscribers& subscribers) {
    const auto n = subscribers.next++;
    subscribers.by_number.emplace(n, std::move(on_change));
    return n;
  });
  return [held = std::weak_ptr(subscribers_), number] {
    if (const auto subscribers = held.lock())
      subscribers->with([&](Subscribers& s) { s.by_number.erase(number); });
  };
}

} // namespace

Result<std::unique_ptr<Controller>> Controller::open(ControllerOptions options, ControllerDeps deps,
                                                     std::vector<RolloutSpec> specs) {
  TRY_ASSIGN(auto journal, open_journal({.directory = options.journal_directory,
                                         .reserve_bytes = options.reserve_bytes,
                                         .kept = options.kept,
                                         .sync = true}));
  auto controller = std::make_unique<ControllerImpl>(std::move(deps), std::move(specs),
                                                     std::move(journal), options.kept);
  TRY(controller->recover());
  controller->run();
  return Result<std::unique_ptr<Controller>>(std::move(controller));
}

} // namespace coalmine::rollout
