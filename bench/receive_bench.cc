// Decoding OTLP, per second of CPU: 500 server spans of 15 attributes (2 % with an exception), and
// a metrics payload of 150 histogram points of 15 buckets and 250 sums. Labels: span or point per
// second of CPU time.
// SPDX-License-Identifier: Apache-2.0
#include <benchmark/benchmark.h>
#include <fmt/format.h>
#include <zlib.h>

#include "receive/otlp.h"
#include "receive/payload_for_test.h"

namespace {

using namespace coalmine::receive;
namespace p = coalmine::receive::payload;

constexpr int kSpans = 500;
constexpr int kPoints = 400;

std::vector<p::Message> span_attributes(int i) {
  const auto text = [](const char* key, std::string value) {
    return p::key_value(key, p::text_value(std::move(value)));
  };
  const auto number = [](const char* key, std::int64_t value) {
    return p::key_value(key, p::int_value(value));
  };
  return {
      text("http.request.method", i % 3 == 0 ? "POST" : "GET"),
      text("http.route", fmt::format("/api/v1/{}/{{id}}", i % 7)),
      text("url.path", fmt::format("/api/v1/{}/{}", i % 7, 100'000 + i)),
      text("url.scheme", "https"),
      number("http.response.status_code", i % 50 == 0 ? 500 : 200),
      text("server.address", "checkout.example.com"),
      number("server.port", 8443),
      text("client.address", fmt::format("10.0.{}.{}", i % 4, i % 250)),
      text("network.protocol.version", "1.1"),
      text("user_agent.original",
           "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/126.0"),
      number("http.request.body.size", 512 + i),
      number("http.response.body.size", 2048 + i),
      text("enduser.id", fmt::format("user-{}", i * 37)),
      number("thread.id", i % 16),
      text("cloud.region", "eu-west-1")};
}

std::string bytes_of(int i, std::size_t size) {
  std::string out(size, '\x5a');
  for (std::size_t k = 0; k < 4; ++k) out[k] = static_cast<char>((i + 1) >> (8 * k));
  return out;
}

p::Message traces() {
  std::vector<p::Message> spans;
  for (int i = 0; i < kSpans; ++i) {
    auto span = p::span(bytes_of(i, 16), bytes_of(i, 8), "GET /api/v1/{id}");
    span.many(9, "attributes", span_attributes(i));
    if (i % 50 == 0) {
      p::Message event;
      event.set(1, "timeUnixNano", p::Fixed64{1'700'000'000'040'000'000})
          .set(2, "name", std::string("exception"));
      event.many(3, "attributes",
                 {p::key_value("exception.type", p::text_value("java.lang.IllegalStateException")),
                  p::key_value("exception.stacktrace", p::text_value(std::string(2000, 's')))});
      span.many(11, "events", {event}).one(15, "status", p::Message().set(3, "code", p::Varint{2}));
    }
    spans.push_back(std::move(span));
  }
  return p::request("traces", p::canary_resource(), std::move(spans));
}

p::Message metrics() {
  const auto attributes = [](int i) {
    return std::vector{p::key_value("http.route", p::text_value(fmt::format("/api/v1/{}", i))),
                       p::key_value("http.request.method", p::text_value("GET")),
                       p::key_value("http.response.status_code", p::int_value(200)),
                       p::key_value("url.scheme", p::text_value("https")),
                       p::key_value("network.protocol.version", p::text_value("1.1"))};
  };
  std::vector<p::Message> histograms;
  for (int i = 0; i < 150; ++i) {
    histograms.push_back(p::histogram_point(
        {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
        {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10},
        attributes(i)));
  }
  std::vector<p::Message> sums;
  for (int i = 0; i < 250; ++i) sums.push_back(p::number_point(p::SignedFixed64{i}, attributes(i)));
  return p::request("metrics", p::canary_resource(),
                    {p::metric("http.server.request.duration", "s", 9, "histogram",
                               p::histogram_data(std::move(histograms), 2)),
                     p::metric("http.server.request", "{request}", 7, "sum",
                               p::sum_data(std::move(sums), 2, true))});
}

void run(benchmark::State& state, Signal signal, Encoding encoding, const std::string& payload,
         int items) {
  for (auto _ : state) {
    auto out = decode(signal, encoding, payload, "127.0.0.1", 1'700'000'000'000, {});
    if (!out || out->rejected > 0) state.SkipWithError("the payload must decode whole");
    benchmark::DoNotOptimize(out);
  }
  state.SetItemsProcessed(state.iterations() * items);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(payload.size()));
}

void traces_protobuf(benchmark::State& state) {
  run(state, Signal::traces, Encoding::protobuf, p::to_protobuf(traces()), kSpans);
}
void traces_json(benchmark::State& state) {
  run(state, Signal::traces, Encoding::json, p::to_json(traces(), {}), kSpans);
}
void metrics_protobuf(benchmark::State& state) {
  run(state, Signal::metrics, Encoding::protobuf, p::to_protobuf(metrics()), kPoints);
}
void metrics_json(benchmark::State& state) {
  run(state, Signal::metrics, Encoding::json, p::to_json(metrics(), {}), kPoints);
}

void inflate_gzip(benchmark::State& state) {
  const auto payload = p::to_protobuf(traces());
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY);
  std::string body(deflateBound(&stream, payload.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(payload.data()));
  stream.avail_in = static_cast<uInt>(payload.size());
  stream.next_out = reinterpret_cast<Bytef*>(body.data());
  stream.avail_out = static_cast<uInt>(body.size());
  deflate(&stream, Z_FINISH);
  body.resize(stream.total_out);
  deflateEnd(&stream);
  for (auto _ : state) {
    auto out = inflate(body, "gzip", {});
    if (!out || out->size() != payload.size()) state.SkipWithError("the body must inflate whole");
    benchmark::DoNotOptimize(out);
  }
  state.SetItemsProcessed(state.iterations() * kSpans);
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(payload.size()));
}

BENCHMARK(traces_protobuf);
BENCHMARK(traces_json);
BENCHMARK(metrics_protobuf);
BENCHMARK(metrics_json);
BENCHMARK(inflate_gzip);

} // namespace
