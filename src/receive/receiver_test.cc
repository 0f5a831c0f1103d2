// The receiver on real sockets: both listeners, answers over the wire, ports in use, the end.
// SPDX-License-Identifier: Apache-2.0
#include "receive/receiver.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <future>

#include "net/http_client.h"
#include "receive/fake_store_for_test.h"
#include "receive/payload_for_test.h"

namespace coalmine::receive {
namespace {

namespace p = payload;

std::string good_traces() {
  return p::to_protobuf(p::request("traces", p::canary_resource(),
                                   {p::span(std::string(16, 'a'), std::string(8, 'b'), "s")}));
}

class ReceiverTest : public testing::Test {
 protected:
  void start(Limits limits = {}) {
    Options options;
    options.grpc = {"127.0.0.1", 0};
    options.http = {"127.0.0.1", 0};
    options.limits = limits;
    auto started = Receiver::start(options, store_, clock_, metrics_);
    ASSERT_TRUE(started) << started.error().message;
    receiver_ = std::move(*started);
  }
  net::HttpResponse post(net::Endpoint to, std::string path, std::string body,
                         net::Headers headers) {
    net::ClientRequest request;
    request.method = "POST";
    request.url = fmt::format("http://{}:{}{}", to.host, to.port, path);
    request.headers = std::move(headers);
    request.body = std::move(body);
    auto response = client_->fetch(request);
    EXPECT_TRUE(response) << response.error().message;
    return response ? std::move(*response) : net::HttpResponse{};
  }

  ManualClock clock_;
  SelfMetrics metrics_;
  FakeStore store_;
  std::unique_ptr<net::HttpClient> client_ = net::make_http_client();
  std::unique_ptr<Receiver> receiver_;
};

const net::Headers kProtobufType = {{"Content-Type", "application/x-protobuf"}};

TEST_F(ReceiverTest, TakesProtobufAndJsonOverHttp) {
  start();
  const auto http = receiver_->http_endpoint();
  EXPECT_NE(http.port, 0);
  EXPECT_NE(receiver_->grpc_endpoint().port, http.port);
  EXPECT_EQ(post(http, "/v1/traces", good_traces(), kProtobufType).status, 200);
  const auto json =
      post(http, "/v1/metrics",
           R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"m","gauge":{"dataPoints":[
      {"timeUnixNano":"1700000000000000000","asInt":"7"}]}}]}]}]})",
           {{"Content-Type", "application/json"}});
  EXPECT_EQ(json.status, 200);
  EXPECT_EQ(json.body, "{}");
  const auto batches = store_.batches();
  ASSERT_EQ(batches.size(), 2u);
  EXPECT_EQ(batches[0].spans.span(0).resource->version, "2.4.0");
  EXPECT_EQ(batches[1].points.at(0).series->resource->instance, "127.0.0.1")
      << "nothing else tells the sender";
}

TEST_F(ReceiverTest, RefusesWhatIsTooLargeOrElsewhere) {
  Limits limits;
  limits.max_wire_bytes = 1000;
  start(limits);
  const auto http = receiver_->http_endpoint();
  const auto large = post(http, "/v1/traces", std::string(5000, 'x'), kProtobufType);
  EXPECT_EQ(large.status, 413);
  EXPECT_NE(large.body.find("\"code\":8"), std::string::npos) << large.body;
  EXPECT_EQ(post(http, "/", "{}", {{"Content-Type", "application/json"}}).status, 404);
  const auto wrong_port =
      post(receiver_->grpc_endpoint(), "/v1/traces", good_traces(), kProtobufType);
  EXPECT_EQ(wrong_port.status, 400) << "HTTP/1 on the gRPC port";
  EXPECT_TRUE(store_.batches().empty());
}

TEST_F(ReceiverTest, APortInUseIsAnErrorThatNamesIt) {
  start();
  Options options;
  options.grpc = {"127.0.0.1", 0};
  options.http = receiver_->http_endpoint();
  const auto second = Receiver::start(options, store_, clock_, metrics_);
  ASSERT_FALSE(second);
  EXPECT_NE(second.error().message.find(std::to_string(options.http.port)), std::string::npos)
      << second.error().message;
}

TEST_F(ReceiverTest, WhatWasAcceptedIsFinishedAtTheEnd) {
  start();
  store_.hold();
  auto answer = std::async(std::launch::async, [&, to = receiver_->http_endpoint()] {
    net::ClientRequest request;
    request.method = "POST";
    request.url = fmt::format("http://127.0.0.1:{}/v1/traces", to.port);
    request.headers = kProtobufType;
    request.body = good_traces();
    return client_->fetch(request).has_value();
  });
  store_.wait_for_waiting(1);
  auto ending = std::async(std::launch::async, [&] { receiver_.reset(); });
  store_.release();
  ending.wait();
  answer.wait(); // answered or cut off, by who was first; the batch is in the store either way
  EXPECT_EQ(store_.batches().size(), 1u);
}

} // namespace
} // namespace coalmine::receive
