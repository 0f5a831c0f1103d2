// The HTTP/1.1 server over real sockets.
// SPDX-License-Identifier: Apache-2.0
#include "net/http_server.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <condition_variable>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include <fmt/format.h>

#include "base/clock.h"
#include "base/log.h"
#include "net/http2_refusal.h"
#include "net/misdirected_senders.h"
#include "net/test_client.h"
#include "net/test_grpc_client.h"

namespace coalmine::net {
namespace {

using test::eventually;
using test::GrpcClient;
using test::RawClient;

// Echoes what it got, unless a test gives its own handler.
class HttpServerTest : public ::testing::Test {
 protected:
  static void echo(HttpRequest request, std::unique_ptr<Responder> responder) {
    HttpResponse response;
    response.headers = {{"Content-Type", "text/plain"}, {"X-Method", request.method}};
    response.body = request.method + " " + request.path + "?" + request.query + " " +
                    std::to_string(request.body.size()) + " " + request.body.substr(0, 100);
    responder->send(std::move(response));
  }

  Endpoint serve(HttpServer::Options options = {}, HttpServer::Handler handler = &echo) {
    options.listen = *parse_endpoint("127.0.0.1:0");
    auto started = HttpServer::start(options, std::move(handler), metrics_);
    EXPECT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    return server_->endpoint();
  }

  double rejected(const std::string& reason) {
    return metrics_
        .counter("coalmine_net_rejected_total", "", {{"server", "http"}, {"reason", reason}})
        .value();
  }

  SelfMetrics metrics_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, KeepAliveAndPipelining) {
  RawClient client(serve());
  ASSERT_TRUE(client.send("GET /a%20b?x=1&y=%20 HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(client.read_answer().second, "GET /a b?x=1&y=%20 0 ");
  std::string many;
  for (int i = 0; i < 200; ++i)
    many += "POST /p" + std::to_string(i) + " HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  ASSERT_TRUE(client.send(many));
  for (int i = 0; i < 200; ++i)
    EXPECT_EQ(client.read_answer().second, "POST /p" + std::to_string(i) + "? 3 abc");
  ASSERT_TRUE(
      client.send("GET http://host:80/abs?q HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"));
  const auto [head, body] = client.read_answer();
  EXPECT_NE(head.find("Connection: close"), std::string::npos);
  EXPECT_EQ(body, "GET /abs?q 0 ");
  EXPECT_EQ(client.read_to_end(), "");
  EXPECT_FALSE(client.timed_out());
}

TEST_F(HttpServerTest, BytesOneByOne) {
  RawClient client(serve());
  for (const char c :
       std::string("POST /slow HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello"))
    ASSERT_TRUE(client.send({&c, 1}));
  EXPECT_EQ(client.read_answer().second, "POST /slow? 5 hello");
}

TEST_F(HttpServerTest, ChunkedBodyIsPutTogether) {
  RawClient client(serve());
  ASSERT_TRUE(client.send(
      "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"));
  ASSERT_TRUE(client.send(
      "6;ext=1\r\n world\r\n0\r\nTrailer: x\r\n\r\nGET /next HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(client.read_answer().second, "POST /c? 11 hello world");
  EXPECT_EQ(client.read_answer().second, "GET /next? 0 ");
}

TEST_F(HttpServerTest, LargeBodiesOfBothKinds) {
  RawClient client(serve());
  const std::string body(5'000'000, 'x');
  ASSERT_TRUE(client.send("POST /b HTTP/1.1\r\nHost: h\r\nContent-Length: 5000000\r\n\r\n" + body));
  EXPECT_EQ(client.read_answer().second.substr(0, 16), "POST /b? 5000000");
  ASSERT_TRUE(
      client.send("POST /b HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n4c4b40\r\n" +
                  body + "\r\n0\r\n\r\n"));
  EXPECT_EQ(client.read_answer().second.substr(0, 16), "POST /b? 5000000");
}

TEST_F(HttpServerTest, ExpectContinue) {
  RawClient client(serve());
  ASSERT_TRUE(client.send(
      "POST /e HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  ASSERT_TRUE(client.send("ok"));
  EXPECT_EQ(client.read_answer().second, "POST /e? 2 ok");
}

TEST_F(HttpServerTest, HeadHasNoBody) {
  RawClient client(serve());
  ASSERT_TRUE(client.send("HEAD /h HTTP/1.1\r\nHost: h\r\n\r\nGET /g HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Content-Length: 10\r\n"), std::string::npos) << head;
  EXPECT_EQ(client.read_answer().second, "GET /g? 0 ");
}

TEST_F(HttpServerTest, OldClients) {
  const auto endpoint = serve();
  RawClient closing(endpoint);
  ASSERT_TRUE(closing.send("GET /old HTTP/1.0\r\n\r\n"));
  EXPECT_NE(closing.read_to_end().find("GET /old? 0 "), std::string::npos);
  RawClient keeping(endpoint);
  ASSERT_TRUE(keeping.send("GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
  const auto [head, body] = keeping.read_answer();
  EXPECT_NE(head.find("Connection: keep-alive"), std::string::npos);
  EXPECT_EQ(body, "GET /1? 0 ");
}

TEST_F(HttpServerTest, BadRequestsAreAnsweredAndCounted) {
  const auto endpoint = serve({.max_body = 1000});
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"nonsense\r\n\r\n", "400"},
      {"GET / HTTP/3.0\r\n\r\n", "400"},
      {"GET /%zz HTTP/1.1\r\nHost: h\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\n\r\n", "400"},
      {"GET / HTTP/1.1\r\nHost: h\r\nBad Header: x\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: x\r\n\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabcd", "400"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: "
       "chunked\r\n\r\n0\r\n\r\n",
       "400"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip\r\n\r\n", "501"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n", "400"},
      {"POST / HTTP/1.1\r\nHost: h\r\nExpect: magic\r\nContent-Length: 1\r\n\r\n", "417"},
      {"GET / HTTP/1.1\r\nHost: h\r\nX: " + std::string(70'000, 'x') + "\r\n\r\n", "431"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1001\r\n\r\n" + std::string(1001, 'x'),
       "413"},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 99999999999\r\n\r\n", "413"},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3e9\r\n" +
           std::string(1001, 'x') + "\r\n0\r\n\r\n",
       "413"},
  };
  for (const auto& [request, status] : cases) {
    RawClient client(endpoint);
    ASSERT_TRUE(client.send(request));
    client.shutdown_send();
    const auto answer = client.read_to_end();
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 " + status) << request.substr(0, 100) << answer;
  }
  EXPECT_EQ(rejected("bad_request"), 11);
  EXPECT_EQ(rejected("too_large"), 4);
}

TEST_F(HttpServerTest, TruncatedBodyIsNeverHandedOver) {
  std::atomic<int> calls{0};
  const auto endpoint = serve({}, [&](HttpRequest, std::unique_ptr<Responder>) { ++calls; });
  RawClient client(endpoint);
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"));
  client.shutdown_send();
  EXPECT_EQ(client.read_to_end().substr(0, 12), "HTTP/1.1 400");
  EXPECT_EQ(calls, 0);
}

TEST_F(HttpServerTest, OversizeAnswerReachesAClientThatKeepsSending) {
  HttpServer::Options options;
  options.max_body = 1000;
  options.error_body = [](int status, std::string message) {
    return HttpResponse{status, {{"Content-Type", "application/json"}}, "{" + message + "}"};
  };
  RawClient client(serve(options));
  ASSERT_TRUE(client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 8000000\r\n\r\n"));
  client.send(std::string(8'000'000, 'x'));
  const auto [head, body] = client.read_answer();
  EXPECT_EQ(head.substr(0, 12), "HTTP/1.1 413");
  EXPECT_NE(head.find("application/json"), std::string::npos);
  EXPECT_EQ(body,
            "{The request body of 8000000 bytes is larger than the 1000 bytes that are accepted: "
            "send smaller batches.}");
}

TEST(Http2Refusal, TakesFramesInAnyPieces) {
  // SETTINGS with six bytes, WINDOW_UPDATE with four, HEADERS on stream 5.
  const std::string frames("\0\0\6\4\0\0\0\0\0abcdef\0\0\4\10\0\0\0\0\0wwww\0\0\1\1\5\0\0\0\5h",
                           38);
  Http2Refusal whole("no");
  const auto at_once = whole.take(frames);
  EXPECT_TRUE(whole.is_over());
  Http2Refusal pieces("no");
  std::string out;
  for (const char c : frames) {
    if (!pieces.is_over()) out += pieces.take({&c, 1});
  }
  EXPECT_EQ(out, at_once);
  EXPECT_NE(out.find("grpc-message\x02no"), std::string::npos);
  Http2Refusal idle("no");
  for (int i = 0; i < 10 && !idle.is_over(); ++i) idle.take(std::string(9'000, '\0'));
  EXPECT_TRUE(idle.is_over()) << "what calls nothing is not listened to for ever";
}

TEST(MisdirectedSenders, AreForgottenAndBounded) {
  ManualClock clock;
  set_log_level(LogLevel::off);
  MisdirectedSenders senders(clock);
  for (std::size_t i = 0; i < MisdirectedSenders::kMost + 5; ++i)
    senders.note("otlp_http", fmt::format("10.0.0.{}:1", i), "wrong");
  EXPECT_EQ(senders.list().size(), MisdirectedSenders::kMost);
  clock.advance_ms(2 * 3600 * 1000);
  senders.note("otlp_http", "10.0.0.7:99", "wrong");
  ASSERT_EQ(senders.list().size(), 1u);
  EXPECT_EQ(senders.list()[0].count, 2u);
  clock.advance_ms(23 * 3600 * 1000);
  senders.note("otlp_http", "[::1]:4", "wrong"); // room: those of yesterday are gone
  EXPECT_EQ(senders.list()[0].address, "[::1]");
}

TEST_F(HttpServerTest, Http2AndTlsAreToldWhereToGo) {
  const ManualClock clock;
  HttpServer::Options options;
  options.misdirected = std::make_shared<MisdirectedSenders>(clock);
  const auto endpoint = serve(options);
  for (int i = 0; i < 2; ++i) {
    GrpcClient grpc(endpoint);
    const auto answer = grpc.call(frame_message(std::string(100'000, 'x')));
    EXPECT_EQ(answer.field(":status"), "200");
    EXPECT_EQ(answer.field("grpc-status"), "12");
    EXPECT_EQ(answer.field("grpc-message"),
              "This is the HTTP/1.1 port (http), and the connection begins with HTTP/2: gRPC goes "
              "to the OTLP/gRPC port, 4317 by default.");
    EXPECT_TRUE(answer.closed);
  }
  const auto told = options.misdirected->list();
  ASSERT_EQ(told.size(), 1u) << "one sender, whatever port it sends from";
  EXPECT_EQ(told[0].address, "127.0.0.1");
  EXPECT_EQ(told[0].listener, "http");
  EXPECT_EQ(told[0].count, 2u);
  RawClient tls(endpoint);
  ASSERT_TRUE(tls.send("\x16\x03\x01\x02"));
  EXPECT_NE(tls.read_to_end().find("http://"), std::string::npos);
  EXPECT_EQ(rejected("wrong_protocol"), 3);
  EXPECT_EQ(options.misdirected->list().size(), 2u);
  RawClient almost(endpoint); // P of POST, byte by byte
  ASSERT_TRUE(almost.send("P"));
  ASSERT_TRUE(almost.send("RI / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(almost.read_answer().second, "PRI /? 0 ");
}

TEST_F(HttpServerTest, SlowRequestIsAnswered408AndIdleOneClosed) {
  const auto endpoint = serve({.idle_timeout = std::chrono::seconds(1)});
  RawClient partial(endpoint);
  RawClient body(endpoint);
  RawClient idle(endpoint);
  ASSERT_TRUE(partial.send("GET / HTTP"));
  ASSERT_TRUE(body.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nabc"));
  EXPECT_EQ(partial.read_to_end().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(body.read_to_end().substr(0, 12), "HTTP/1.1 408");
  EXPECT_EQ(idle.read_to_end(), "");
  EXPECT_FALSE(idle.timed_out());
  EXPECT_EQ(rejected("timeout"), 2);
}

TEST_F(HttpServerTest, ResponderFromAnotherThreadAndDropped) {
  std::vector<std::jthread> pool;
  const auto endpoint = serve({}, [&](HttpRequest request, std::unique_ptr<Responder> responder) {
    if (request.path == "/drop") return;
    if (request.path == "/throw") throw std::runtime_error("oops");
    pool.emplace_back([responder = std::move(responder)] {
      responder->send({201, {}, "late"});
      responder->send({200, {}, "twice"});
    });
  });
  RawClient client(endpoint);
  ASSERT_TRUE(
      client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\nGET /drop HTTP/1.1\r\nHost: h\r\n\r\nGET "
                  "/throw HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(client.read_answer().second, "late");
  EXPECT_EQ(client.read_answer().first.substr(0, 12), "HTTP/1.1 500");
  EXPECT_EQ(client.read_answer().first.substr(0, 12), "HTTP/1.1 500");
}

TEST_F(HttpServerTest, HeadersCannotBeInjected) {
  RawClient client(serve({}, [](HttpRequest, std::unique_ptr<Responder> responder) {
    responder->send(
        {200, {{"X-A", "1\r\nSet-Cookie: evil"}, {"Content-Length", "999"}, {"X-B", "2"}}, "hi"});
  }));
  ASSERT_TRUE(client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto [head, body] = client.read_answer();
  EXPECT_EQ(body, "hi");
  EXPECT_EQ(head.find("evil"), std::string::npos);
  EXPECT_NE(head.find("X-B: 2"), std::string::npos);
}

TEST_F(HttpServerTest, ConnectionCap) {
  const auto endpoint = serve({.max_connections = 2});
  RawClient one(endpoint);
  RawClient two(endpoint);
  ASSERT_TRUE(one.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(two.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_NE(one.read_answer().second, "");
  EXPECT_NE(two.read_answer().second, "");
  RawClient three(endpoint);
  EXPECT_EQ(three.read_to_end(), "");
  EXPECT_FALSE(three.timed_out());
  EXPECT_EQ(rejected("too_many_connections"), 1);
  one.close();
  ASSERT_TRUE(eventually([&] {
    RawClient four(endpoint);
    four.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
    return !four.read_answer().second.empty();
  }));
}

TEST_F(HttpServerTest, BytesInFlightAreBounded) {
  std::mutex mutex;
  std::vector<std::unique_ptr<Responder>> held;
  const auto endpoint =
      serve({.max_in_flight_bytes = 1000}, [&](HttpRequest, std::unique_ptr<Responder> responder) {
        std::lock_guard lock(mutex);
        held.push_back(std::move(responder));
      });
  const std::string post =
      "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 600\r\n\r\n" + std::string(600, 'x');
  RawClient first(endpoint);
  ASSERT_TRUE(first.send(post));
  const auto waiting = [&] {
    std::lock_guard lock(mutex);
    return held.size();
  };
  ASSERT_TRUE(eventually([&] { return waiting() == 1; }));
  RawClient second(endpoint);
  ASSERT_TRUE(second.send(post));
  const auto head = second.read_answer().first;
  EXPECT_EQ(head.substr(0, 12), "HTTP/1.1 503");
  EXPECT_NE(head.find("Retry-After: 1\r\n"), std::string::npos);
  EXPECT_EQ(rejected("overloaded"), 1);
  {
    std::lock_guard lock(mutex);
    held[0]->send({});
  }
  EXPECT_EQ(first.read_answer().first.substr(0, 12), "HTTP/1.1 200");
  RawClient third(endpoint);
  ASSERT_TRUE(third.send(post));
  EXPECT_TRUE(eventually([&] { return waiting() == 2; }));
}

TEST_F(HttpServerTest, EventStream) {
  std::promise<std::shared_ptr<Responder::Stream>> opened;
  const auto endpoint = serve({}, [&](HttpRequest, std::unique_ptr<Responder> responder) {
    opened.set_value(responder->start_stream({200, {{"Content-Type", "text/event-stream"}}, ""}));
  });
  RawClient client(endpoint);
  ASSERT_TRUE(client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n"));
  auto stream = opened.get_future().get();
  EXPECT_TRUE(stream->write("data: 1\n\n"));
  const auto head = client.read_until("\r\n\r\n");
  EXPECT_NE(head.find("Transfer-Encoding: chunked"), std::string::npos);
  EXPECT_EQ(client.read_until("data: 1\n\n\r\n"), "9\r\ndata: 1\n\n\r\n");
  EXPECT_TRUE(stream->write("data: 2\n\n"));
  EXPECT_EQ(client.read_until("data: 2\n\n\r\n"), "9\r\ndata: 2\n\n\r\n");
  stream.reset();
  EXPECT_EQ(client.read_to_end(), "0\r\n\r\n");
  EXPECT_FALSE(client.timed_out());
}

TEST_F(HttpServerTest, EventStreamOfAGoneOrLazyClient) {
  std::mutex mutex;
  std::vector<std::shared_ptr<Responder::Stream>> streams;
  const auto endpoint = serve({}, [&](HttpRequest, std::unique_ptr<Responder> responder) {
    std::lock_guard lock(mutex);
    streams.push_back(responder->start_stream({}));
  });
  const auto stream = [&](std::size_t i) {
    std::lock_guard lock(mutex);
    return i < streams.size() ? streams[i] : nullptr;
  };
  RawClient lazy(endpoint, 4096);
  ASSERT_TRUE(lazy.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(eventually([&] { return stream(0) != nullptr; }));
  std::size_t accepted = 0;
  while (accepted < (64u << 20) && stream(0)->write(std::string(100'000, 'x'))) accepted += 100'000;
  EXPECT_LT(accepted, 16u << 20); // the kernel's buffers and one mebibyte
  RawClient gone(endpoint);
  ASSERT_TRUE(gone.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(eventually([&] { return stream(1) != nullptr; }));
  gone.close();
  EXPECT_TRUE(eventually([&] { return !stream(1)->write(": beat\n\n"); }));
}

// Whoever is dropped behind a large beginning comes back for the same again, for ever.
TEST_F(HttpServerTest, AnEventStreamMayBeginWithMuch) {
  std::promise<std::shared_ptr<Responder::Stream>> opened;
  const auto endpoint = serve({}, [&](HttpRequest, std::unique_ptr<Responder> responder) {
    opened.set_value(responder->start_stream({}));
  });
  RawClient client(endpoint, 4096); // it does not read yet
  ASSERT_TRUE(client.send("GET /events HTTP/1.1\r\nHost: h\r\n\r\n"));
  const auto stream = opened.get_future().get();
  EXPECT_TRUE(stream->write(std::string(24u << 20, 'x')));
  for (int i = 0; i < 10; ++i) EXPECT_TRUE(stream->write(std::string(50'000, 'y'))) << i;
  std::size_t more = 0;
  while (more < (64u << 20) && stream->write(std::string(100'000, 'z'))) more += 100'000;
  EXPECT_LT(more, 16u << 20) << "a client that never reads is dropped all the same";
}

TEST_F(HttpServerTest, PortInUseNamesTheHolder) {
  const auto endpoint = serve();
  const auto second = HttpServer::start({.listen = endpoint}, &echo, metrics_);
  ASSERT_FALSE(second);
  EXPECT_EQ(second.error().code, ErrorCode::unavailable);
  const auto pid = "(pid " + std::to_string(::getpid()) + ")";
  EXPECT_NE(second.error().message.find(pid), std::string::npos) << second.error().message;
  EXPECT_NE(second.error().message.find("in use by net_test"), std::string::npos)
      << second.error().message;
}

TEST_F(HttpServerTest, BadAddressSaysWhy) {
  const auto foreign = HttpServer::start({.listen = {"203.0.113.1", 0}}, &echo, metrics_);
  ASSERT_FALSE(foreign);
  EXPECT_NE(foreign.error().message.find("no interface"), std::string::npos)
      << foreign.error().message;
}

TEST_F(HttpServerTest, SurvivesRunningOutOfDescriptors) {
  const auto endpoint = serve();
  rlimit before{};
  getrlimit(RLIMIT_NOFILE, &before);
  std::vector<RawClient> clients;
  for (int i = 0; i < 3; ++i)
    clients.emplace_back(endpoint); // sockets first: a client needs descriptors too
  for (auto& client : clients) client.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  for (auto& client : clients) EXPECT_NE(client.read_answer().second, "");
  RawClient waiting(endpoint, 0);
  ASSERT_TRUE(waiting.send("GET /first HTTP/1.1\r\nHost: h\r\n\r\n"));
  EXPECT_EQ(waiting.read_answer().second, "GET /first? 0 ");

  // Opened before the limit falls, connected after.
  const int spare = ::socket(AF_INET, SOCK_STREAM, 0);
  rlimit low = before;
  low.rlim_cur = 3;
  setrlimit(RLIMIT_NOFILE, &low);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(endpoint.port);
  inet_pton(AF_INET, "127.0.0.1", &address.sin_addr);
  ASSERT_EQ(::connect(spare, reinterpret_cast<const sockaddr*>(&address), sizeof(address)), 0);
  const std::string request = "GET /starved HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";
  ASSERT_EQ(::send(spare, request.data(), request.size(), MSG_NOSIGNAL),
            static_cast<ssize_t>(request.size()));
  pollfd poller{spare, POLLIN, 0};
  EXPECT_EQ(::poll(&poller, 1, 250), 0); // nobody can accept it
  setrlimit(RLIMIT_NOFILE, &before);
  EXPECT_EQ(::poll(&poller, 1, 10'000), 1); // and then somebody does
  std::string answer(4096, '\0');
  answer.resize(static_cast<std::size_t>(
      std::max<ssize_t>(0, ::recv(spare, answer.data(), answer.size(), 0))));
  EXPECT_NE(answer.find("GET /starved? 0 "), std::string::npos) << answer;
  ::close(spare);
}

TEST_F(HttpServerTest, StopWaitsForRunningRequestsAndSurvivesLateOnes) {
  std::promise<std::unique_ptr<Responder>> first;
  std::promise<std::unique_ptr<Responder>> second;
  const auto endpoint = serve({}, [&](HttpRequest request, std::unique_ptr<Responder> responder) {
    (request.path == "/1" ? first : second).set_value(std::move(responder));
  });
  RawClient running(endpoint);
  RawClient never(endpoint);
  RawClient idle(endpoint);
  ASSERT_TRUE(running.send("GET /1 HTTP/1.1\r\nHost: h\r\n\r\n"));
  ASSERT_TRUE(never.send("GET /2 HTTP/1.1\r\nHost: h\r\n\r\n"));
  auto answer = first.get_future().get();
  auto late = second.get_future().get();
  std::jthread stopping([&] { server_.reset(); });
  EXPECT_EQ(idle.read_to_end(), ""); // closed at once
  EXPECT_FALSE(idle.timed_out());
  answer->send({200, {}, "in time"});
  EXPECT_EQ(running.read_answer().second, "in time");
  stopping.join();
  EXPECT_EQ(never.read_to_end(), "");
  late->send({200, {}, "too late"}); // nothing to answer, nothing breaks
  late.reset();
  EXPECT_FALSE(RawClient(endpoint).connected());
}

TEST_F(HttpServerTest, ManyClientsAtOnce) {
  const auto endpoint = serve();
  std::vector<std::jthread> threads;
  std::atomic<int> good{0};
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 50; ++i) {
        RawClient client(endpoint);
        client.send("POST /m HTTP/1.1\r\nHost: h\r\nContent-Length: 20000\r\n\r\n" +
                    std::string(20'000, 'm'));
        if (client.read_answer().second.starts_with("POST /m? 20000")) ++good;
      }
    });
  }
  threads.clear();
  EXPECT_EQ(good, 200);
  EXPECT_NE(metrics_.render().find("coalmine_net_connections_total{server=\"http\"} 200"),
            std::string::npos);
  EXPECT_TRUE(eventually([&] {
    return metrics_.render().find("coalmine_net_open_connections{server=\"http\"} 0\n") !=
           std::string::npos;
  }));
}

} // namespace
} // namespace coalmine::net
