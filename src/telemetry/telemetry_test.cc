// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cmath>

#include "telemetry/batch.h"

namespace coalmine {
namespace {

TEST(Labels, SortedWithoutEmptiesAndDuplicates) {
  const auto labels = Labels::of({{"b", "1"}, {"a", "x"}, {"c", ""}, {"a", "y"}});
  EXPECT_EQ(labels.to_string(), "{a=\"y\", b=\"1\"}");
  EXPECT_EQ(labels.get("c"), "");
  EXPECT_EQ(labels.with("a", "").size(), 1u);
  EXPECT_EQ(labels.with("aa", "z").get("aa"), "z");
  EXPECT_EQ(labels.hash(), Labels::of({{"a", "y"}, {"b", "1"}}).hash());
  EXPECT_NE(Labels::of({{"ab", "c"}}).hash(), Labels::of({{"a", "bc"}}).hash());
}

TEST(Histogram, QuantileInterpolatesInsideTheBucket) {
  ClassicHistogram h{std::make_shared<std::vector<double>>(std::vector<double>{10, 20, 40}),
                     {0, 10, 10, 0},
                     20,
                     400};
  EXPECT_DOUBLE_EQ(quantile(h, 0.5), 20);
  EXPECT_DOUBLE_EQ(quantile(h, 0.75), 30);
  h.counts = {0, 0, 0, 3};
  EXPECT_DOUBLE_EQ(quantile(h, 0.5), 40);
  h.counts = {0, 0, 0, 0};
  EXPECT_TRUE(std::isnan(quantile(h, 0.5)));
}

TEST(Histogram, AddOntoOtherBoundsNeverMakesFaster) {
  ClassicHistogram a{
      std::make_shared<std::vector<double>>(std::vector<double>{10, 100}), {1, 0, 0}, 1, 5};
  const ClassicHistogram b{std::make_shared<std::vector<double>>(std::vector<double>{5, 50, 500}),
                           {1, 2, 4, 8},
                           15,
                           100};
  add(a, b);
  EXPECT_EQ(a.counts, (std::vector<std::uint64_t>{2, 2, 12}));
  EXPECT_EQ(a.count, 16u);
}

TEST(Resource, IdentityAndLabels) {
  const auto r = make_resource({{"service.name", "checkout-service"},
                                {"service.version", "2.4.0"},
                                {"deployment.track", "canary"},
                                {"deployment.environment", "production"},
                                {"k8s.pod.name", "p-1"},
                                {"telemetry.sdk.name", "opentelemetry"}},
                               "127.0.0.1");
  EXPECT_EQ(r->instance, "p-1");
  EXPECT_EQ(r->environment, "production");
  EXPECT_EQ(r->labels.get("deployment_track"), "canary");
  EXPECT_EQ(r->labels.get("instance"), "p-1");
  EXPECT_EQ(r->labels.get("job"), "checkout-service");
  EXPECT_EQ(r->labels.get("telemetry_sdk_name"), "");
  EXPECT_EQ(make_resource({}, "10.0.0.9")->instance, "10.0.0.9");
  EXPECT_EQ(make_resource({}, "x")->service, "unknown_service");
}

TEST(Resource, NamedAttributesAreLabelsWhateverTheyAre) {
  const Attributes attributes = {{"service.name", std::string("shop")},
                                 {"app.lane", std::string("blue")},
                                 {"2nd-tier", std::int64_t{7}},
                                 {"__private", std::string("x")},
                                 {"team", std::string("a")}};
  const PromotedAttributes promoted({"app.lane", "2nd-tier", "__private"});
  EXPECT_TRUE(promoted.contains("app_lane")) << "the label is as good a name as the attribute";
  const auto r = make_resource(attributes, "x", promoted);
  EXPECT_EQ(r->labels.get("app_lane"), "blue");
  EXPECT_EQ(r->labels.get("key_2nd_tier"), "7");
  EXPECT_EQ(r->labels.get("key___private"), "x") << "labels with __ in front are the system's";
  EXPECT_EQ(r->labels.get("team"), "");
  EXPECT_EQ(make_resource(attributes, "x")->labels.get("app_lane"), "");
}

TEST(Resource, TargetInfoHoldsEveryAttribute) {
  const auto r = make_resource({{"service.name", std::string("shop")},
                                {"service.namespace", std::string("eu")},
                                {"service.version", std::string("2")},
                                {"service.instance.id", std::string("i1")},
                                {"telemetry.sdk.name", std::string("opentelemetry")}},
                               "x");
  EXPECT_EQ(r->target_info.to_string(),
            "target_info{instance=\"i1\", job=\"eu/shop\", service_instance_id=\"i1\", "
            "service_name=\"shop\", service_namespace=\"eu\", service_version=\"2\", "
            "telemetry_sdk_name=\"opentelemetry\"}");
  EXPECT_TRUE(make_resource({{"service.name", std::string("shop")}}, "x")->target_info.empty())
      << "job and instance say as much";
}

TEST(Hex, ExactLengthEitherCase) {
  TraceId id;
  EXPECT_TRUE(parse_hex("4BF92f3577b34da6a3ce929d0e0e4736", id));
  EXPECT_EQ(to_hex(id), "4bf92f3577b34da6a3ce929d0e0e4736");
  EXPECT_FALSE(parse_hex("4bf9", id));
  EXPECT_FALSE(parse_hex("zbf92f3577b34da6a3ce929d0e0e4736", id));
}

} // namespace
} // namespace coalmine
