// SPDX-License-Identifier: Apache-2.0
#include "app/router_check.h"

#include <gtest/gtest.h>

namespace coalmine::app {
namespace {

class FakeRouter final : public route::Router {
 public:
  explicit FakeRouter(Result<route::Weight> weight) : weight_(std::move(weight)) {}
  std::string describe() const override { return "fake"; }
  Result<route::Applied> set(route::Weight) override {
    return fail(ErrorCode::internal, "a check changes nothing");
  }
  Result<route::Applied> panic() override { return set({0}); }
  Result<route::Weight> read() override { return weight_; }

 private:
  const Result<route::Weight> weight_;
};

MakeRouter always(Result<route::Weight> weight) {
  return [weight](const route::RouterOptions&) -> Result<std::unique_ptr<route::Router>> {
    return Result<std::unique_ptr<route::Router>>(std::make_unique<FakeRouter>(weight));
  };
}

rollout::RolloutSpec spec_of(const std::string& service) {
  auto spec = rollout::default_spec(service);
  spec.router = route::HaproxyOptions{};
  return spec;
}

std::vector<config::FileReport> files() {
  return {{.path = "a.yaml", .text = "service: search\nrouter: observe\n", .diagnostics = {}},
          {.path = "b.yaml",
           .text = "# both\nservice: shop\nsteps: [100%]\n  router: x\n",
           .diagnostics = {}}};
}

TEST(RouterCheck, WarnsWhereTheRouterStands) {
  auto reports = files();
  check_routers({spec_of("shop")}, always(route::Weight{0, "backend b has `balance leastconn`"}),
                false, reports);
  EXPECT_TRUE(reports[0].diagnostics.empty());
  ASSERT_EQ(reports[1].diagnostics.size(), 1u);
  const auto& warning = reports[1].diagnostics[0];
  EXPECT_EQ(warning.severity, Diagnostic::Severity::warning);
  EXPECT_EQ(warning.span.line, 4u);
  EXPECT_EQ(warning.span.column, 3u);
  EXPECT_NE(warning.message.find("`balance leastconn`"), std::string::npos) << warning.message;
}

TEST(RouterCheck, WarnsOfACanaryThatHasTheTraffic) {
  auto reports = files();
  check_routers({spec_of("shop")}, always(route::Weight{1}), false, reports);
  ASSERT_EQ(reports[1].diagnostics.size(), 1u);
  EXPECT_EQ(reports[1].diagnostics[0].severity, Diagnostic::Severity::warning);
  EXPECT_NE(reports[1].diagnostics[0].message.find("has 100% of the traffic already"),
            std::string::npos)
      << reports[1].diagnostics[0].message;
}

TEST(RouterCheck, SaysNothingOfOneThatSplitsByWeightsNorOfOneThatIsNotThere) {
  auto reports = files();
  check_routers({spec_of("shop")}, always(route::Weight{0.25}), false, reports);
  check_routers({spec_of("shop")}, always(fail(ErrorCode::unavailable, "connection refused")),
                false, reports);
  check_routers({rollout::default_spec("search")}, always(route::Weight{0, "never asked"}), true,
                reports);
  EXPECT_TRUE(reports[0].diagnostics.empty());
  EXPECT_TRUE(reports[1].diagnostics.empty());
}

TEST(RouterCheck, WhatTheRouterDoesNotHaveIsAnError) {
  auto reports = files();
  check_routers({spec_of("shop")}, always(fail(ErrorCode::not_found, "no backend b")), false,
                reports);
  ASSERT_EQ(reports[1].diagnostics.size(), 1u);
  EXPECT_EQ(reports[1].diagnostics[0].severity, Diagnostic::Severity::error);
  EXPECT_EQ(reports[1].diagnostics[0].message, "the router cannot do what is asked: no backend b");
}

TEST(RouterCheck, ARouterThatMustAnswerAndDoesNotIsAnError) {
  auto reports = files();
  check_routers({spec_of("shop")}, always(fail(ErrorCode::unavailable, "connection refused")), true,
                reports);
  ASSERT_EQ(reports[1].diagnostics.size(), 1u);
  EXPECT_EQ(reports[1].diagnostics[0].message, "the router cannot be checked: connection refused");
}

} // namespace
} // namespace coalmine::app
