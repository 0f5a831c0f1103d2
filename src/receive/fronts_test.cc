// The protocols' rules: paths, methods, content types, statuses, partial success, back-pressure. No
// network.
// SPDX-License-Identifier: Apache-2.0
#include "receive/fronts.h"

#include <gtest/gtest.h>

#include <future>
#include <protozero/pbf_reader.hpp>

#include "receive/answers.h"
#include "receive/fake_store_for_test.h"
#include "receive/payload_for_test.h"

namespace coalmine::receive {
namespace {

namespace p = payload;
const std::string kGoodTraces = p::to_protobuf(p::request(
    "traces", p::canary_resource(), {p::span(std::string(16, 'a'), std::string(8, 'b'), "s")}));
const std::string kHalfBadTraces =
    p::to_protobuf(p::request("traces", p::canary_resource(),
                              {p::span(std::string(16, 'a'), std::string(8, 'b'), "s"),
                               p::span("", std::string(8, 'b'), "bad \"one\"")}));

class FakeResponder final : public net::Responder {
 public:
  explicit FakeResponder(std::promise<net::HttpResponse> promise) : promise_(std::move(promise)) {}
  void send(net::HttpResponse response) override { promise_.set_value(std::move(response)); }
  std::shared_ptr<Stream> start_stream(net::HttpResponse) override { return nullptr; }

 private:
  std::promise<net::HttpResponse> promise_;
};

class Fronts : public testing::Test {
 protected:
  void start(Limits limits = {}, std::string token = "", std::size_t queue_limit = 16) {
    intake_ = std::make_unique<Intake>(limits, store_, clock_, metrics_);
    pool_ = std::make_unique<Executor>(
        Executor::Options{.name = "test", .threads = 1, .queue_limit = queue_limit});
    http_ = std::make_unique<HttpFront>(*intake_, *pool_, clock_, token);
    grpc_ = std::make_unique<GrpcFront>(*intake_, *pool_, clock_, token);
  }
  std::future<net::HttpResponse> post_later(std::string path, std::string body,
                                            net::Headers headers, std::string method = "POST") {
    std::promise<net::HttpResponse> promise;
    auto future = promise.get_future();
    http_->handle({std::move(method), std::move(path), "", std::move(headers), std::move(body),
                   "127.0.0.1:5000"},
                  std::make_unique<FakeResponder>(std::move(promise)));
    return future;
  }
  net::HttpResponse post(std::string path, std::string body, net::Headers headers,
                         std::string method = "POST") {
    return post_later(std::move(path), std::move(body), std::move(headers), std::move(method))
        .get();
  }
  std::future<net::GrpcResponse> call_later(std::string path, std::string message,
                                            std::string encoding = "", net::Headers headers = {}) {
    std::promise<net::GrpcResponse> promise;
    auto future = promise.get_future();
    const bool compressed = !encoding.empty();
    grpc_->handle({std::move(path), std::move(headers), std::move(message), compressed,
                   std::move(encoding), "[::1]:5000"},
                  [done = std::move(promise)](net::GrpcResponse response) mutable {
                    done.set_value(std::move(response));
                  });
    return future;
  }
  net::GrpcResponse call(std::string path, std::string message, std::string encoding = "",
                         net::Headers headers = {}) {
    return call_later(std::move(path), std::move(message), std::move(encoding), std::move(headers))
        .get();
  }
  // From now on both fronts leave everything to the pool.
  void make_slow() {
    store_.on_append([this] { clock_.advance_ms(InlineOrPool::kLongMs); });
    post("/v1/traces", kGoodTraces, {{"content-type", "application/x-protobuf"}});
    call("/opentelemetry.proto.collector.trace.v1.TraceService/Export", kGoodTraces);
    store_.on_append({});
  }
  bool counted(std::string_view line) const {
    return metrics_.render().find(line) != std::string::npos;
  }

  ManualClock clock_;
  SelfMetrics metrics_;
  FakeStore store_;
  std::unique_ptr<Intake> intake_;
  std::unique_ptr<Executor> pool_;
  std::unique_ptr<HttpFront> http_;
  std::unique_ptr<GrpcFront> grpc_;
};

const net::Headers kProtobuf = {{"content-type", "application/x-protobuf"}};
const net::Headers kJson = {{"Content-Type", "application/json; charset=utf-8"}};
const std::string kTraceExport = "/opentelemetry.proto.collector.trace.v1.TraceService/Export";
const std::string kMetricsExport =
    "/opentelemetry.proto.collector.metrics.v1.MetricsService/Export";

bool media_is_protobuf(const net::Headers& headers) {
  return net::header(headers, "content-type") == "application/x-protobuf";
}

// code and message of a google.rpc.Status, and whether it carries RetryInfo.
struct RpcStatus {
  int code = -1;
  std::string message;
  bool retry = false;
};
RpcStatus parse_status(std::string_view bytes) {
  RpcStatus out;
  protozero::pbf_reader reader(bytes.data(), bytes.size());
  while (reader.next()) {
    if (reader.tag() == 1) {
      out.code = reader.get_int32();
    } else if (reader.tag() == 2) {
      out.message = reader.get_string();
    } else {
      out.retry = reader.get_string().find("google.rpc.RetryInfo") != std::string::npos;
    }
  }
  return out;
}

TEST_F(Fronts, HttpSuccessIsAnEmptyMessageAfterTheAppend) {
  start();
  const auto response = post("/v1/traces", kGoodTraces, kProtobuf);
  EXPECT_EQ(response.status, 200);
  EXPECT_EQ(response.body, "");
  EXPECT_EQ(response.headers.at(0).second, "application/x-protobuf");
  ASSERT_EQ(store_.batches().size(), 1u);
  EXPECT_EQ(store_.batches()[0].received_ms, clock_.wall_ms());
  EXPECT_EQ(post("/v1/logs", "{}", kJson).body, "{}");
  EXPECT_EQ(post("/v1/metrics", "", kProtobuf).status, 200) << "an empty request is a good one";
  EXPECT_TRUE(
      counted("coalmine_otlp_requests_total{protocol=\"http\",signal=\"traces\",code=\"200\"} 1"))
      << metrics_.render();
  EXPECT_TRUE(counted("coalmine_otlp_items_total{signal=\"traces\"} 1")) << metrics_.render();
}

TEST_F(Fronts, HttpPartialSuccessSaysHowManyAndWhy) {
  start();
  store_.answer_with({0, 1, 0, "1 span is too old"});
  const auto response = post("/v1/traces", kHalfBadTraces, kProtobuf);
  EXPECT_EQ(response.status, 200);
  protozero::pbf_reader reader(response.body);
  ASSERT_TRUE(reader.next(1));
  auto partial = reader.get_message();
  ASSERT_TRUE(partial.next(1));
  EXPECT_EQ(partial.get_int64(), 2);
  ASSERT_TRUE(partial.next(2));
  const auto message = partial.get_string();
  EXPECT_NE(message.find("1 of 2 spans rejected"), std::string::npos) << message;
  EXPECT_NE(message.find("too old"), std::string::npos) << message;
  const auto json = post(
      "/v1/traces", R"({"resourceSpans":[{"scopeSpans":[{"spans":[{"name":"q\"q"}]}]}]})", kJson);
  EXPECT_EQ(json.status, 200);
  EXPECT_TRUE(json.body.starts_with(
      R"({"partialSuccess":{"rejectedSpans":"1","errorMessage":"1 of 1 spans)"))
      << json.body;
  EXPECT_TRUE(counted("reason=\"bad_trace_id\"} 2")) << metrics_.render();
  EXPECT_TRUE(counted("reason=\"store\"} 1"));
}

TEST_F(Fronts, HttpRefusals) {
  Limits limits;
  limits.max_inflated_bytes = 1000;
  start(limits);
  struct Case {
    std::string method, path, body;
    net::Headers headers;
    int status;
    std::string want;
  };
  const net::Headers gzip = {{"Content-Type", "application/x-protobuf"},
                             {"Content-Encoding", "gzip"}};
  const net::Headers brotli = {{"Content-Type", "application/json"}, {"Content-Encoding", "br"}};
  const Case cases[] = {
      {"POST", "/", "", kJson, 404, "/v1/traces"},
      {"POST", "/v1/trace", "", kProtobuf, 404, "/v1/metrics"},
      {"POST", "/api/v1/write", "", kProtobuf, 404, "7070"},
      {"POST", "/v1/traces", R"({"resourceMetrics":[]})", kJson, 400, "belongs at /v1/metrics"},
      {"GET", "/v1/traces", "", {}, 405, "POST"},
      {"POST", "/v1/traces", "x", {{"Content-Type", "text/plain"}}, 415, "text/plain"},
      {"POST", "/v1/traces", "x", {}, 415, "application/json"},
      {"POST", "/v1/traces", "x", {{"Content-Type", "application/grpc"}}, 415, "4317"},
      {"POST", "/v1/traces", "{", kJson, 400, "not valid JSON"},
      {"POST", "/v1/traces", "nonsense", kProtobuf, 400, "ExportTraceServiceRequest"},
      {"POST", "/v1/traces", "{}", brotli, 400, "br"},
      {"POST", "/v1/traces", "junk", gzip, 400, "gzip"},
      {"POST", "/v1/traces", std::string(2000, ' '), kJson, 413, "1000"},
      {"POST", "/v1/traces", p::gzipped(std::string(2000, ' ')), gzip, 413, "1000"},
  };
  for (const auto& c : cases) {
    const auto response = post(c.path, c.body, c.headers, c.method);
    EXPECT_EQ(response.status, c.status) << c.path << " " << response.body;
    EXPECT_NE(response.body.find(c.want), std::string::npos) << c.path << " " << response.body;
    const auto type = net::header(response.headers, "content-type");
    EXPECT_EQ(type, media_is_protobuf(c.headers) ? "application/x-protobuf" : "application/json")
        << c.path;
    EXPECT_EQ(net::header(response.headers, "retry-after"), "") << c.path;
    EXPECT_EQ(net::header(response.headers, "allow"), c.status == 405 ? "POST" : "");
  }
  EXPECT_TRUE(store_.batches().empty());
  EXPECT_TRUE(counted("signal=\"traces\",code=\"413\"} 2")) << metrics_.render();
}

TEST_F(Fronts, GzipIsReadAlsoWhenNotDeclared) {
  start();
  EXPECT_EQ(post("/v1/traces", p::gzipped(kGoodTraces),
                 {{"content-type", "application/x-protobuf"}, {"content-encoding", "gzip"}})
                .status,
            200);
  EXPECT_EQ(post("/v1/traces", p::gzipped(kGoodTraces), kProtobuf).status, 200);
  EXPECT_EQ(call(kTraceExport, p::gzipped(kGoodTraces), "gzip").status, net::GrpcStatus::ok);
  EXPECT_EQ(call(kTraceExport, p::gzipped(kGoodTraces)).status, net::GrpcStatus::ok);
  EXPECT_EQ(store_.batches().size(), 4u);
}

TEST_F(Fronts, StoreThatRefusesMakesClientsComeBack) {
  start();
  store_.fail_with(Error{ErrorCode::unavailable, "the disk is full"});
  const auto http = post("/v1/traces", kGoodTraces, kProtobuf);
  EXPECT_EQ(http.status, 503);
  EXPECT_EQ(net::header(http.headers, "retry-after"), "5");
  EXPECT_EQ(parse_status(http.body).code, 14);
  EXPECT_EQ(parse_status(http.body).message, "the disk is full");
  const auto grpc = call(kTraceExport, kGoodTraces);
  EXPECT_EQ(grpc.status, net::GrpcStatus::unavailable);
  EXPECT_TRUE(parse_status(grpc.status_details).retry);
  EXPECT_EQ(parse_status(grpc.status_details).code, 14);
}

TEST_F(Fronts, SmallRequestsWaitForNoThread) {
  start({}, "", 0); // a pool that takes nothing
  EXPECT_EQ(post("/v1/traces", kGoodTraces, kProtobuf).status, 200);
  EXPECT_EQ(call(kTraceExport, kGoodTraces).status, net::GrpcStatus::ok);
  net::Headers compressed = kProtobuf;
  compressed.emplace_back("content-encoding", "gzip");
  EXPECT_EQ(post("/v1/traces", p::gzipped(kGoodTraces), compressed).status, 429);
  EXPECT_EQ(call(kTraceExport, p::gzipped(kGoodTraces), "gzip").status,
            net::GrpcStatus::unavailable);
  EXPECT_EQ(post("/v1/traces", std::string(InlineOrPool::kAtOnceBytes + 1, ' '), kJson).status,
            429);
}

TEST_F(Fronts, ASlowStoreDoesNotHoldTheNetwork) {
  start({}, "", 0);
  store_.on_append([this] { clock_.advance_ms(InlineOrPool::kLongMs); });
  EXPECT_EQ(post("/v1/traces", kGoodTraces, kProtobuf).status, 200);
  EXPECT_EQ(post("/v1/traces", kGoodTraces, kProtobuf).status, 429)
      << "it is the pool's now, which is full";
  clock_.advance_ms(InlineOrPool::kPoolMs);
  EXPECT_EQ(post("/v1/traces", kGoodTraces, kProtobuf).status, 200);
}

TEST_F(Fronts, FullPoolMakesClientsComeBack) {
  start({}, "", 1);
  make_slow();
  store_.hold();
  auto running = post_later("/v1/traces", kGoodTraces, kProtobuf);
  store_.wait_for_waiting(1);
  auto waiting = post_later("/v1/traces", kGoodTraces, kProtobuf);
  const auto http = post("/v1/traces", kGoodTraces, kJson);
  EXPECT_EQ(http.status, 429);
  EXPECT_EQ(net::header(http.headers, "retry-after"), "1");
  const auto grpc = call(kTraceExport, kGoodTraces);
  EXPECT_EQ(grpc.status, net::GrpcStatus::unavailable);
  EXPECT_TRUE(parse_status(grpc.status_details).retry);
  EXPECT_EQ(running.wait_for(std::chrono::seconds(0)), std::future_status::timeout)
      << "no answer before the append returned";
  store_.release();
  EXPECT_EQ(running.get().status, 200);
  EXPECT_EQ(waiting.get().status, 200);
}

TEST_F(Fronts, TokensAreAskedFor) {
  start({}, "s3cret");
  EXPECT_EQ(post("/v1/traces", kGoodTraces, kProtobuf).status, 401);
  auto headers = kProtobuf;
  headers.emplace_back("Authorization", "Bearer wrong!");
  const auto refused = post("/v1/traces", kGoodTraces, headers);
  EXPECT_EQ(refused.status, 401);
  EXPECT_EQ(net::header(refused.headers, "www-authenticate"), "Bearer");
  EXPECT_EQ(parse_status(refused.body).code, 16);
  headers.back().second = "bearer s3cret";
  EXPECT_EQ(post("/v1/traces", kGoodTraces, headers).status, 200);
  EXPECT_EQ(call(kTraceExport, kGoodTraces).status, net::GrpcStatus::unauthenticated);
  EXPECT_EQ(call(kTraceExport, kGoodTraces, "", {{"authorization", "Bearer s3cret"}}).status,
            net::GrpcStatus::ok);
  EXPECT_EQ(call("/grpc.health.v1.Health/Check", "").status, net::GrpcStatus::ok)
      << "health is for everyone";
}

TEST_F(Fronts, GrpcStatuses) {
  Limits limits;
  limits.max_inflated_bytes = 10'000;
  start(limits);
  EXPECT_EQ(call(kMetricsExport, "").status, net::GrpcStatus::ok);
  const auto bad = call(kTraceExport, "nonsense");
  EXPECT_EQ(bad.status, net::GrpcStatus::invalid_argument);
  EXPECT_NE(bad.status_message.find("protobuf"), std::string::npos);
  EXPECT_EQ(bad.status_details, "");
  const auto bomb = call(kTraceExport, p::gzipped(std::string(20'000, '\0')), "gzip");
  EXPECT_EQ(bomb.status, net::GrpcStatus::resource_exhausted);
  EXPECT_EQ(bomb.status_details, "") << "no RetryInfo: trying again cannot help";
  EXPECT_EQ(call(kTraceExport, kGoodTraces, "snappy").status, net::GrpcStatus::unimplemented);
  EXPECT_EQ(call("/opentelemetry.proto.collector.profiles.v1development.ProfilesService/Export", "")
                .status,
            net::GrpcStatus::unimplemented);
  const auto partial = call(kTraceExport, kHalfBadTraces);
  EXPECT_EQ(partial.status, net::GrpcStatus::ok);
  EXPECT_FALSE(partial.message.empty());
  EXPECT_TRUE(counted("protocol=\"grpc\",signal=\"traces\",code=\"INVALID_ARGUMENT\"} 1"))
      << metrics_.render();
}

TEST_F(Fronts, GrpcHealth) {
  start();
  for (const std::string service : {"", "opentelemetry.proto.collector.trace.v1.TraceService",
                                    "opentelemetry.proto.collector.logs.v1.LogsService"}) {
    std::string request;
    if (!service.empty()) protozero::pbf_writer(request).add_string(1, service);
    const auto response = call("/grpc.health.v1.Health/Check", request);
    EXPECT_EQ(response.status, net::GrpcStatus::ok);
    EXPECT_EQ(response.message, std::string("\x08\x01"));
  }
  std::string unknown;
  protozero::pbf_writer(unknown).add_string(1, "other");
  EXPECT_EQ(call("/grpc.health.v1.Health/Check", unknown).status, net::GrpcStatus::not_found);
  EXPECT_EQ(call("/grpc.health.v1.Health/Check", "\xff").status, net::GrpcStatus::invalid_argument);
  EXPECT_EQ(call("/grpc.health.v1.Health/Watch", "").status, net::GrpcStatus::unimplemented);
}

TEST(Peers, HostWithoutPort) {
  EXPECT_EQ(host_of("127.0.0.1:5000"), "127.0.0.1");
  EXPECT_EQ(host_of("[::1]:5000"), "::1");
  EXPECT_EQ(host_of("::1"), "::1");
  EXPECT_EQ(host_of("10.0.0.1"), "10.0.0.1");
}

} // namespace
} // namespace coalmine::receive
