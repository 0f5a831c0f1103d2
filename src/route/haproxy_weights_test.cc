// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_weights.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "route/haproxy_socket.h"
#include "route/haproxy_state.h"
#include "route/router.h"

namespace coalmine::route {
namespace {

TEST(Weights, ExactWhereIntegersAllow) {
  struct Case {
    double share;
    std::size_t stable, canary;
    TrackWeights expected;
  };
  for (const auto& c :
       {Case{0.05, 3, 1, {247, 39}}, Case{0.05, 1, 1, {247, 13}}, Case{0.05, 2, 1, {247, 26}},
        Case{0.25, 3, 1, {256, 256}}, Case{0.25, 2, 1, {255, 170}}, Case{0.5, 1, 1, {256, 256}},
        Case{0.01, 1, 1, {198, 2}}, Case{0, 3, 1, {256, 0}}, Case{1, 3, 1, {0, 256}},
        Case{0.5, 2, 5, {255, 102}}, Case{0, 1, 0, {256, 0}}, Case{1, 0, 1, {0, 256}}}) {
    EXPECT_EQ(nearest_weights(c.share, c.stable, c.canary), c.expected)
        << c.share << " of " << c.stable << "+" << c.canary;
  }
}

TEST(Weights, NeverLosesATrackToRounding) {
  for (const double share : {1e-9, 0.0001, 0.9999, 1 - 1e-9}) {
    const auto weights = nearest_weights(share, 3, 1);
    EXPECT_GE(weights.stable, 1);
    EXPECT_GE(weights.canary, 1);
    EXPECT_LE(weights.stable, kMaxServerWeight);
    EXPECT_LE(weights.canary, kMaxServerWeight);
  }
}

TEST(Weights, EveryPercentIsWithinAQuarterPoint) {
  for (std::size_t stable = 1; stable <= 4; ++stable) {
    for (std::size_t canary = 1; canary <= 4; ++canary) {
      for (int percent = 2; percent <= 98; ++percent) {
        EXPECT_NEAR(share_of(nearest_weights(percent / 100.0, stable, canary), stable, canary),
                    percent / 100.0, 0.0025);
      }
    }
  }
}

// Between the two commands the weights are never all zero, and the canary never gets more than
// before and after together call for when one of the two orders avoids it.
// What may differ is a share of the weight where the weight is small: a read-back of nothing, of
// half or of twice as much is never taken for what was asked.
TEST(Weights, TheToleranceOfASmallWeightIsSmall) {
  const HaproxyOptions options;
  EXPECT_NEAR(tolerance(options, 1), 0.0025, 1e-8);
  EXPECT_NEAR(tolerance(options, 0.05), 0.0025, 1e-8);
  EXPECT_NEAR(tolerance(options, 0), 0, 1e-8);
  for (double weight = 0.0001; weight <= 1; weight *= 1.1) {
    EXPECT_LT(tolerance(options, weight), 0.11 * weight) << weight;
    EXPECT_LE(tolerance(options, weight), 0.0025 + 1e-8) << weight;
  }
}

TEST(Weights, TheMixOnTheWayIsSafe) {
  const double shares[] = {0, 0.01, 0.05, 0.1, 0.25, 0.3, 0.5, 0.75, 1};
  for (const double from : shares) {
    for (const double to : shares) {
      for (std::size_t stable = 1; stable <= 3; ++stable) {
        const auto totals = [&](double share) {
          const auto w = nearest_weights(share, stable, 1);
          return Totals{static_cast<double>(w.stable) * static_cast<double>(stable),
                        static_cast<double>(w.canary)};
        };
        const auto before = totals(from), after = totals(to);
        const bool canary_first = canary_goes_first(before, after);
        const double canary = canary_first ? after.canary : before.canary;
        const double still = canary_first ? before.stable : after.stable;
        EXPECT_GT(canary + still, 0) << from << " to " << to;
        EXPECT_LE(canary / (canary + still), std::max(from, to) + 0.003)
            << from << " to " << to << " with " << stable;
      }
    }
  }
}

TEST(Weights, OrderFollowsTheDirection) {
  EXPECT_TRUE(canary_goes_first({100, 0}, {19, 1}));   // raising from 0
  EXPECT_TRUE(canary_goes_first({1, 1}, {0, 100}));    // to 100 %
  EXPECT_FALSE(canary_goes_first({0, 100}, {100, 0})); // rollback: stable up first
  EXPECT_FALSE(canary_goes_first({1, 1}, {100, 0}));
  EXPECT_FALSE(canary_goes_first(
      {1, 0}, {19, 1})); // the canary first would give it half of all traffic for a moment
}

TEST(State, ParsesBothTables) {
  const std::string answer =
      "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state srv_admin_state srv_uweight "
      "srv_iweight\n"
      "3 checkout 1 stable1 127.0.0.1 2 0 19 19\n3 checkout 2 spare 127.0.0.1 2 0 19 19\n3 "
      "checkout 3 canary1 127.0.0.1 0 1 3 "
      "0\n\n"
      "# pxname,svname,act,bck,last_chk,cookie,\ncheckout,stable1,1,0,\"a, "
      "\"\"b\"\"\",s1,\ncheckout,spare,0,1,,,\ncheckout,canary1,1,0,,,\n\n";
  const auto servers = parse_state("checkout", answer);
  ASSERT_TRUE(servers);
  ASSERT_EQ(servers->size(), 3u);
  EXPECT_EQ((*servers)[0].weight, 19);
  EXPECT_TRUE((*servers)[0].cookie);
  EXPECT_TRUE((*servers)[0].in_rotation());
  EXPECT_TRUE((*servers)[1].backup);
  EXPECT_FALSE((*servers)[1].cookie);
  EXPECT_EQ((*servers)[2].admin, 1u);
  EXPECT_FALSE((*servers)[2].in_rotation());
}

TEST(State, TheAlgorithmIsThatOfTheBackend) {
  const std::string answer =
      "# pxname,svname,algo,\ncheckout,stable1,,\nother,BACKEND,source,\n"
      "checkout,BACKEND,leastconn,\n\n";
  EXPECT_EQ(parse_algorithm("checkout", answer), "leastconn");
  EXPECT_EQ(parse_algorithm("search", answer), "");
  EXPECT_EQ(parse_algorithm("checkout", "# pxname,svname,act,\ncheckout,BACKEND,1,\n"), "");
}

TEST(State, WhatSpoilsTheSplitIsNamed) {
  const ServerState up{.name = "stable1", .weight = 19, .operational = 2};
  const ServerState down{.name = "stable2", .weight = 19, .operational = 0};
  const ServerState maintained{
      .name = "stable3", .weight = 19, .admin = ServerState::kForcedMaint, .operational = 0};
  const ServerState idle{.name = "canary1", .weight = 0, .operational = 0};
  EXPECT_EQ(split_cause_of("shop", {up, maintained, idle}, "roundrobin"), "");
  EXPECT_EQ(split_cause_of("shop", {up}, ""), "");
  EXPECT_EQ(split_cause_of("shop", {up}, "random"), "");
  EXPECT_EQ(split_cause_of("shop", {up, down}, "static-rr"),
            "HAProxy reports server stable2 of backend shop DOWN and gives its share to others");
  EXPECT_EQ(split_cause_of("shop", {up}, "source"),
            "backend shop has `balance source`, whose shares of requests are not those of the "
            "weights; use `balance roundrobin`");
  const auto both = split_cause_of("shop", {down}, "leastconn");
  EXPECT_NE(both.find("DOWN"), std::string::npos) << both;
  EXPECT_NE(both.find(", and backend shop has `balance leastconn`"), std::string::npos) << both;
}

TEST(HaproxyState, WhichBackendsAMapSplitsIsKnownByTheirNames) {
  const auto stat = [](std::initializer_list<std::string_view> rows) {
    std::string out = "# pxname,svname,status,\n";
    for (const auto row : rows) out += std::string(row) + "\n";
    return out;
  };
  const auto cause = [&](std::initializer_list<std::string_view> rows) {
    return split_cause_of_map("checkout", stat(rows));
  };
  EXPECT_EQ(cause({"canary,BACKEND,DOWN,", "stable,BACKEND,UP,", "pay,BACKEND,DOWN,"}),
            "HAProxy reports backend canary DOWN, no server of it is up");
  EXPECT_EQ(cause({"Checkout-Canary,BACKEND,DOWN (agent),", "pay-canary,BACKEND,UP,"}),
            "HAProxy reports backend Checkout-Canary DOWN, no server of it is up");
  EXPECT_EQ(cause({"checkout_canary,BACKEND,DOWN,", "checkout_stable,BACKEND,DOWN,"}),
            "HAProxy reports backends checkout_canary and checkout_stable DOWN, no server of them "
            "is up");
  EXPECT_EQ(cause({"canary,c1,DOWN,", "canary,BACKEND,UP,"}), "") << "others of it are up";
  EXPECT_EQ(cause({"pay_canary,BACKEND,DOWN,", "search_canary,BACKEND,UP,"}), "") << "whose?";
  EXPECT_EQ(cause({"checkout_canary,BACKEND,UP,", "pay_canary,BACKEND,DOWN,"}), "");
  EXPECT_EQ(split_cause_of_map("checkout", "Permission denied\n"), "");
  const auto down = [&](std::initializer_list<std::string_view> rows) {
    return stable_down_of_map("checkout", stat(rows));
  };
  EXPECT_EQ(down({"canary,BACKEND,UP,", "stable,BACKEND,DOWN,"}),
            "no stable server is up: HAProxy reports backend stable DOWN");
  EXPECT_EQ(down({"canary,BACKEND,DOWN,", "stable,BACKEND,UP,"}), "");
  EXPECT_EQ(down({"pay_stable,BACKEND,DOWN,", "search_stable,BACKEND,UP,"}), "") << "whose?";
}

TEST(State, OddAnswersAreErrors) {
  for (const auto* answer :
       {"", "\n", "Can't find backend.\n\n", "1\n# be_id be_name\n",
        "HTTP/1.1 400 Bad Request\r\n\r\n", "1\n# be_id be_name srv_name\n3 other s1\n"}) {
    EXPECT_FALSE(parse_state("checkout", answer)) << answer;
  }
  EXPECT_FALSE(parse_map_value("Unknown map identifier. Please use #<id> or <file>.\n"));
  EXPECT_FALSE(parse_map_value(""));
  EXPECT_FALSE(parse_map_value("type=str, found=no\n").value());
  EXPECT_EQ(parse_map_value(
                "type=str, found=yes, idx=tree, key=\"checkout\", value=\"500\", type=\"str\"\n")
                .value(),
            "500");
}

TEST(Options, BadOnesAreNamed) {
  const auto error = [](HaproxyOptions options) {
    const auto router = make_haproxy_router(std::move(options));
    return router ? std::string() : router.error().message;
  };
  HaproxyOptions good{.socket = "/run/h.sock",
                      .backend = "b",
                      .stable_servers = {"s"},
                      .canary_servers = {"c"},
                      .map = {},
                      .map_key = {}};
  EXPECT_EQ(error(good), "");
  auto bad = good;
  bad.socket = "haproxy";
  EXPECT_NE(error(bad).find("neither a path"), std::string::npos);
  bad.socket = "/" + std::string(200, 'x');
  EXPECT_NE(error(bad).find("longer than"), std::string::npos);
  bad = good;
  bad.backend = "b; shutdown sessions";
  EXPECT_NE(error(bad).find("one word"), std::string::npos);
  bad = good;
  bad.canary_servers.clear();
  EXPECT_NE(error(bad).find("at least one"), std::string::npos);
  bad.canary_servers = {"s"};
  EXPECT_NE(error(bad).find("both"), std::string::npos);
  bad = good;
  bad.map = "/etc/weights.map";
  EXPECT_NE(error(bad).find("map key"), std::string::npos);
  for (const auto* socket : {"127.0.0.1:9999", "[::1]:9999", ":9999", "admin.local:80"}) {
    good.socket = socket;
    EXPECT_EQ(error(good), "") << socket;
  }
}

TEST(Observe, RemembersAndMovesNothing) {
  const auto router = make_observe_router();
  EXPECT_EQ(router->read()->canary, 0);
  ASSERT_TRUE(router->set({0.25}));
  EXPECT_EQ(router->read()->canary, 0.25);
  EXPECT_FALSE(router->set({1.5}));
  EXPECT_FALSE(router->set({std::nan("")}));
  EXPECT_EQ(router->panic()->applied.canary, 0);
  EXPECT_EQ(router->read()->canary, 0);
}

} // namespace
} // namespace coalmine::route
