// SPDX-License-Identifier: Apache-2.0
#include "route/shared_traffic.h"

#include <gtest/gtest.h>

namespace coalmine::route {
namespace {

HaproxyOptions servers(std::vector<std::string> stable, std::vector<std::string> canary) {
  HaproxyOptions out;
  out.socket = "/run/haproxy.sock";
  out.backend = "shop";
  out.stable_servers = std::move(stable);
  out.canary_servers = std::move(canary);
  return out;
}

TEST(SharedTraffic, IsTheSameForTheSameBackendOrMapKey) {
  const auto shop = servers({"a"}, {"b"});
  auto same = servers({"c"}, {"d"});
  same.socket = "/run/./haproxy.sock";
  EXPECT_EQ(traffic_of(shop), "backend shop of HAProxy at /run/haproxy.sock");
  EXPECT_EQ(traffic_of(shop), traffic_of(same));
  auto other = shop;
  other.backend = "cart";
  EXPECT_NE(traffic_of(shop), traffic_of(other));
  other = shop;
  other.socket = "127.0.0.1:9999";
  EXPECT_NE(traffic_of(shop), traffic_of(other));
  HaproxyOptions map;
  map.socket = "/run/haproxy.sock";
  map.map = "/etc/canary.map";
  map.map_key = "shop";
  EXPECT_EQ(traffic_of(map), "key shop of map /etc/canary.map of HAProxy at /run/haproxy.sock");
  EXPECT_EQ(traffic_of(ObserveOptions{}), std::nullopt);
}

TEST(SharedTraffic, AServerBelongsToOneTrack) {
  EXPECT_EQ(server_of_both(servers({"a", "b"}, {"b"})), "server b is stable's and the canary's");
  EXPECT_EQ(server_of_both(servers({"app*"}, {"app-canary*"})),
            "stable's app* and the canary's app-canary* are the same server");
  EXPECT_TRUE(server_of_both(servers({"app1"}, {"app*"})));
  EXPECT_TRUE(server_of_both(servers({"*"}, {"canary"})));
  EXPECT_FALSE(server_of_both(servers({"stable*"}, {"canary*"})));
  EXPECT_FALSE(server_of_both(servers({"app1"}, {"app11", "app2*"})));
  EXPECT_FALSE(server_of_both(ObserveOptions{}));
}

} // namespace
} // namespace coalmine::route
