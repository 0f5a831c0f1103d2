// Status codes that count as errors by a service's own rule: the same requests in every count and
// in the list of failures.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <cstring>
#include <map>
#include <random>

#include "store/ingest/derive_for_test.h"

namespace coalmine::store::testing {
namespace {

const FailureRules kShopRule(FailureRules::ByService{
    {"shop", {.also = {{429, 429}, {499, 499}}, .except = {{501, 501}}}}});

struct FailureRuleTest : DeriveTest {
  void SetUp() override {} // each test opens with rules of its own
  void open_with(FailureRules rules) {
    options.failures = std::move(rules);
    reopen();
  }
  // The newest values of all series of this name and instance.
  double newest(std::string_view name, const std::string& instance) {
    double out = 0;
    for (const auto& data : select(*store, name, {{"instance", Matcher::Op::equal, instance}}))
      out += data.floats.back().value;
    return out;
  }
  std::shared_ptr<const Resource> from(const std::string& instance,
                                       const std::string& service = "shop") {
    return resource(service, "canary", "v-" + instance, instance);
  }
  std::shared_ptr<const MetricSeries> own(const std::string& instance, std::int64_t status) {
    return series(from(instance), std::string(kRequestsName), std::string(kRequestsName),
                  MetricKind::counter, {{"http.response.status_code", status}});
  }
  std::size_t listed(const std::string& service) {
    SpanFilter filter;
    filter.service = service;
    filter.errors_only = true;
    filter.limit = 10'000;
    const auto found = store->find_spans(filter);
    EXPECT_TRUE(found);
    return found ? found->size() : 0;
  }
};

// The same requests by spans, by a histogram and by a counter with statuses, of a service with a
// rule and of one without.
TEST_F(FailureRuleTest, WhatIsCountedIsListedWhateverTheSource) {
  open_with(kShopRule);
  std::mt19937_64 random{5};
  std::uint64_t id = 0;
  std::map<std::string, double> expected;
  std::map<std::string, double> clients;
  for (const std::string service : {"shop", "cart"}) {
    std::map<std::int64_t, std::uint64_t> by_status;
    std::vector<Span> spans;
    for (int i = 0; i < 400; ++i) {
      const std::int64_t codes[] = {200, 302, 404, 429, 499, 500, 501, 503};
      const auto status = codes[random() % std::size(codes)];
      ++by_status[status];
      const bool failed = service == "shop"
                              ? status == 429 || status == 499 || status == 500 || status == 503
                              : status >= 500;
      expected[service] += failed ? 1 : 0;
      clients[service] += status / 100 == 4 && !failed ? 1 : 0;
      spans.push_back(span(
          from("s", service), 1, 1, kNow - 5000, kNow - 4880, SpanKind::server, StatusCode::unset,
          {{"http.route", std::string("/a")}, {"http.response.status_code", status}}));
      std::memcpy(spans.back().trace_id.data(), &++id, sizeof id);
    }
    Batch b = batch({});
    for (const auto& [status, count] : by_status) {
      app = from("h", service);
      b.points.push_back(point(duration(request(status)), kNow - 9000, kNow,
                               classic(seconds(), {count, 0, 0, 0, 0})));
      const auto counter =
          series(from("o", service), std::string(kRequestsName), std::string(kRequestsName),
                 MetricKind::counter, {{"http.response.status_code", status}});
      b.points.push_back(point(counter, kNow - 9000, kNow, static_cast<double>(count)));
    }
    b.spans = table_of(spans);
    append(b);
    const auto of = [&](std::string_view name, const char* instance) {
      double out = 0;
      for (const auto& data : select(*store, name,
                                     {{"instance", Matcher::Op::equal, instance},
                                      {"service_name", Matcher::Op::equal, service}}))
        out += data.floats.back().value;
      return out;
    };
    for (const auto* instance : {"s", "h", "o"})
      EXPECT_EQ(of(kErrorsName, instance), expected[service]) << service << " " << instance;
    for (const auto* instance : {"s", "h"})
      EXPECT_EQ(of(kClientErrorsName, instance), clients[service]) << service << " " << instance;
    EXPECT_EQ(static_cast<double>(listed(service)), expected[service]) << service;
    ASSERT_TRUE(store->maintain());
    EXPECT_EQ(static_cast<double>(listed(service)), expected[service]) << service;
  }
  EXPECT_GT(expected["shop"], expected["cart"]);
}

// A count goes on from where it was: what came before is not counted again by the new rule.
TEST_F(FailureRuleTest, AnotherRuleHoldsForWhatArrivesFromThenOn) {
  open_with({});
  const auto send = [&](std::int64_t time, double all) {
    app = from("h");
    append(batch({point(own("o", 429), kNow - 1000, kNow + time, all),
                  point(own("o", 501), kNow - 1000, kNow + time, all),
                  point(own("o", 200), kNow - 1000, kNow + time, all),
                  point(duration(request(429)), kNow - 1000, kNow + time,
                        classic(seconds(), {static_cast<std::uint64_t>(all), 0, 0, 0, 0}))},
                 kNow + time));
  };
  send(0, 100);
  EXPECT_EQ(newest(kErrorsName, "o"), 100) << "501";
  EXPECT_EQ(newest(kErrorsName, "h"), 0);
  open_with(kShopRule);
  send(15'000, 130);
  const auto by_status = [&](const char* status) {
    const auto found = select(*store, kErrorsName,
                              {{"instance", Matcher::Op::equal, "o"},
                               {"http_response_status_code", Matcher::Op::equal, status}});
    EXPECT_EQ(found.size(), 1u);
    return values(found.at(0));
  };
  EXPECT_EQ(by_status("429"), (Points{{0, 0}, {15'000, 30}}));
  EXPECT_EQ(by_status("501"), (Points{{0, 100}, {15'000, 0}})) << "begins again at 0";
  EXPECT_EQ(newest(kErrorsName, "h"), 30);
  open_with(kShopRule);
  send(30'000, 150);
  EXPECT_EQ(by_status("429").back(), (std::pair<std::int64_t, double>(30'000, 50)));
  // The process began again.
  append(batch({point(own("o", 429), kNow + 40'000, kNow + 45'000, 7)}, kNow + 45'000));
  EXPECT_EQ(by_status("429").back(), (std::pair<std::int64_t, double>(45'000, 7)));
}

// What the application calls an error stays one, and what the rule names is added.
TEST_F(FailureRuleTest, TheRuleAddsToAnErrorCounterOfTheApplication) {
  open_with(kShopRule);
  const auto errors = series(from("o"), std::string(kErrorsName), std::string(kErrorsName),
                             MetricKind::counter, {});
  append(batch({point(own("o", 200), kNow - 1000, kNow, 90),
                point(own("o", 429), kNow - 1000, kNow, 5),
                point(own("o", 503), kNow - 1000, kNow, 3), point(errors, kNow - 1000, kNow, 3)}));
  EXPECT_EQ(newest(kErrorsName, "o"), 8);
  // Where the counted requests do not say their status, what the rule names are client errors.
  const auto send = [&](std::int64_t time, double all, std::uint64_t refused) {
    app = from("p");
    append(batch({point(counter(kRequestsName), kNow - 1000, kNow + time, all),
                  point(counter(kErrorsName), kNow - 1000, kNow + time, 3),
                  point(duration(request(404)), kNow - 1000, kNow + time,
                        classic(seconds(), {7, 0, 0, 0, 0})),
                  point(duration(request(429)), kNow - 1000, kNow + time,
                        classic(seconds(), {refused, 0, 0, 0, 0}))},
                 kNow + time));
  };
  send(0, 90, 5);
  EXPECT_EQ(newest(kErrorsName, "p"), 3);
  EXPECT_EQ(newest(kClientErrorsName, "p"), 12);
  open_with(kShopRule);
  send(15'000, 120, 9);
  EXPECT_EQ(newest(kClientErrorsName, "p"), 16);
}

} // namespace
} // namespace coalmine::store::testing
