// SPDX-License-Identifier: Apache-2.0
#include "telemetry/route_name.h"

#include <gtest/gtest.h>

namespace coalmine {
namespace {

TEST(RouteName, TemplatesAreToldFromPaths) {
  for (const auto* path : {"/api/cart/{uid}", "/api/cart/<uid>", "/<int:year>/x", "/api/cart/:uid"})
    EXPECT_TRUE(is_route_template(path)) << path;
  for (const auto* path : {"", "/", "/healthz", "/api/cart/u1", "/a:b/c", "/:", "/at/12:30",
                           "{uid}", "https://shop/{uid}"})
    EXPECT_FALSE(is_route_template(path)) << path;
}

TEST(RouteName, ASpansNameMayHoldIt) {
  EXPECT_EQ(route_in_name("GET /api/cart/{uid}"), "/api/cart/{uid}");
  EXPECT_EQ(route_in_name("/users/:id"), "/users/:id");
  for (const auto* name : {"", "GET", "GET /healthz", "GET /api/cart/u1", "checkout {id}",
                           "HTTP GET /a/{b}", "shop.Cart/Add{}", "GET  /a/{b}"})
    EXPECT_EQ(route_in_name(name), "") << name;
}

} // namespace
} // namespace coalmine
