// Random payloads: both encodings against each other, cut short, damaged. The golden payloads. And
// payloads that were not meant for where they came.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>
#include <sstream>

#include "base/golden_for_test.h"
#include "receive/dump_for_test.h"
#include "receive/otlp.h"
#include "receive/payload_for_test.h"
#include "receive/series_cache.h"

namespace coalmine::receive {
namespace {

namespace p = payload;

class Generator {
 public:
  explicit Generator(unsigned seed) : random_(seed) {}

  std::uint64_t below(std::uint64_t n) { return random_() % n; }
  std::string bytes(std::size_t n) {
    std::string out;
    for (std::size_t i = 0; i < n; ++i) out += static_cast<char>(below(256));
    return out;
  }
  std::string word() {
    static const char* const kWords[] = {"checkout", "http.route",  "a b", "ünïcode",
                                         "quote\"d", "line\nbreak", "",    "x.y_z",
                                         "日本語",   "tab\t"};
    return kWords[below(10)];
  }
  double real() {
    static const double kReals[] = {0,
                                    1.5,
                                    -2.25,
                                    1e300,
                                    std::numeric_limits<double>::quiet_NaN(),
                                    std::numeric_limits<double>::infinity(),
                                    0.1};
    return kReals[below(7)];
  }
  p::Message any(int depth = 0) {
    p::Message out;
    switch (below(depth < 3 ? 8 : 5)) {
      case 0: return out.set(1, "stringValue", word());
      case 1: return out.set(2, "boolValue", below(2) == 1);
      case 2: return out.set(3, "intValue", p::SignedVarint{static_cast<std::int64_t>(random_())});
      case 3: return out.set(4, "doubleValue", real());
      case 4: return out.set(7, "bytesValue", p::Base64{bytes(below(9))});
      case 5: return out;
      case 6: {
        std::vector<p::Message> values;
        for (auto n = below(4); n > 0; --n) values.push_back(any(depth + 1));
        return out.one(5, "arrayValue", p::Message().many(1, "values", std::move(values)));
      }
      default:
        return out.one(6, "kvlistValue", p::Message().many(1, "values", attributes(depth + 1)));
    }
  }
  std::vector<p::Message> attributes(int depth = 0) {
    std::vector<p::Message> out;
    for (auto n = below(5); n > 0; --n) out.push_back(p::key_value(word(), any(depth)));
    return out;
  }
  std::uint64_t time() { return 1'700'000'000'000'000'000 + below(1'000'000'000'000); }

  p::Message span() {
    auto out = p::span(bytes(below(8) == 0 ? 15 : 16), bytes(8), word());
    out.set(3, "traceState", word()).set(4, "parentSpanId", p::Hex{bytes(below(3) == 0 ? 0 : 8)});
    out.set(6, "kind", p::Varint{below(8)})
        .set(16, "flags", p::Fixed32{static_cast<std::uint32_t>(below(1024))});
    out.many(9, "attributes", attributes());
    std::vector<p::Message> events;
    for (auto n = below(3); n > 0; --n) {
      p::Message event;
      events.push_back(event.set(1, "timeUnixNano", p::Fixed64{time()})
                           .set(2, "name", word())
                           .many(3, "attributes", attributes()));
    }
    out.many(11, "events", std::move(events));
    return std::move(out.one(
        15, "status", p::Message().set(2, "message", word()).set(3, "code", p::Varint{below(4)})));
  }
  p::Message log() {
    p::Message out;
    out.set(1, "timeUnixNano", p::Fixed64{time()})
        .set(2, "severityNumber", p::Varint{below(25)})
        .one(5, "body", any());
    out.many(6, "attributes", attributes())
        .set(9, "traceId", p::Hex{bytes(16)})
        .set(10, "spanId", p::Hex{bytes(8)});
    return std::move(out.set(12, "eventName", below(2) == 0 ? std::string("exception") : word()));
  }
  p::Message number() {
    const p::Value value = below(2) == 0
                               ? p::Value(real())
                               : p::Value(p::SignedFixed64{static_cast<std::int64_t>(below(1000))});
    auto out = p::number_point(value, attributes(), time());
    return std::move(out.set(8, "flags", p::Varint{below(2)}));
  }
  p::Message histogram() {
    std::vector<double> bounds;
    for (auto n = below(5); n > 0; --n) bounds.push_back(static_cast<double>(below(100)));
    if (below(3) != 0) std::ranges::sort(bounds);
    std::vector<std::uint64_t> counts;
    for (std::size_t i = 0; i < bounds.size() + below(2); ++i) counts.push_back(below(1000));
    return p::histogram_point(std::move(counts), std::move(bounds), attributes());
  }
  p::Message exponential() {
    const auto buckets = [&] {
      p::Message out;
      std::vector<std::uint64_t> counts;
      for (auto n = below(6); n > 0; --n) counts.push_back(below(1000));
      return out.set(1, "offset", p::ZigZag{static_cast<std::int32_t>(below(100)) - 50})
          .set(2, "bucketCounts", p::PackedVarint{counts});
    };
    p::Message out;
    out.many(1, "attributes", attributes())
        .set(3, "timeUnixNano", p::Fixed64{time()})
        .set(4, "count", p::Fixed64{below(100)});
    if (below(2) == 0) out.set(5, "sum", real());
    out.set(6, "scale", p::ZigZag{static_cast<std::int32_t>(below(30)) - 8})
        .set(7, "zeroCount", p::Fixed64{below(10)});
    return std::move(out.one(8, "positive", buckets())
                         .one(9, "negative", buckets())
                         .set(14, "zeroThreshold", 0.25));
  }
  template <typename F>
  std::vector<p::Message> some(F make) {
    std::vector<p::Message> out;
    for (auto n = 1 + below(4); n > 0; --n) out.push_back(make());
    return out;
  }
  p::Message metric() {
    switch (below(4)) {
      case 0:
        return p::metric(word(), "s", 5, "gauge",
                         p::Message().many(1, "dataPoints", some([&] { return number(); })));
      case 1:
        return p::metric(word(), "By", 7, "sum",
                         p::sum_data(some([&] { return number(); }), below(3), below(2) == 0));
      case 2:
        return p::metric(word(), "ms", 9, "histogram",
                         p::histogram_data(some([&] { return histogram(); }), below(3)));
      default:
        return p::metric(word(), "1", 10, "exponentialHistogram",
                         p::histogram_data(some([&] { return exponential(); }), below(3)));
    }
  }
  p::Message request(Signal signal) {
    if (signal == Signal::traces)
      return p::request("traces", p::resource(attributes()), some([&] { return span(); }));
    if (signal == Signal::logs)
      return p::request("logs", p::resource(attributes()), some([&] { return log(); }));
    return p::request("metrics", p::resource(attributes()), some([&] { return metric(); }));
  }

 private:
  std::mt19937_64 random_;
};

TEST(Property, ProtobufAndJsonDecodeAlike) {
  for (unsigned seed = 1; seed <= 240; ++seed) {
    Generator generator(seed);
    const auto signal = static_cast<Signal>(seed % 3);
    const auto request = generator.request(signal);
    const auto from_protobuf =
        decode(signal, Encoding::protobuf, p::to_protobuf(request), "h", kNow, {});
    ASSERT_TRUE(from_protobuf) << from_protobuf.error().message;
    for (const bool snake : {false, true}) {
      for (const bool strings : {false, true}) {
        const auto json = p::to_json(request, {snake, strings});
        const auto out = decode(signal, Encoding::json, json, "h", kNow, {});
        ASSERT_TRUE(out) << "seed " << seed << ": " << out.error().message << "\n" << json;
        ASSERT_EQ(dump(*out), dump(*from_protobuf)) << "seed " << seed << "\n" << json;
      }
    }
  }
}

TEST(Property, WhatEarlierPayloadsTaughtChangesNothing) {
  SeriesCache cache;
  SeriesCache small(60); // turns over all the time
  for (int pass = 0; pass < 2; ++pass) {
    for (unsigned seed = 1; seed <= 240; ++seed) {
      Generator generator(seed);
      const auto payload = p::to_protobuf(generator.request(Signal::metrics));
      const auto plain = decode(Signal::metrics, Encoding::protobuf, payload, "h", kNow, {});
      ASSERT_TRUE(plain);
      for (auto* one : {&cache, &small}) {
        const auto out = decode(Signal::metrics, Encoding::protobuf, payload, "h", kNow, {}, one);
        ASSERT_TRUE(out) << out.error().message;
        ASSERT_EQ(dump(*out), dump(*plain)) << "seed " << seed << " pass " << pass;
      }
    }
  }
}

// What is sent again and again is decoded anew once an hour; what has ended is gone by then.
TEST(SeriesCache, HoldsNothingLongerThanAnHour) {
  SeriesCache cache;
  std::vector<std::weak_ptr<const Resource>> ever;
  std::size_t most = 0;
  for (std::int64_t minute = 1; minute <= 600; ++minute) {
    cache.forget_now_and_then(minute * 60'000);
    Generator generator(static_cast<unsigned>(minute)); // processes that nobody hears of again
    const auto payload = p::to_protobuf(generator.request(Signal::metrics));
    const auto out = decode(Signal::metrics, Encoding::protobuf, payload, "h", kNow, {}, &cache);
    ASSERT_TRUE(out);
    for (const auto& point : out->batch.points) {
      if (point.series) ever.emplace_back(point.series->resource);
    }
    std::erase_if(ever, [](const auto& one) { return one.expired(); });
    if (minute <= 120) most = std::max(most, ever.size());
    EXPECT_LE(ever.size(), 2 * most);
  }
  EXPECT_GT(most, 0u);
}

TEST(SeriesCache, GivesTheSameSeriesAgain) {
  SeriesCache cache;
  Generator generator(7);
  std::size_t points = 0;
  for (int i = 0; i < 20; ++i) {
    const auto payload = p::to_protobuf(generator.request(Signal::metrics));
    const auto first = decode(Signal::metrics, Encoding::protobuf, payload, "h", kNow, {}, &cache);
    const auto second = decode(Signal::metrics, Encoding::protobuf, payload, "h", kNow, {}, &cache);
    ASSERT_TRUE(first && second);
    for (std::size_t k = 0; k < first->batch.points.size(); ++k) {
      if (!first->batch.points[k].series->recurring) continue;
      ++points;
      EXPECT_EQ(first->batch.points[k].series, second->batch.points[k].series);
    }
  }
  EXPECT_GT(points, 10u);
}

TEST(Property, TruncatedPayloadsFailOrYieldLess) {
  for (unsigned seed = 1; seed <= 12; ++seed) {
    Generator generator(seed);
    const auto signal = static_cast<Signal>(seed % 3);
    const auto request = generator.request(signal);
    for (const auto encoding : {Encoding::protobuf, Encoding::json}) {
      const auto whole =
          encoding == Encoding::protobuf ? p::to_protobuf(request) : p::to_json(request, {});
      const auto all = decode(signal, encoding, whole, "h", kNow, {});
      ASSERT_TRUE(all);
      for (std::size_t size = 0; size < whole.size(); ++size) {
        // A copy of just this size, so that a sanitizer sees a read past the end.
        const std::string part(whole.substr(0, size));
        const auto out = decode(signal, encoding, part, "h", kNow, {});
        if (!out) continue;
        ASSERT_LE(out->items, all->items);
        ASSERT_EQ(encoding, Encoding::protobuf) << "a part of a JSON object is never one";
      }
    }
  }
}

TEST(Property, FlippedBytesNeverCrash) {
  SeriesCache cache;
  for (unsigned seed = 1; seed <= 150; ++seed) {
    Generator generator(seed);
    const auto signal = static_cast<Signal>(seed % 3);
    const auto request = generator.request(signal);
    for (const auto encoding : {Encoding::protobuf, Encoding::json}) {
      auto payload =
          encoding == Encoding::protobuf ? p::to_protobuf(request) : p::to_json(request, {});
      for (int i = 0; i < 8; ++i)
        payload[generator.below(payload.size())] = static_cast<char>(generator.below(256));
      const auto plain = decode(signal, encoding, payload, "h", kNow, {});
      const auto cached = decode(signal, encoding, payload, "h", kNow, {}, &cache);
      ASSERT_EQ(plain.has_value(), cached.has_value());
      if (plain) {
        ASSERT_EQ(dump(*plain), dump(*cached));
      }
    }
  }
}

// tests/otlp/NAME.SIGNAL.json gives NAME.SIGNAL.rows.

std::string rows_of(Signal signal, std::string_view text) {
  const auto out = decode(signal, Encoding::json, text, "10.1.2.3", kNow, {});
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  return out ? dump(*out) : "";
}

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::stringstream out;
  out << in.rdbuf();
  return out.str();
}

TEST(Golden, PayloadsGiveTheRowsBesideThem) {
  const std::filesystem::path folder = std::string(COALMINE_SOURCE_DIR) + "/tests/otlp";
  std::size_t seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() != ".json") continue;
    const auto stem = entry.path().stem(); // NAME.SIGNAL
    const auto signal = stem.extension() == ".traces"    ? Signal::traces
                        : stem.extension() == ".metrics" ? Signal::metrics
                                                         : Signal::logs;
    const auto rows = rows_of(signal, read(entry.path()));
    expect_golden(folder / (stem.string() + ".rows"), rows);
    ++seen;
  }
  EXPECT_GE(seen, 4u);
}

std::string fault_of(Signal signal, Encoding encoding, std::string_view payload) {
  const auto out = decode(signal, encoding, payload, "10.1.2.3", kNow, {});
  return out ? "" : out.error().message;
}

// What was not meant for here, or not written as OTLP has it, is answered with what is wrong.
TEST(Misdirected, PayloadsAreTold) {
  struct Case {
    Signal signal;
    Encoding encoding;
    std::string_view payload, want;
  };
  const Case cases[] = {
      {Signal::metrics, Encoding::json, R"({"name":"x","value":1})",
       "it has no resourceMetrics, but name, value"},
      {Signal::metrics, Encoding::json, R"({"resourceSpans":[]})",
       "but resourceSpans; resourceSpans belongs at /v1/traces"},
      {Signal::traces, Encoding::json, R"([{"traceId":"a","id":"b"}])", "a list (as Zipkin"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"instrumentationLibraryMetrics":[{"metrics":[]}]}]})",
       "resourceMetrics[0] has no scopeMetrics, but instrumentationLibraryMetrics; "
       "instrumentationLibraryMetrics is OTLP before 0.16"},
      {Signal::traces, Encoding::json,
       R"({"resourceSpans":[{"resource":{},"scopeSpans":[{"scope":{},"span":[]}]}]})",
       "resourceSpans[0].scopeSpans[0] has no spans, but span"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","sum":{"points":[]}}]}]}]})",
       "resourceMetrics[0].scopeMetrics[0].metrics[0].sum has no dataPoints, but points"},
      {Signal::metrics, Encoding::json,
       R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","counter":{}}]}]}]})",
       "has no gauge, sum, histogram, exponentialHistogram, summary, but counter"},
      {Signal::traces, Encoding::json, "\x0a\x02\x12\x00", "it looks like protobuf"},
      {Signal::traces, Encoding::protobuf, R"({"resourceSpans":[]})", "it looks like JSON"},
  };
  for (const auto& c : cases) {
    const auto error = fault_of(c.signal, c.encoding, c.payload);
    EXPECT_NE(error.find(c.want), std::string::npos) << c.payload << " gave: " << error;
  }
  // Empty and newer requests are fine.
  for (const auto* payload :
       {"{}", R"({"resourceMetrics":[]})", R"({"resource_metrics":null})",
        R"({"resourceMetrics":[{"resource":{},"scopeMetrics":[{"scope":{},"metrics":[]}]}]})",
        R"({"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":"x","gauge":{}}]}]}]})"}) {
    EXPECT_EQ(from_json(Signal::metrics, payload).rejected, 0u) << payload;
  }
}

TEST(Misdirected, TimesInAnotherUnitAreTold) {
  const auto told = [](std::string_view time) {
    return from_json(Signal::metrics,
                     fmt::format(R"({{"resourceMetrics":[{{"scopeMetrics":[{{"metrics":[{{)"
                                 R"("name":"x","gauge":{{"dataPoints":[{{"timeUnixNano":"{}",)"
                                 R"("asInt":"1"}}]}}}}]}}]}}]}})",
                                 time))
        .reason;
  };
  EXPECT_EQ(told("1700000020000"),
            "1 of 1 data points rejected: the time 1700000020000 of metric \"x\" is in "
            "milliseconds; OTLP has nanoseconds since 1970");
  EXPECT_NE(told("1700000020").find("is in seconds"), std::string::npos);
  EXPECT_NE(told("1700000020000000").find("is in microseconds"), std::string::npos);
  EXPECT_EQ(told("1700000020000000000"), "");
  EXPECT_EQ(told("1"), "") << "no time in any unit: the store says what it thinks of 1970";
  const auto spans = from_json(Signal::traces, R"({"resourceSpans":[{"scopeSpans":[{"spans":[
      {"traceId":"5b8efff798038103d269b633813fc60c","spanId":"eee19b7ec3c1b174","name":"s",
       "startTimeUnixNano":"1700000019000","endTimeUnixNano":"1700000020000"}]}]}]})");
  EXPECT_TRUE(spans.batch.spans.rows.empty());
  EXPECT_EQ(spans.rejected_by.at("time_unit"), 1u);
}

} // namespace
} // namespace coalmine::receive
