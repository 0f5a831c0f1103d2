// A controller with a router, a store and an HTTP client in memory.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <filesystem>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "base/guarded.h"
#include "base/hang_for_test.h"
#include "base/log.h"
#include "base/temp_dir_for_test.h"
#include "net/unkind_client_for_test.h"
#include "rollout/control/controller.h"

namespace coalmine::rollout {

using std::chrono::steady_clock;

// A router with a memory that outlives the controllers using it.
struct RouterMemory {
  std::atomic<double> weight = 0;
  std::atomic<bool> down = false;
  std::atomic<bool> wrong = false; // it has no such backend
  std::atomic<bool> stable_down = false;
};
class MemoryRouter final : public route::Router {
 public:
  explicit MemoryRouter(RouterMemory& memory) : memory_(memory) {}
  std::string describe() const override { return "memory"; }
  Result<route::Applied> set(route::Weight weight) override {
    if (memory_.down) return fail(ErrorCode::unavailable, "connection refused");
    memory_.weight = weight.canary;
    return route::Applied{.asked = weight, .applied = weight, .elapsed_ms = 0, .detail = "set"};
  }
  Result<route::Applied> panic() override { return set({0}); }
  Result<route::Weight> read() override {
    if (memory_.wrong) return fail(ErrorCode::not_found, "no backend shop");
    if (memory_.down) return fail(ErrorCode::unavailable, "connection refused");
    return route::Weight{memory_.weight, "",
                         memory_.stable_down ? "no stable server is up: stable1 DOWN" : ""};
  }

 private:
  RouterMemory& memory_;
};

// 1,000 requests a look on each track, new every time.
class SteadySource final : public cohort::CohortSource {
 public:
  std::atomic<double> canary_error_rate = 0;
  std::atomic<bool> down = false;
  // Whether counts of what has this value were asked for.
  bool asked_for(const std::string& value) const {
    return asked_.with([&](const auto& asked) { return asked.contains(value); });
  }
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t,
                                      std::int64_t to_ms) const override {
    if (down) return fail(ErrorCode::unavailable, "store is gone");
    bool canary = false;
    for (const auto& m : cohort.matchers) canary = canary || m.value == "canary";
    asked_.with([&](auto& asked) {
      for (const auto& m : cohort.matchers) asked.insert(m.value);
    });
    static const auto kBounds =
        std::make_shared<const std::vector<double>>(std::vector<double>{100});
    cohort::CohortCounts out;
    out.routes = {{.route = "/pay",
                   .counts = {.has_data = true,
                              .requests = 1000,
                              .errors = canary ? 1000 * canary_error_rate.load() : 0,
                              .bounds_ms = kBounds,
                              .bucket_counts = {1000, 0}}}};
    out.first_ms = 1;
    out.last_ms = to_ms;
    out.any_series = true;
    return out;
  }

 private:
  mutable Guarded<std::set<std::string>> asked_;
};

// Lets everyone wait, and then does not answer.
class HangingMetrics final : public cohort::MetricSource {
 public:
  mutable std::atomic<int> asked = 0;
  Result<cohort::RatioCounts> ratio(const cohort::CohortSelector&, const std::string&,
                                    const std::string&, std::int64_t, std::int64_t) const override {
    return hang();
  }
  Result<std::optional<double>> value(std::string_view, const cohort::SignalScope&,
                                      std::int64_t) const override {
    return hang();
  }

 private:
  std::unexpected<Error> hang() const {
    ++asked;
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return fail(ErrorCode::deadline_exceeded, "no answer in 300 ms");
  }
};

class RecordingHttp final : public net::HttpClient {
 public:
  std::atomic<int> failures_left = 0;
  Hang dead;                         // whoever asks a dead host
  std::atomic<bool> is_back = false; // the dead host
  Result<net::HttpResponse> fetch(const net::ClientRequest& request) override {
    if (request.url.contains("dead") && !is_back) {
      dead.wait();
      return fail(ErrorCode::deadline_exceeded, "no answer");
    }
    if (failures_left > 0) {
      --failures_left;
      return net::unkind_failure(request);
    }
    requests_.with([&](auto& all) { all.push_back(request); });
    return net::HttpResponse{.status = 200, .headers = {}, .body = ""};
  }
  Status stream(const net::ClientRequest&, const std::function<bool(std::string_view)>&) override {
    return {};
  }
  std::vector<net::ClientRequest> requests() const {
    return requests_.with([](const auto& all) { return all; });
  }

 private:
  Guarded<std::vector<net::ClientRequest>> requests_;
};

inline StartRequest request_of(std::string service, std::string canary = "",
                               std::string stable = "") {
  StartRequest request;
  request.service = std::move(service);
  request.canary_version = std::move(canary);
  request.stable_version = std::move(stable);
  return request;
}

inline notify::Target webhook_to(std::string url, std::string secret = "",
                                 std::vector<std::string> events = {}) {
  return {.kind = notify::Target::Kind::webhook,
          .url = std::move(url),
          .secret = std::move(secret),
          .events = std::move(events)};
}
inline notify::Target slack_at(std::string url, std::vector<std::string> events = {}) {
  return {.kind = notify::Target::Kind::slack,
          .url = std::move(url),
          .secret = "",
          .events = std::move(events)};
}

class ControllerTest : public ::testing::Test {
 protected:
  ControllerTest() {
    set_log_level(LogLevel::off);
    spec_ = default_spec("checkout-service");
    spec_.steps = {{.weight = 0.05, .analyze_ms = 300},
                   {.weight = 0.5, .analyze_ms = 300},
                   {.weight = 1, .analyze_ms = 0}};
    spec_.look_interval_ms = 50;
    spec_.router = route::HaproxyOptions{};
  }
  ~ControllerTest() override { controller_.reset(); }

  ControllerDeps deps() {
    return {
        .clock = clock_,
        .cohorts = source_,
        .make_router =
            [this](const route::RouterOptions&) -> Result<std::unique_ptr<route::Router>> {
          return Result<std::unique_ptr<route::Router>>(std::make_unique<MemoryRouter>(router_));
        },
        .http = http_,
        .metrics = metrics_,
        .on_look = [this](const RolloutStatus&, const judge::Judgement&) { ++looks_; },
        .own_metrics = own_metrics_};
  }
  void open() { open(deps(), {spec_}); }
  void open(ControllerDeps with, std::vector<RolloutSpec> specs) {
    controller_.reset();
    auto opened = Controller::open({.journal_directory = directory_.string(), .reserve_bytes = 0},
                                   std::move(with), std::move(specs));
    ASSERT_TRUE(opened) << opened.error().message;
    controller_ = std::move(*opened);
  }
  RolloutId start() {
    const auto id = controller_->start(request_of("checkout-service", "2.4.0", "2.3.0"));
    EXPECT_TRUE(id) << (id ? "" : id.error().message);
    return id.value_or(RolloutId{});
  }
  // A version that reports, of which telemetry came in just now.
  static std::optional<SeenVersions> seen_now(std::string version) {
    return SeenVersions{{.version = std::move(version),
                         .first_ms = 5,
                         .last_ms = 5,
                         .arrival_ms = INT64_MAX,
                         .reports = true}};
  }
  template <typename F>
  ::testing::AssertionResult eventually(F condition) {
    const auto deadline = steady_clock::now() + std::chrono::seconds(20);
    while (steady_clock::now() < deadline) {
      if (condition()) return ::testing::AssertionSuccess();
      std::unique_lock lock(mutex_);
      changed_.wait_for(lock, std::chrono::milliseconds(10));
    }
    return ::testing::AssertionFailure() << "not within 20 s";
  }
  ::testing::AssertionResult reaches(RolloutId id, Phase phase) {
    auto result = eventually([&] { return controller_->get(id)->phase == phase; });
    if (!result)
      result << ": " << to_string(controller_->get(id)->phase) << ": "
             << controller_->get(id)->reason;
    return result;
  }

  const cohort::MetricSource* own_metrics_ = nullptr;
  const TempDir temporary_;
  const std::filesystem::path directory_ = temporary_.path();
  std::mutex mutex_;
  std::condition_variable changed_;
  SystemClock clock_;
  ManualClock manual_; // like all that a controller uses, it outlives controller_
  SelfMetrics metrics_;
  RouterMemory router_;
  SteadySource source_;
  RecordingHttp http_;
  std::atomic<int> looks_ = 0;
  RolloutSpec spec_;
  std::unique_ptr<Controller> controller_;
};

} // namespace coalmine::rollout
