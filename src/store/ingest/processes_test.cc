// Processes that no attribute tells apart: their counts add up, and are never taken for restarts.
// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/processes.h"

#include <gtest/gtest.h>

#include "store/ingest/derive_for_test.h"

namespace coalmine::store::testing {
namespace {

// As Go's SDK sends by itself: no service.instance.id, no host.name, no process.pid.
std::shared_ptr<const Resource> nameless(Attributes more = {}) {
  Attributes attributes = {{"service.name", std::string("shop")},
                           {"service.version", std::string("1")},
                           {"deployment.track", std::string("stable")}};
  attributes.insert(attributes.end(), more.begin(), more.end());
  return make_resource(std::move(attributes), "10.0.0.7");
}

struct ProcessesTest : DeriveTest {
  void SetUp() override {
    DeriveTest::SetUp();
    app = nameless();
  }
  // One export of a process: so many requests since its start, the second number of them failed.
  AppendResult send(std::int64_t start, std::int64_t time, std::uint64_t requests,
                    std::uint64_t failed = 0) {
    // The instruments of a process begin one after the other.
    auto points =
        std::vector{point(counter("jobs_total"), start - 1, time, static_cast<double>(requests)),
                    point(duration(request(200)), start, time,
                          classic(seconds(), {requests - failed, 0, 0, 0, 0}))};
    if (failed > 0) {
      points.push_back(
          point(duration(request(500)), start, time, classic(seconds(), {failed, 0, 0, 0, 0})));
    }
    return append(batch(std::move(points)));
  }
  double newest(std::string_view name) {
    double sum = 0;
    for (const auto& data : select(*store, name)) sum += data.floats.back().value;
    return sum;
  }
  double two_senders() { return metrics.counter("coalmine_store_two_senders_total", "").value(); }
};

TEST(NamesProcess, TakesOnePerProcess) {
  const std::string text = "x";
  EXPECT_FALSE(names_process({}));
  EXPECT_FALSE(names_process({{"host.name", text}}));
  EXPECT_FALSE(names_process({{"process.pid", std::int64_t{1}}})) << "in every container";
  EXPECT_FALSE(names_process({{"k8s.pod.name", std::string("unknown")}}));
  EXPECT_TRUE(names_process({{"host.name", text}, {"process.pid", std::int64_t{1}}}));
  EXPECT_TRUE(names_process({{"k8s.pod.name", text}}));
  EXPECT_TRUE(names_process({{"service.instance.id", text}}));
}

TEST_F(ProcessesTest, TwoOfOneAddressAddUp) {
  const auto a = kNow - 60'000;
  const auto b = kNow - 50'000;
  std::uint64_t of_a = 0;
  std::uint64_t of_b = 0;
  for (std::int64_t round = 0; round < 6; ++round) {
    const auto time = kNow + round * 30'000;
    if (round == 3) reopen();
    of_a += 10;
    of_b += 7;
    EXPECT_EQ(send(a, time, of_a, of_a / 10).reason, "");
    EXPECT_EQ(send(b, time + 15'000, of_b).reason, "");
    const auto all = static_cast<double>(of_a + of_b);
    EXPECT_EQ(newest(kRequestsName), all);
    EXPECT_EQ(newest(kErrorsName), static_cast<double>(of_a / 10));
    EXPECT_EQ(newest("jobs_total"), all);
  }
  const auto requests = only(kRequestsName);
  for (std::size_t i = 1; i < requests.size(); ++i)
    EXPECT_GE(requests[i].second, requests[i - 1].second);
  const auto jobs = select(*store, "jobs_total");
  ASSERT_EQ(jobs.size(), 2u);
  const auto start_of = [&](std::size_t i) { return jobs[i].labels->get("otel_start_time"); };
  EXPECT_EQ(start_of(start_of(0).empty() ? 1 : 0), "2023-11-14T22:12:29.999Z");
  EXPECT_NE(start_of(0).empty(), start_of(1).empty()) << "the first one has the plain labels";
  EXPECT_EQ(two_senders(), 0);
}

TEST_F(ProcessesTest, OneThatTakesThePlaceOfAnotherCountsFromItsStart) {
  send(kNow - 60'000, kNow, 100, 4);
  send(kNow + 10'000, kNow + 30'000, 150, 5);
  send(kNow + 10'000, kNow + 60'000, 200, 6);
  EXPECT_EQ(newest(kRequestsName), 300);
  EXPECT_EQ(newest(kErrorsName), 10);
}

// What it counted in the days before is no growth of now; what it counts from now on is, also in
// series that are new.
TEST_F(ProcessesTest, OneThatIsSeenLateBeginsWhereItIs) {
  const auto old = kNow - 24 * 3600'000;
  send(kNow - 60'000, kNow, 10, 1);
  send(old, kNow + 15'000, 1'000'000);
  EXPECT_EQ(newest(kRequestsName), 10);
  send(kNow - 60'000, kNow + 30'000, 20, 1);
  send(old, kNow + 45'000, 1'000'008, 3);
  EXPECT_EQ(newest(kRequestsName), 28);
  EXPECT_EQ(newest(kErrorsName), 4);
}

TEST_F(ProcessesTest, OnesThatHaveANameAreNotToldApartByTheirStarts) {
  app = nameless({{"service.instance.id", std::string("pod-1")}});
  send(kNow - 60'000, kNow, 10);
  send(kNow + 10'000, kNow + 30'000, 4);
  EXPECT_EQ(newest(kRequestsName), 14) << "it started again";
  EXPECT_EQ(only("jobs_total").size(), 2u);
}

TEST_F(ProcessesTest, TooManyAreRefusedAndToldWhy) {
  std::string told;
  for (std::int64_t i = 0; i < 120; ++i)
    told = append(batch({point(counter("jobs_total"), kNow - 60'000 + i, kNow + i, 1)})).reason;
  EXPECT_NE(told.find("more than 100 processes write the series jobs_total{"), std::string::npos)
      << told;
  EXPECT_NE(told.find("service.instance.id"), std::string::npos);
  EXPECT_EQ(select(*store, "jobs_total").size(), 101u);
}

} // namespace
} // namespace coalmine::store::testing
