// The gRPC server over real sockets.
// SPDX-License-Identifier: Apache-2.0
#include "net/grpc_server.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

#include "base/clock.h"
#include "net/grpc_frames.h"
#include "net/misdirected_senders.h"
#include "net/test_grpc_client.h"

namespace coalmine::net {
namespace {

using namespace std::string_view_literals;
using test::eventually;
using test::GrpcAnswer;
using test::GrpcClient;
using test::RawClient;

class GrpcServerTest : public ::testing::Test {
 protected:
  static void describe(GrpcRequest request, GrpcServer::Reply reply) {
    GrpcResponse response;
    response.message = request.path + " " + std::to_string(request.message.size()) + " " +
                       request.message.substr(0, 50) +
                       (request.compressed ? " compressed " : " plain ") + request.encoding;
    reply(std::move(response));
  }

  Endpoint serve(GrpcServer::Options options = {}, GrpcServer::Handler handler = &describe) {
    options.listen = *parse_endpoint("127.0.0.1:0");
    auto started = GrpcServer::start(options, std::move(handler), metrics_);
    EXPECT_TRUE(started) << started.error().message;
    server_ = std::move(*started);
    return server_->endpoint();
  }

  double rejected(const std::string& reason) {
    return metrics_
        .counter("coalmine_net_rejected_total", "", {{"server", "grpc"}, {"reason", reason}})
        .value();
  }

  SelfMetrics metrics_;
  std::unique_ptr<GrpcServer> server_;
};

TEST_F(GrpcServerTest, Calls) {
  GrpcClient client(serve());
  const auto answer = client.call(frame_message("hello"));
  EXPECT_EQ(answer.field(":status"), "200");
  EXPECT_EQ(answer.field("content-type"), "application/grpc");
  EXPECT_EQ(answer.field("grpc-status"), "0");
  EXPECT_EQ(answer.field("grpc-accept-encoding"), "identity,gzip");
  EXPECT_EQ(answer.body, frame_message("/test.Service/Call 5 hello plain "));
  EXPECT_EQ(client.call(frame_message("")).body, frame_message("/test.Service/Call 0  plain "));
  EXPECT_EQ(client.call(frame_message("x"), {{"content-type", "application/grpc+proto"}})
                .field("grpc-status"),
            "0");
}

TEST_F(GrpcServerTest, CompressionIsTheHandlersBusiness) {
  GrpcClient client(serve());
  auto message = frame_message("??");
  message[0] = 1;
  EXPECT_EQ(client.call(message, {{"grpc-encoding", "snappy"}}).body,
            frame_message("/test.Service/Call 2 ?? compressed snappy"));
  const auto nameless = client.call(message);
  EXPECT_EQ(nameless.field("grpc-status"), "13");
  EXPECT_NE(nameless.field("grpc-message").find("grpc-encoding"), std::string::npos);
}

TEST_F(GrpcServerTest, LargeMessages) {
  GrpcClient client(serve());
  for (const std::size_t size : {100'000u, 5'000'000u, 20'000'000u}) {
    const auto answer = client.call(frame_message(std::string(size, 'x')));
    EXPECT_EQ(answer.field("grpc-status"), "0");
    EXPECT_NE(answer.body.find(" " + std::to_string(size) + " x"), std::string::npos);
  }
}

TEST_F(GrpcServerTest, LargeAnswer) {
  GrpcClient client(serve({}, [](GrpcRequest, GrpcServer::Reply reply) {
    reply({.message = std::string(3'000'000, 'y')});
  }));
  const auto answer = client.call(frame_message(""));
  EXPECT_EQ(answer.field("grpc-status"), "0");
  EXPECT_EQ(answer.body.size(), 3'000'005u);
}

TEST_F(GrpcServerTest, ErrorsAreTrailersOnly) {
  GrpcClient client(serve({}, [](GrpcRequest, GrpcServer::Reply reply) {
    reply({.status = GrpcStatus::unavailable,
           .status_message = "100% busy: später",
           .status_details = "\x08\x0e\xff",
           .message = "never"});
  }));
  const auto answer = client.call(frame_message("x"));
  EXPECT_EQ(answer.field(":status"), "200");
  EXPECT_EQ(answer.field("grpc-status"), "14");
  EXPECT_EQ(answer.field("grpc-message"), "100%25 busy: sp%C3%A4ter");
  EXPECT_EQ(answer.field("grpc-status-details-bin"), "CA7/");
  EXPECT_EQ(answer.body, "");
}

TEST_F(GrpcServerTest, BadBodies) {
  std::atomic<int> calls{0};
  const auto endpoint = serve({.max_message = 1000}, [&](GrpcRequest, GrpcServer::Reply reply) {
    ++calls;
    reply({});
  });
  struct Case {
    std::string body;
    std::string status;
    std::string part;
  };
  const std::vector<Case> cases = {
      {"", "12", "no message"},
      {std::string("\0\0\0"sv), "3", "3 of the 5 bytes"},
      {std::string("\0\0\0\0\5hell"sv), "3", "4 of 5 bytes"},
      {std::string("\7\0\0\0\0"sv), "3", "first byte is 7"},
      {"{\"resourceSpans\":[]}", "3", "first byte is 123"},
      {frame_message("a") + frame_message("b"), "12", "more than one"},
      {frame_message(std::string(1001, 'x')), "8", "1001 bytes"},
      {std::string("\0\xff\xff\xff\xff"sv), "8", "4294967295 bytes"},
  };
  for (const auto& [body, status, part] : cases) {
    GrpcClient client(endpoint);
    const auto answer = client.call(body);
    EXPECT_EQ(answer.field("grpc-status"), status) << part;
    EXPECT_NE(answer.field("grpc-message").find(part), std::string::npos)
        << answer.field("grpc-message");
    EXPECT_EQ(client.call(frame_message("fine")).field("grpc-status"), "0")
        << "the connection lives on";
  }
  EXPECT_EQ(calls, static_cast<int>(cases.size()));
  EXPECT_EQ(rejected("too_large"), 2);
  EXPECT_EQ(rejected("bad_request"), 6);
}

TEST_F(GrpcServerTest, OversizeEndsBeforeTheBodyHasArrived) {
  GrpcClient client(serve({.max_message = 1000}));
  const auto stream = client.start(std::string("\0\0\x10\0\0"sv) + std::string(500, 'x'), {}, true);
  EXPECT_TRUE(client.run([&] { return client.answers[stream].closed; }));
  EXPECT_EQ(client.answers[stream].field("grpc-status"), "8");
  EXPECT_EQ(client.answers[stream].error, static_cast<std::uint32_t>(NGHTTP2_NO_ERROR));
}

TEST_F(GrpcServerTest, NotGrpc) {
  GrpcClient client(serve());
  const auto json = client.call("{}", {{"content-type", "application/json"}});
  EXPECT_EQ(json.field(":status"), "415");
  EXPECT_NE(json.body.find("4318"), std::string::npos);
  EXPECT_EQ(client.call("{}", {{"content-type", "application/grpcish"}}).field(":status"), "415");
  const auto get = client.call("", {{":method", "GET"}});
  EXPECT_EQ(get.field(":status"), "405");
  EXPECT_EQ(get.field("allow"), "POST");
  EXPECT_EQ(
      client.call(frame_message("x"), {{"x-big", std::string(40'000, 'h')}}).field("grpc-status"),
      "8");
  EXPECT_EQ(client.call(frame_message("x")).field("grpc-status"), "0");
}

TEST_F(GrpcServerTest, Http1AndTlsAreToldWhereToGo) {
  const ManualClock clock;
  GrpcServer::Options options;
  options.misdirected = std::make_shared<MisdirectedSenders>(clock);
  const auto endpoint = serve(options);
  for (const auto* request : {"POST /v1/traces HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}",
                              "PRI * HTTP/1.1\r\n\r\n", "x"}) {
    RawClient client(endpoint);
    ASSERT_TRUE(client.send(request));
    const auto answer = client.read_to_end();
    EXPECT_EQ(answer.substr(0, 12), "HTTP/1.1 400");
    EXPECT_NE(answer.find("OTLP/HTTP port, 4318"), std::string::npos) << answer;
  }
  RawClient tls(endpoint);
  ASSERT_TRUE(tls.send("\x16\x03\x01\x02"));
  EXPECT_NE(tls.read_to_end().find("TLS"), std::string::npos);
  EXPECT_EQ(rejected("wrong_protocol"), 4);
  const auto told = options.misdirected->list();
  ASSERT_EQ(told.size(), 2u) << "HTTP/1 and TLS";
  EXPECT_EQ(told[0].count + told[1].count, 4u);
  EXPECT_EQ(told[0].address, "127.0.0.1");
}

TEST_F(GrpcServerTest, PrefaceByteByByte) {
  RawClient client(serve());
  for (const char c : std::string("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"))
    ASSERT_TRUE(client.send({&c, 1}));
  ASSERT_TRUE(client.send("\0\0\0\4\0\0\0\0\0"sv));     // empty SETTINGS
  EXPECT_EQ(client.read_exactly(9).substr(3, 1), "\4"); // the server's
}

TEST_F(GrpcServerTest, GarbageAfterThePreface) {
  RawClient client(serve());
  ASSERT_TRUE(client.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + std::string(5000, 'x')));
  client.read_to_end();
  EXPECT_FALSE(client.timed_out());
  EXPECT_EQ(rejected("bad_request"), 1);
}

TEST_F(GrpcServerTest, ManyStreamsAnsweredFromManyThreads) {
  std::mutex mutex;
  std::vector<std::jthread> pool;
  const auto endpoint = serve({}, [&](GrpcRequest request, GrpcServer::Reply reply) {
    std::lock_guard lock(mutex);
    pool.emplace_back([request = std::move(request), reply = std::move(reply)]() mutable {
      reply({.message = request.message});
    });
  });
  GrpcClient client(endpoint);
  std::vector<std::int32_t> streams;
  for (int i = 0; i < 300; ++i)
    streams.push_back(client.start(frame_message("message " + std::to_string(i))));
  EXPECT_TRUE(client.run([&] {
    return std::all_of(streams.begin(), streams.end(),
                       [&](auto id) { return client.answers[id].closed; });
  }));
  for (std::size_t i = 0; i < streams.size(); ++i) {
    EXPECT_EQ(client.answers[streams[i]].body, frame_message("message " + std::to_string(i)));
  }
  server_.reset();
}

TEST_F(GrpcServerTest, DroppedReplyAndThrowingHandler) {
  GrpcClient client(serve({}, [](GrpcRequest request, GrpcServer::Reply) {
    if (request.message == "throw") throw std::runtime_error("oops");
  }));
  EXPECT_EQ(client.call(frame_message("drop")).field("grpc-status"), "13");
  EXPECT_EQ(client.call(frame_message("throw")).field("grpc-status"), "13");
}

TEST_F(GrpcServerTest, ClientResetsBeforeAndAfterTheRequestIsWhole) {
  std::mutex mutex;
  std::vector<GrpcServer::Reply> held;
  const auto endpoint =
      serve({.max_in_flight_bytes = 1000}, [&](GrpcRequest request, GrpcServer::Reply reply) {
        if (request.message == "now") return reply({});
        std::lock_guard lock(mutex);
        held.push_back(std::move(reply));
      });
  const auto waiting = [&] {
    std::lock_guard lock(mutex);
    return held.size();
  };
  GrpcClient client(endpoint);
  const auto partial = client.start(frame_message(std::string(600, 'x')).substr(0, 300), {}, true);
  client.send();
  nghttp2_submit_rst_stream(client.session(), NGHTTP2_FLAG_NONE, partial, NGHTTP2_CANCEL);
  const auto whole = client.start(frame_message(std::string(600, 'y')));
  client.send();
  ASSERT_TRUE(eventually([&] { return waiting() == 1; }));
  nghttp2_submit_rst_stream(client.session(), NGHTTP2_FLAG_NONE, whole, NGHTTP2_CANCEL);
  // The bytes of the cancelled call are still in the handler's hands, and count.
  EXPECT_EQ(client.call(frame_message(std::string(600, 'z'))).field("grpc-status"), "14");
  held[0]({.message = "too late"});
  EXPECT_EQ(client.call(frame_message("now")).field("grpc-status"), "0");
  const auto third = client.start(frame_message(std::string(600, 'y')));
  client.send();
  ASSERT_TRUE(eventually([&] { return waiting() == 2; }));
  held[1]({.message = "done"});
  EXPECT_TRUE(client.run([&] { return client.answers[third].closed; }));
  EXPECT_EQ(client.answers[third].body, frame_message("done"));
  EXPECT_EQ(rejected("overloaded"), 1);
}

TEST_F(GrpcServerTest, PingsAreAnsweredAndFloodsAreNot) {
  GrpcClient client(serve());
  for (int i = 0; i < 20; ++i) nghttp2_submit_ping(client.session(), NGHTTP2_FLAG_NONE, nullptr);
  EXPECT_TRUE(client.run([&] { return client.pongs == 20; }));
  client.call(frame_message("x"));
  for (int i = 0; i < 900; ++i) nghttp2_submit_ping(client.session(), NGHTTP2_FLAG_NONE, nullptr);
  client.run([&] { return client.goaway >= 0; });
  EXPECT_EQ(client.goaway, static_cast<int>(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_EQ(rejected("flood"), 1);
}

TEST_F(GrpcServerTest, RapidReset) {
  std::atomic<int> calls{0};
  GrpcClient client(serve({}, [&](GrpcRequest, GrpcServer::Reply reply) {
    ++calls;
    reply({});
  }));
  client.call(frame_message("x"));
  for (int i = 0; i < 2000 && client.goaway < 0; ++i) {
    const auto stream = client.start("", {}, true);
    client.send();
    nghttp2_submit_rst_stream(client.session(), NGHTTP2_FLAG_NONE, stream, NGHTTP2_CANCEL);
    if (!client.send()) break;
  }
  client.run([&] { return client.goaway >= 0; });
  EXPECT_EQ(client.goaway, static_cast<int>(NGHTTP2_ENHANCE_YOUR_CALM));
  EXPECT_EQ(rejected("flood"), 1);
  EXPECT_EQ(calls, 1);
}

TEST_F(GrpcServerTest, SlowRequestAndSlowPreface) {
  const auto endpoint = serve({.request_timeout = std::chrono::seconds(1)});
  RawClient silent(endpoint);
  GrpcClient client(endpoint);
  const auto stream = client.start(frame_message("hello").substr(0, 7), {}, true);
  EXPECT_TRUE(client.run([&] { return client.answers[stream].closed; }));
  EXPECT_EQ(client.answers[stream].field("grpc-status"), "4");
  EXPECT_EQ(silent.read_to_end(), "");
  EXPECT_FALSE(silent.timed_out());
  EXPECT_EQ(rejected("timeout"), 2);
}

TEST_F(GrpcServerTest, ConnectionCapAndPortInUse) {
  const auto endpoint = serve({.max_connections = 1});
  GrpcClient client(endpoint);
  EXPECT_EQ(client.call(frame_message("x")).field("grpc-status"), "0");
  RawClient second(endpoint);
  EXPECT_EQ(second.read_to_end(), "");
  EXPECT_EQ(rejected("too_many_connections"), 1);
  const auto taken = GrpcServer::start({.listen = endpoint}, &describe, metrics_);
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().code, ErrorCode::unavailable);
  EXPECT_NE(taken.error().message.find("in use by net_test"), std::string::npos)
      << taken.error().message;
}

TEST_F(GrpcServerTest, StopFinishesRunningCallsAndSurvivesLateReplies) {
  std::promise<GrpcServer::Reply> first;
  std::promise<GrpcServer::Reply> second;
  const auto endpoint = serve({}, [&](GrpcRequest request, GrpcServer::Reply reply) {
    (request.message == "1" ? first : second).set_value(std::move(reply));
  });
  GrpcClient running(endpoint);
  GrpcClient never(endpoint);
  const auto stream = running.start(frame_message("1"));
  never.start(frame_message("2"));
  running.send();
  never.send();
  auto answer = first.get_future().get();
  auto late = second.get_future().get();
  std::jthread stopping([&] { server_.reset(); });
  EXPECT_TRUE(running.run([&] { return running.goaway >= 0; }));
  answer({.message = "in time"});
  EXPECT_TRUE(running.run([&] { return running.answers[stream].closed; }));
  EXPECT_EQ(running.answers[stream].body, frame_message("in time"));
  stopping.join();
  late({.message = "too late"});
}

} // namespace
} // namespace coalmine::net
