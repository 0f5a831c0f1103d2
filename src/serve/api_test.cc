// The whole room on a real socket.
// SPDX-License-Identifier: Apache-2.0
#include "serve/api.h"

#include <future>

#include "net/test_client.h"
#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

using net::test::RawClient;

// Answers only when let go; counts who waits.
class HeldQueryable final : public promql::Queryable {
 public:
  Result<std::vector<promql::Series>> select(const promql::Selection&) const override {
    ++waiting;
    released.wait();
    --waiting;
    return std::vector<promql::Series>();
  }
  Result<std::vector<Labels>> series(const promql::Selection&) const override {
    return std::vector<Labels>();
  }
  Result<std::vector<std::string>> label_names(const promql::Selection&) const override {
    return std::vector<std::string>();
  }
  Result<std::vector<std::string>> label_values(std::string_view,
                                                const promql::Selection&) const override {
    return std::vector<std::string>();
  }

  mutable std::atomic<int> waiting{0};
  std::promise<void> release;
  std::shared_future<void> released = release.get_future().share();
};

class ApiTest : public test::World {
 protected:
  ApiTest() { options_.listen.port = 0; }
  std::unique_ptr<Api> start(const promql::Queryable& queryable) {
    auto started = Api::start(
        options_, {store_, store_, queryable, cohorts_, rollouts_, clock_, metrics_, {}, {}});
    EXPECT_TRUE(started) << started.error().message;
    return std::move(*started);
  }
  static std::string get(const std::string& target, const std::string& more = "") {
    return "GET " + target + " HTTP/1.1\r\nHost: localhost\r\n" + more + "\r\n";
  }
};

TEST_F(ApiTest, AnswersOverASocket) {
  queryable_.append(Labels::of({{"__name__", "up"}}), {999'000, 1, 0});
  const auto api = start(queryable_);
  RawClient client(api->endpoint());
  ASSERT_TRUE(client.send(get("/api/v1/query?query=up")));
  auto [head, body] = client.read_answer();
  EXPECT_TRUE(head.starts_with("HTTP/1.1 200")) << head;
  EXPECT_NE(head.find("Content-Security-Policy: "), std::string::npos);
  EXPECT_EQ(body, R"({"status":"success","data":{"resultType":"vector",)"
                  R"("result":[{"metric":{"__name__":"up"},"value":[1000,"1"]}]}})");
  ASSERT_TRUE(
      client.send("POST /v1/rollouts HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                  "application/json\r\nContent-Length: "
                  "18\r\n\r\n{\"service\":\"shop\"}"));
  EXPECT_EQ(client.read_answer().second, "{\"id\":7}");
  ASSERT_TRUE(client.send("GET /v1/status HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  EXPECT_TRUE(client.read_answer().first.starts_with("HTTP/1.1 403"));
  ASSERT_TRUE(client.send(get("/metrics")));
  EXPECT_NE(client.read_answer().second.find("coalmine_build_info{version=\"1.2.3\"} 1"),
            std::string::npos);
  ASSERT_TRUE(client.send(
      "POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9000000\r\n\r\n"));
  const auto large = client.read_answer();
  EXPECT_TRUE(large.first.starts_with("HTTP/1.1 413")) << large.first;
  EXPECT_EQ(boost::json::parse(large.second).at("error").at("code").as_string(),
            "resource_exhausted");
}

TEST_F(ApiTest, EventsStreamOverASocket) {
  rollouts_.put(test::rollout_status(1, "shop", "first"));
  auto api = start(queryable_);
  RawClient client(api->endpoint());
  ASSERT_TRUE(client.send(get("/v1/events")));
  EXPECT_NE(client.read_until("\r\n\r\n").find("text/event-stream"), std::string::npos);
  EXPECT_NE(client.read_until("\"reason\":\"first\"").find("event: rollout\ndata: {"),
            std::string::npos);
  rollouts_.put(test::rollout_status(1, "shop", "second"));
  EXPECT_NE(client.read_until("\"reason\":\"second\"").find("event: rollout"), std::string::npos);
  RawClient stranger(api->endpoint());
  ASSERT_TRUE(stranger.send("GET /v1/events HTTP/1.1\r\nHost: evil.example\r\n\r\n"));
  EXPECT_TRUE(stranger.read_answer().first.starts_with("HTTP/1.1 403"));
  api.reset();
  client.read_to_end();
  EXPECT_FALSE(client.timed_out());
}

TEST_F(ApiTest, HeavyQueriesNeitherStopTheRestNorTheEnd) {
  HeldQueryable held;
  options_.query_threads = 2;
  auto api = start(held);
  std::vector<std::unique_ptr<RawClient>> clients;
  for (int i = 0; i < 2; ++i) {
    clients.push_back(std::make_unique<RawClient>(api->endpoint()));
    ASSERT_TRUE(
        clients.back()->send(get("/api/v1/query_range?query=sum(up)&start=0&end=1000&step=1")));
  }
  ASSERT_TRUE(net::test::eventually([&] { return held.waiting == 2; }));
  // The queue behind them fills; further requests are refused at once.
  std::vector<std::unique_ptr<RawClient>> queued;
  for (int i = 0; i < 65; ++i) {
    queued.push_back(std::make_unique<RawClient>(api->endpoint()));
    ASSERT_TRUE(queued.back()->send(get("/api/v1/query?query=up")));
  }
  const auto answered = [&] {
    return std::ranges::find_if(queued, [](const auto& client) {
      pollfd waiting{client->fd(), POLLIN, 0};
      return ::poll(&waiting, 1, 0) == 1;
    });
  };
  ASSERT_TRUE(net::test::eventually([&] { return answered() != queued.end(); }));
  const auto refused = (*answered())->read_answer();
  EXPECT_TRUE(refused.first.starts_with("HTTP/1.1 503")) << refused.first;
  EXPECT_NE(refused.first.find("Retry-After: 1"), std::string::npos);
  EXPECT_EQ(boost::json::parse(refused.second).at("errorType").as_string(), "unavailable");
  RawClient control(api->endpoint());
  for (const auto* target : {"/healthz", "/v1/rollouts", "/v1/failures?service=shop"}) {
    ASSERT_TRUE(control.send(get(target)));
    EXPECT_TRUE(control.read_answer().first.starts_with("HTTP/1.1 200")) << target;
  }
  ASSERT_TRUE(
      control.send("POST /v1/rollouts HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                   "application/json\r\nContent-Length: "
                   "18\r\n\r\n{\"service\":\"shop\"}"));
  EXPECT_TRUE(control.read_answer().first.starts_with("HTTP/1.1 201"));
  ASSERT_TRUE(
      control.send("POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Type: "
                   "application/json\r\nContent-Length: "
                   "18\r\n\r\n{\"service\":\"shop\"}"));
  EXPECT_TRUE(control.read_answer().first.starts_with("HTTP/1.1 200"))
      << "a verdict waits for none";
  // Stopping answers the waiting requests, and gives up the running ones once the store has
  // answered them.
  auto stopping = std::async(std::launch::async, [&] { api.reset(); });
  held.release.set_value();
  stopping.get();
  EXPECT_EQ(held.waiting, 0);
}

TEST_F(ApiTest, ListeningWideIsRefusedAndATakenPortNamed) {
  options_.listen.host = "0.0.0.0";
  const auto wide = Api::start(
      options_, {store_, store_, queryable_, cohorts_, rollouts_, clock_, metrics_, {}, {}});
  ASSERT_FALSE(wide);
  EXPECT_EQ(wide.error().code, ErrorCode::failed_precondition);
  options_.listen.host = "127.0.0.1";
  const auto first = start(queryable_);
  options_.listen.port = first->endpoint().port;
  const auto second = Api::start(
      options_, {store_, store_, queryable_, cohorts_, rollouts_, clock_, metrics_, {}, {}});
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
}

} // namespace
} // namespace coalmine::serve
