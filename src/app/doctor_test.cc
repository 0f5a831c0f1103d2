// SPDX-License-Identifier: Apache-2.0
#include "app/doctor.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace coalmine::app {
namespace {

constexpr std::int64_t kExamined = 1'700'000'000'000;

// A router that has this weight, or does not answer.
class WeightRouter final : public route::Router {
 public:
  explicit WeightRouter(Result<route::Weight> weight) : weight_(std::move(weight)) {}
  std::string describe() const override { return "haproxy /run/h.sock shop"; }
  Result<route::Applied> set(route::Weight) override {
    return fail(ErrorCode::internal, "who only looks changes nothing");
  }
  Result<route::Applied> panic() override { return set({0}); }
  Result<route::Weight> read() override { return weight_; }

 private:
  const Result<route::Weight> weight_;
};

struct DoctorTest : ::testing::Test {
  Examined on{.listening = "coalmine answers on 127.0.0.1:7070",
              .now_ms = kExamined,
              .specs = {},
              .rollouts = {},
              .presence = {},
              .misdirected = {}};
  Result<route::Weight> weight = route::Weight{0};
  rollout::SeenVersions canary{{.version = "2",
                                .first_ms = kExamined - 60'000,
                                .last_ms = kExamined - 5'000,
                                .reports = true}};
  rollout::SeenVersions stable{{.version = "1",
                                .first_ms = kExamined - 600'000,
                                .last_ms = kExamined - 5'000,
                                .reports = true}};

  void configure(const std::string& service = "shop") {
    auto spec = rollout::default_spec(service);
    spec.router = route::HaproxyOptions{};
    on.specs.push_back(spec);
    on.versions = [this](const rollout::RolloutSpec&, Track track) {
      return std::optional(track == Track::canary ? canary : stable);
    };
    on.make_router = [this](const route::RouterOptions&) {
      return Result<std::unique_ptr<route::Router>>(std::make_unique<WeightRouter>(weight));
    };
  }

  // A line a finding: "wrong shop: … → remedy".
  std::string told(const std::string& service = "") const {
    std::string out;
    for (const auto& f : examine(on, service)) {
      out += fmt::format("{} {}: {}{}\n", to_string(f.state), f.about, f.text,
                         f.remedy.empty() ? "" : " → " + f.remedy);
    }
    return out;
  }
  bool tells(const std::string& what, const std::string& service = "") const {
    return told(service).find(what) != std::string::npos;
  }
};

TEST_F(DoctorTest, ASoundServiceIsAllGood) {
  configure();
  EXPECT_EQ(told("shop"),
            "good server: coalmine answers on 127.0.0.1:7070\n"
            "good shop: stable reports: 1 (5s ago)\n"
            "good shop: canary reports: 2 (5s ago)\n"
            "good shop: the router, haproxy /run/h.sock shop, gives the canary 0%\n");
}

TEST_F(DoctorTest, AServerWithNothing) {
  EXPECT_TRUE(tells("missing server: no service is configured"));
  EXPECT_TRUE(tells("wrong server: no telemetry has come → docs/getting-started.md"));
}

TEST_F(DoctorTest, TelemetryThatIsNotThereIsToldByTrack) {
  configure();
  canary.clear();
  stable[0].reports = false;
  EXPECT_TRUE(tells("wrong shop: stable does not report now; versions seen: 1 (5s ago)"));
  EXPECT_TRUE(
      tells("missing shop: nothing has come from canary → start its processes with "
            "OTEL_RESOURCE_ATTRIBUTES=service.version=V,deployment.track=canary"))
      << "no canary between two releases is no fault";
}

TEST_F(DoctorTest, SendersThatCannotArrive) {
  on.misdirected = {{.listener = "otlp_http",
                     .address = "10.1.2.3",
                     .what = "gRPC came to the port for HTTP; send it to 4317",
                     .count = 7}};
  EXPECT_TRUE(
      tells("wrong server: 10.1.2.3 sends telemetry that cannot arrive (7 times in the "
            "last hour): gRPC came to the port for HTTP; send it to 4317"));
}

TEST_F(DoctorTest, WhatTheTelemetryLacks) {
  configure();
  on.telemetry_doubts = [](const rollout::RolloutSpec&) {
    return std::vector<std::string>{"none of it counts HTTP requests"};
  };
  EXPECT_TRUE(tells("wrong shop: none of it counts HTTP requests"));
  Presence fast;
  fast.service = "shop";
  fast.instance = "pod-1";
  fast.last_arrival_ms = kExamined;
  fast.last_ms = kExamined + 45'000;
  on.presence = {fast, fast};
  EXPECT_TRUE(
      tells("wrong shop: the clock of pod-1 is 45s ahead of this server's → set both by "
            "NTP"));
}

TEST_F(DoctorTest, RoutersThatCannotDoIt) {
  configure();
  weight = fail(ErrorCode::unavailable, "connection refused");
  EXPECT_TRUE(
      tells("wrong shop: the router, haproxy /run/h.sock shop, does not do what is asked: "
            "connection refused"));
  weight = route::Weight{1};
  EXPECT_TRUE(tells("the canary has 100% of the traffic already"));
  weight = route::Weight{0, "server stable2 is DOWN"};
  EXPECT_TRUE(
      tells("wrong shop: the requests may not be split by the weights: server stable2 is "
            "DOWN"));
}

TEST_F(DoctorTest, ARunningRolloutHasItsWeightAndItsReason) {
  configure();
  weight = route::Weight{1};
  rollout::RolloutStatus status;
  status.id = {7};
  status.service = "shop";
  status.steps.resize(2);
  status.phase = rollout::Phase::paused;
  status.reason = "paused by ann";
  on.rollouts = {std::make_shared<const rollout::RolloutStatus>(status)};
  EXPECT_TRUE(tells("gives the canary 100%"));
  EXPECT_TRUE(
      tells("missing shop: rollout 7 is paused at step 1 of 2: paused by ann → promote, "
            "resume or abort it"));
}

TEST_F(DoctorTest, AnotherStoreIsAsked) {
  configure();
  on.versions = {};
  on.ask_store = [](const rollout::RolloutSpec&) {
    return Status(fail(ErrorCode::unavailable, "no answer from http://mimir"));
  };
  EXPECT_TRUE(tells("wrong shop: the store does not answer: no answer from http://mimir"));
}

TEST_F(DoctorTest, AServiceThatIsMistyped) {
  configure();
  EXPECT_TRUE(
      tells("wrong shpo: it is not configured, and no telemetry names it → did you mean "
            "shop?",
            "shpo"));
  Presence other;
  other.service = "cart";
  on.presence = {other};
  EXPECT_TRUE(
      tells("missing cart: its telemetry comes, and no rollout of it is configured", "cart"));
  EXPECT_TRUE(tells("good server: telemetry of services without configuration comes: cart"));
}

// Of every track 90 requests, 4 of which failed.
class NinetyRequests final : public cohort::CohortSource {
 public:
  cohort::CohortCounts known;
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector&, std::int64_t,
                                      std::int64_t) const override {
    return known;
  }
};

TEST_F(DoctorTest, WhatTheTelemetryCounts) {
  configure();
  NinetyRequests source;
  source.known.any_series = true;
  source.known.routes = {{.route = "/pay", .counts = {.requests = 90, .errors = 4, .timed = 90}}};
  on.cohorts = &source;
  EXPECT_TRUE(tells("good shop: 90 requests came in the last 10m, 4 of them failed\n"));
  EXPECT_TRUE(tells("good shop: their durations come"));
  EXPECT_TRUE(tells("good shop: 1 route is named by http.route"));
  source.known.routes = {{.route = "", .counts = {.requests = 90}}};
  source.known.counted_by_spans = true;
  EXPECT_TRUE(tells("90 requests came in the last 10m, 0 of them failed (counted by spans)"));
  EXPECT_TRUE(tells("missing shop: no durations come"));
  EXPECT_TRUE(tells("missing shop: no request names its route (http.route)"));
  source.known.routes.clear();
  EXPECT_TRUE(tells("missing shop: no request came in the last 10m"));
}

TEST_F(DoctorTest, HowOftenMetricsCome) {
  configure();
  Presence one;
  one.service = "shop";
  one.export_interval_ms = 15'000;
  one.last_ms = one.last_arrival_ms = kExamined - 4'000;
  on.presence = {one};
  EXPECT_TRUE(
      tells("good shop: metrics come every 15s, the newest 4s ago; the shortest step lasts 10m"));
}

TEST_F(DoctorTest, WhatDidNotReachAnybody) {
  configure();
  on.troubles = {"the journal cannot be written"};
  rollout::RolloutStatus status;
  status.id = {7};
  status.service = "shop";
  status.phase = rollout::Phase::promoted;
  status.log = {
      {.sequence = 1, .kind = "notify", .text = "notified slack", .actor = ""},
      {.sequence = 2, .kind = "notify", .text = "could not notify x yet: refused", .actor = ""},
      {.sequence = 3,
       .kind = "notify",
       .text = "could not notify http://ci: refused; gave up after 9 attempts",
       .actor = ""}};
  on.rollouts = {std::make_shared<const rollout::RolloutStatus>(status)};
  EXPECT_TRUE(tells("wrong server: the journal cannot be written"));
  EXPECT_TRUE(tells("wrong shop: of rollout 7: could not notify http://ci: refused"));
  EXPECT_FALSE(tells("notified slack"));
  EXPECT_FALSE(tells("could not notify x yet")) << "it may have been, later";
}

TEST_F(DoctorTest, AStableThatIsDown) {
  configure();
  weight = route::Weight{1, "server stable1 is DOWN", "no stable server is up: stable1 DOWN"};
  EXPECT_TRUE(tells("wrong shop: no stable server is up: stable1 DOWN → bring a server"));
}

TEST_F(DoctorTest, AFullDisk) {
  on.disk_free_bytes = 100u << 20;
  EXPECT_TRUE(tells("wrong server: the disk of the data directory has 100 MiB left"));
  on.disk_free_bytes = 4096ULL << 20;
  EXPECT_TRUE(tells("good server: the disk of the data directory has 4096 MiB left"));
}

} // namespace
} // namespace coalmine::app
