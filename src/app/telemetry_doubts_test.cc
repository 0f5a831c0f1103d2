// SPDX-License-Identifier: Apache-2.0
#include "app/telemetry_doubts.h"

#include <gtest/gtest.h>

#include "datasource/store_cohorts.h"
#include "store/testing.h"

namespace coalmine::app {
namespace {

TEST(ExportInterval, IsTheLongestOfTheLiveProcesses) {
  constexpr std::int64_t now = 1'700'000'000'000;
  const auto process = [&](std::string service, std::int64_t interval, std::int64_t age) {
    Presence out;
    out.service = std::move(service);
    out.last_ms = now - age;
    out.export_interval_ms = interval;
    return out;
  };
  EXPECT_EQ(export_interval_ms("shop", {}, now), 0);
  EXPECT_EQ(export_interval_ms("shop", {process("shop", 0, 0)}, now), 0) << "one export so far";
  EXPECT_EQ(export_interval_ms("shop",
                               {process("shop", 5'010, 4'000), process("shop", 15'000, 20'000),
                                process("shop", 60'000, 200'000), process("cart", 60'000, 0)},
                               now),
            15'000);
  EXPECT_EQ(export_interval_ms("shop", {process("shop", 60'004, 61'000)}, now), 60'000);
}

struct TelemetryDoubts : ::testing::Test, store::testing::Fixture {
  rollout::RolloutSpec spec = rollout::default_spec("shop");
  void SetUp() override { open(); }
  void send(const std::string& name, std::int64_t at_ms) {
    using namespace store::testing;
    append(batch(
        {point(series(resource("shop"), name, name, MetricKind::counter), kNow - 1, at_ms, 1)},
        at_ms));
  }
  std::vector<std::string> told() {
    const auto cohorts = datasource::make_store_cohort_source(*store);
    return telemetry_doubts(spec, store->presence(), *cohorts, store::testing::kNow + 90'000);
  }
};

TEST_F(TelemetryDoubts, AreNoneOfWhatIsNotThere) { EXPECT_TRUE(told().empty()); }

// The Java agent 2.10 with the JDK's server.
TEST_F(TelemetryDoubts, NameMetricsThatCountNoRequests) {
  for (const auto* name : {"jvm_a", "jvm_b", "jvm_c", "jvm_d"}) send(name, store::testing::kNow);
  ASSERT_EQ(told().size(), 1u);
  EXPECT_TRUE(
      told()[0].starts_with("telemetry of shop comes (jvm_a, jvm_b, jvm_c and 1 more), but none of "
                            "it counts HTTP requests: "))
      << told()[0];
  send(std::string(kRequestsName), store::testing::kNow);
  EXPECT_TRUE(told().empty());
}

TEST_F(TelemetryDoubts, NameAStepOfLessThanThreeExports) {
  spec.steps = {{.weight = 0.05, .analyze_ms = 120'000}, {.weight = 1}};
  for (const auto at : {0, 60'000}) {
    clock.advance_ms(at);
    send(std::string(kRequestsName), store::testing::kNow + at);
  }
  ASSERT_EQ(told().size(), 1u);
  EXPECT_TRUE(told()[0].starts_with("step 1 lasts 2m, and metrics come every 1m")) << told()[0];
}

} // namespace
} // namespace coalmine::app
