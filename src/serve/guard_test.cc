// SPDX-License-Identifier: Apache-2.0
#include "serve/guard.h"

#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

using test::request;

class GuardTest : public test::World {
 protected:
  int status(const net::HttpRequest& r) const { return ask(r).status; }
  int status_for_host(const std::string& host) const {
    return status(request("GET", "/v1/status", "", {{"Host", host}}));
  }
};

TEST_F(GuardTest, OnLoopbackOnlyOwnNamesAreAnswered) {
  for (const auto* good :
       {"localhost", "localhost:7070", "LOCALHOST:1", "127.0.0.1", "127.0.0.1:7070", "127.8.9.1:80",
        "[::1]", "[::1]:7070", "coalmine.localhost:7070"}) {
    EXPECT_EQ(status_for_host(good), 200) << good;
  }
  for (const auto* bad : {"", "evil.example", "evil.example:7070", "localhost.evil.example",
                          "127.0.0.1.evil.example:7070", "10.0.0.1:7070", "[::1", "::1", "coalmine",
                          "127.0.0.1@evil.example"}) {
    EXPECT_EQ(status_for_host(bad), 403) << bad;
  }
  options_.host_names = {"Coalmine.Example"};
  EXPECT_EQ(status_for_host("coalmine.example:443"), 200);
}

TEST_F(GuardTest, ListeningWideWithoutTokensForeignNamesAreStillRefused) {
  options_.listen.host = "0.0.0.0";
  options_.insecure = true;
  for (const auto* good : {"10.0.0.1:7070", "[fe80::1]:7070", "coalmine:7070",
                           "coalmine.ops.svc:7070", "mac.local:7070", "localhost:7070"}) {
    EXPECT_EQ(status_for_host(good), 200) << good;
  }
  EXPECT_EQ(status_for_host("evil.example:7070"), 403);
  options_.viewer_token = "view";
  EXPECT_EQ(status_for_host("coalmine.example:7070"), 401); // a foreign page has no token
}

TEST_F(GuardTest, ProbesAreAnsweredWhateverTheHost) {
  options_.operator_token = "oper";
  for (const auto* path : {"/healthz", "/readyz"})
    EXPECT_EQ(status(request("GET", path, "", {{"Host", "10.1.2.3:7070"}})), 200);
}

TEST_F(GuardTest, TelemetryNeedsItsTokenOrTheOperators) {
  const auto write = [&](const net::Headers& more) {
    const auto answer =
        Guard(options_, options_.listen).check(request("POST", "/api/v1/write", "", more));
    return answer ? std::string("ok") : std::string(answer.error().message.substr(0, 15));
  };
  EXPECT_EQ(write({}), "ok");
  EXPECT_EQ(write({{"Origin", "http://localhost:7070"}}), "a page may not ");
  options_.viewer_token = "view";
  EXPECT_EQ(write({{"Authorization", "Bearer view"}}), "a token is need");
  options_.write_token = "send";
  options_.operator_token = "oper";
  EXPECT_EQ(write({}), "a token is need");
  EXPECT_EQ(write({{"Authorization", "Bearer send"}}), "ok");
  EXPECT_EQ(write({{"Authorization", "Bearer oper"}}), "ok");
  EXPECT_EQ(status(request("GET", "/v1/status", "", {{"Authorization", "Bearer send"}})), 401);
}

TEST_F(GuardTest, ChangesNeedTheOwnOriginAndJson) {
  const auto start = [&](const net::Headers& more) {
    return status(request("POST", "/v1/rollouts", R"({"service":"shop"})", more));
  };
  EXPECT_EQ(start({}), 201);
  EXPECT_EQ(start({{"Origin", "http://localhost:7070"}}), 201);
  EXPECT_EQ(start({{"Origin", "https://LocalHost:7070"}}), 201);
  for (const auto* bad : {"http://evil.example", "null", "http://localhost:7071",
                          "http://localhost:7070.evil.example", "file://"}) {
    EXPECT_EQ(start({{"Origin", bad}}), 403) << bad;
  }
  EXPECT_EQ(start({{"Content-Type", "Application/JSON; charset=utf-8"}}), 201);
  for (const auto* bad :
       {"", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data",
        "application/jsonp", "text/plain;application/json"}) {
    EXPECT_EQ(start({{"Content-Type", bad}}), 400) << bad;
  }
  EXPECT_EQ(status(test::form("/api/v1/query", "query=1")), 200); // asks, and changes nothing
}

TEST_F(GuardTest, TokensAndRoles) {
  options_.operator_token = "oper";
  options_.viewer_token = "view";
  const auto get = [&](const std::string& authorization) {
    return status(request("GET", "/v1/rollouts", "", {{"Authorization", authorization}}));
  };
  const auto start = [&](const std::string& authorization) {
    return status(request("POST", "/v1/rollouts", R"({"service":"shop"})",
                          {{"Authorization", authorization}}));
  };
  EXPECT_EQ(status(request("GET", "/v1/rollouts")), 401);
  EXPECT_EQ(status(request("GET", "/")), 401);
  EXPECT_EQ(status(request("GET", "/metrics")), 401);
  for (const auto* bad : {"", "Bearer", "Bearer ", "Bearer wrong", "Bearer ope", "Bearer operr",
                          "Bearer operoper", "oper", "Basic !!", "Basic b3Blcg=="}) {
    EXPECT_EQ(get(bad), 401) << bad;
  }
  EXPECT_EQ(get("Bearer view"), 200);
  EXPECT_EQ(get("bearer  oper "), 200);
  EXPECT_EQ(get("Basic YW55Om9wZXI="), 200); // any:oper
  EXPECT_EQ(start("Bearer view"), 403);
  EXPECT_EQ(start("Bearer oper"), 201);
  EXPECT_EQ(start("Basic OnZpZXc="), 403); // :view
}

TEST_F(GuardTest, AMissingTokenNeverMatchesAnEmptyOne) {
  options_.viewer_token = "view"; // no operator token: nobody is one
  EXPECT_EQ(status(request("POST", "/v1/rollouts", "{}", {{"Authorization", "Bearer "}})), 401);
  EXPECT_EQ(status(request("POST", "/v1/rollouts", "{}", {{"Authorization", "Bearer view"}})), 403);
}

TEST_F(GuardTest, RefusalsSayHowToAsk) {
  options_.operator_token = "oper";
  const auto own = ask(request("GET", "/v1/rollouts"));
  EXPECT_NE(own.body.find("\"code\":\"unauthenticated\""), std::string::npos) << own.body;
  EXPECT_EQ(net::header(own.headers, "WWW-Authenticate"), "Bearer");
  EXPECT_EQ(net::header(own.headers, "X-Content-Type-Options"), "nosniff");
  const auto prometheus = ask_json(request("GET", "/api/v1/query?query=1"), 401);
  EXPECT_EQ(prometheus.at("errorType").as_string(), "unauthorized");
}

TEST_F(GuardTest, ListeningWideNeedsCredentials) {
  for (const auto* local : {"127.0.0.1", "localhost", "::1"}) {
    options_.listen.host = local;
    EXPECT_TRUE(check_listen(options_)) << local;
  }
  options_.listen.host = "0.0.0.0";
  const auto refused = check_listen(options_);
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_NE(refused.error().message.find("--insecure"), std::string::npos);
  options_.insecure = true;
  EXPECT_TRUE(check_listen(options_));
  options_.insecure = false;
  options_.operator_token = "x";
  EXPECT_TRUE(check_listen(options_));
}

} // namespace
} // namespace coalmine::serve
