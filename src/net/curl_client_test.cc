// The HTTP client against the HTTP server.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <future>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "net/http_client.h"
#include "net/http_server.h"

namespace coalmine::net {
namespace {

class ClientTest : public ::testing::Test {
 protected:
  void SetUp() override {
    HttpServer::Options options;
    options.listen = *parse_endpoint(":0");
    auto started = HttpServer::start(
        options,
        [this](HttpRequest request, std::unique_ptr<Responder> responder) {
          answer(std::move(request), std::move(responder));
        },
        metrics_);
    ASSERT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    base_ = "http://" + server_->endpoint().to_string();
  }

  void answer(HttpRequest request, std::unique_ptr<Responder> responder) {
    if (request.path == "/never") {
      std::lock_guard lock(mutex_);
      kept_.push_back(std::move(responder));
      asked_.notify_all();
    } else if (request.path == "/events") {
      const auto stream =
          responder->start_stream({200, {{"Content-Type", "text/event-stream"}}, ""});
      stream->write("data: 1\n\n");
      stream->write("data: 2\n\n");
    } else if (request.path == "/large") {
      responder->send({200, {}, std::string(100'000, 'x')});
    } else if (request.path == "/move") {
      responder->send({302, {{"Location", "/elsewhere"}}, ""});
    } else if (request.path == "/denied") {
      responder->send({401, {}, "no token\n"});
    } else {
      responder->send(
          {404,
           {{"X-Type", std::string(header(request.headers, "Content-Type"))},
            {"X-Own", std::string(header(request.headers, "x-own"))}},
           request.method + " " + request.path + "?" + request.query + " " + request.body});
    }
  }

  SelfMetrics metrics_;
  std::mutex mutex_;
  std::condition_variable asked_;
  std::vector<std::unique_ptr<Responder>> kept_; // guarded by mutex_
  std::unique_ptr<HttpServer> server_;
  std::string base_;
  std::unique_ptr<HttpClient> client_ = make_http_client();
};

TEST_F(ClientTest, EveryMethodAndStatus) {
  for (const std::string method : {"GET", "POST", "PUT", "PATCH", "DELETE"}) {
    const std::string body = method == "GET" || method == "DELETE" ? "" : "b";
    const auto response = client_->fetch(
        {.method = method, .url = base_ + "/p?q=1", .headers = {{"X-Own", "me"}}, .body = body});
    ASSERT_TRUE(response) << response.error().message;
    EXPECT_EQ(response->status, 404);
    EXPECT_EQ(response->body, method + " /p?q=1 " + body);
    EXPECT_EQ(header(response->headers, "x-own"), "me");
    EXPECT_EQ(header(response->headers, "x-type"), "");
  }
  const auto head = client_->fetch({.method = "HEAD", .url = base_ + "/p"});
  ASSERT_TRUE(head) << head.error().message;
  EXPECT_EQ(head->body, "");
  const auto moved = client_->fetch({.url = base_ + "/move"});
  ASSERT_TRUE(moved);
  EXPECT_EQ(moved->status, 302);
  EXPECT_EQ(header(moved->headers, "Location"), "/elsewhere");
}

TEST_F(ClientTest, BinaryBodyOfTenMegabytes) {
  std::string body(10'000'000, '\0');
  for (std::size_t i = 0; i < body.size(); ++i) body[i] = static_cast<char>(i * 7);
  const auto response = client_->fetch(
      {.method = "POST", .url = base_ + "/b", .headers = {{"Content-Type", "x/y"}}, .body = body});
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "POST /b? " + body);
  EXPECT_EQ(header(response->headers, "x-type"), "x/y");
}

TEST_F(ClientTest, Failures) {
  const auto slow =
      client_->fetch({.url = base_ + "/never", .timeout = std::chrono::milliseconds(50)});
  ASSERT_FALSE(slow);
  EXPECT_EQ(slow.error().code, ErrorCode::deadline_exceeded) << slow.error().message;
  const auto large = client_->fetch({.url = base_ + "/large", .max_response = 99'999});
  ASSERT_FALSE(large);
  EXPECT_EQ(large.error().code, ErrorCode::resource_exhausted) << large.error().message;
  EXPECT_TRUE(client_->fetch({.url = base_ + "/large", .max_response = 100'000}));
  for (const std::string url : {"", "file:///etc/passwd", "nonsense://x", "http://"}) {
    const auto bad = client_->fetch({.url = url});
    ASSERT_FALSE(bad) << url;
    EXPECT_EQ(bad.error().code, ErrorCode::invalid_argument) << bad.error().message;
  }
  const auto injected = client_->fetch({.url = base_, .headers = {{"X", "a\r\nY: b"}}});
  ASSERT_FALSE(injected);
  EXPECT_EQ(injected.error().code, ErrorCode::invalid_argument);
  server_.reset();
  const auto gone = client_->fetch({.url = base_ + "/"});
  ASSERT_FALSE(gone);
  EXPECT_EQ(gone.error().code, ErrorCode::unavailable) << gone.error().message;
}

// libcurl's own words quote what it was given, and a server's answer may, too.
TEST_F(ClientTest, NoErrorNamesASecret) {
  const auto quiet = [](const auto& failed) {
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message.find("Hush"), std::string::npos) << failed.error().message;
  };
  const auto with_credentials = "http://me:Hush1234@" + base_.substr(7);
  quiet(client_->fetch({.url = with_credentials + "/never?token=Hush1234",
                        .timeout = std::chrono::milliseconds(50)}));
  quiet(client_->fetch({.url = with_credentials + "/large?Hush1234", .max_response = 10}));
  quiet(client_->stream({.url = with_credentials + "/denied?token=Hush1234"},
                        [](std::string_view) { return true; }));
  for (const std::string url :
       {"http://Hush1234:x@host:99999/", "gopher://me:Hush1234@host/", "http://me:Hush1234@/",
        "http://host:Hush1234/", "http://me:Hush/1234@host/", "http://me:Hush1234@no.such.invalid/",
        "http://host/\r\n?Hush1234", "Hush1234@", "http://a b:Hush1234@c/"}) {
    quiet(client_->fetch({.url = url, .timeout = std::chrono::milliseconds(500)}));
  }
  quiet(client_->fetch({.url = with_credentials, .headers = {{"Hush1234\n", "x"}}}));
  server_.reset();
  const auto gone = client_->fetch({.url = with_credentials + "/hooks/Hush1234"});
  quiet(gone);
  EXPECT_NE(gone.error().message.find(base_), std::string::npos) << "it still says where";
}

TEST_F(ClientTest, Stream) {
  std::string all;
  const auto whole = client_->stream({.url = base_ + "/events"}, [&](std::string_view chunk) {
    all += chunk;
    return true;
  });
  EXPECT_TRUE(whole) << whole.error().message;
  EXPECT_EQ(all, "data: 1\n\ndata: 2\n\n");
  EXPECT_TRUE(client_->stream({.url = base_ + "/events"}, [&](std::string_view) { return false; }));
  const auto denied =
      client_->stream({.url = base_ + "/denied"}, [](std::string_view) { return true; });
  ASSERT_FALSE(denied);
  EXPECT_EQ(denied.error().code, ErrorCode::unauthenticated);
  EXPECT_NE(denied.error().message.find("401 Unauthorized: no token"), std::string::npos)
      << denied.error().message;
}

TEST_F(ClientTest, StopEndsWhatIsNotAnswered) {
  constexpr std::chrono::minutes kLong{5};
  auto call = std::async(std::launch::async, [&] {
    return client_->fetch({.url = base_ + "/never", .timeout = kLong});
  });
  {
    std::unique_lock lock(mutex_);
    asked_.wait(lock, [&] { return !kept_.empty(); });
  }
  client_->stop(std::chrono::milliseconds(0));
  ASSERT_EQ(call.wait_for(std::chrono::seconds(30)), std::future_status::ready);
  const auto cut = call.get();
  ASSERT_FALSE(cut);
  EXPECT_EQ(cut.error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(cut.error().message,
            "the call of " + base_ + "/never was given up: this process is stopping");
  const auto later = client_->fetch({.url = base_ + "/never", .timeout = kLong});
  ASSERT_FALSE(later);
  EXPECT_EQ(later.error().code, ErrorCode::failed_precondition) << later.error().message;
}

TEST_F(ClientTest, ManyThreads) {
  std::atomic<int> good{0};
  {
    std::vector<std::jthread> threads;
    for (int t = 0; t < 8; ++t) {
      threads.emplace_back([&] {
        for (int i = 0; i < 50; ++i) {
          const auto path = "/" + std::to_string(i);
          const auto response = client_->fetch({.url = base_ + path});
          if (response && response->body == "GET " + path + "? ") ++good;
        }
      });
    }
  }
  EXPECT_EQ(good, 400);
}

} // namespace
} // namespace coalmine::net
