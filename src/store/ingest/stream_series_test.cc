// Which series a metric stream has: streams never share one, and labels are never equal.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "store/disk/rocks_db.h"
#include "store/series/series_index.h"
#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

struct StreamSeriesTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  std::shared_ptr<const MetricSeries> stream(const std::string& scope,
                                             std::string_view otel_name = "jobs",
                                             MetricKind kind = MetricKind::counter) {
    auto out =
        std::make_shared<MetricSeries>(*series(app, std::string(otel_name), "jobs_total", kind));
    if (!scope.empty())
      out->scope = std::make_shared<const Labels>(Labels::of({{"otel_scope_name", scope}}));
    return out;
  }
  // Newest value by the labels that set a series apart.
  std::map<std::string, double> newest() {
    std::map<std::string, double> out;
    std::set<Labels> all;
    for (const auto& data : select(*store, "jobs_total")) {
      std::string apart;
      for (const auto [name, value] : *data.labels) {
        if (name.starts_with("otel_")) apart += std::string(value) + " ";
      }
      out[apart] = data.floats.back().value;
      EXPECT_TRUE(all.insert(*data.labels).second) << "two series have equal labels";
    }
    return out;
  }
};

TEST_F(StreamSeriesTest, TheScopeThatComesFirstIsPlainHoweverExportsAreSplit) {
  const auto a = stream("a");
  const auto b = stream("b");
  append(batch({point(b, kNow - 1000, kNow, 50)}));
  for (int round = 0; round < 3; ++round) {
    const double n = round;
    append(batch({point(a, kNow - 1000, kNow + round * 1000, 10 + n),
                  point(b, kNow - 1000, kNow + round * 1000, 50 + n)}));
    EXPECT_EQ(newest(), (std::map<std::string, double>{{"", 50 + n}, {"a ", 10 + n}}));
    reopen();
    append(batch({point(a, kNow - 1000, kNow + round * 1000 + 1, 10 + n)}));
    append(batch({point(b, kNow - 1000, kNow + round * 1000 + 1, 50 + n)}));
    EXPECT_EQ(newest(), (std::map<std::string, double>{{"", 50 + n}, {"a ", 10 + n}}));
  }
  append(batch({point(stream(""), kNow - 1000, kNow, 7)}));
  EXPECT_EQ(newest()["none "], 7);
}

TEST_F(StreamSeriesTest, TwoScopesOfOneHistogramAreAllCounted) {
  const auto of = [&](const char* scope) {
    auto out = std::make_shared<MetricSeries>(
        *series(app, "http.server.request.duration", "http_server_request_duration_seconds",
                MetricKind::histogram, {{"http.route", std::string("/a")}}, "s"));
    out->scope = std::make_shared<const Labels>(Labels::of({{"otel_scope_name", scope}}));
    return std::shared_ptr<const MetricSeries>(out);
  };
  const auto a = of("a");
  const auto b = of("b");
  const auto list = bounds({0.1});
  for (std::uint64_t i = 0; i < 3; ++i) {
    const auto at = kNow + static_cast<std::int64_t>(i) * 1000;
    append(batch({point(a, kNow - 1000, at, classic(list, {100 + i, 0}))}));
    append(batch({point(b, kNow - 1000, at, classic(list, {5 + i, 0}))}));
  }
  const auto requests = select(*store, kRequestsName);
  ASSERT_EQ(requests.size(), 1u);
  EXPECT_EQ(requests[0].floats.back().value, 102 + 7);
}

TEST_F(StreamSeriesTest, NamesAndKindsThatFallTogetherStayApart) {
  append(batch({point(stream("a", "jobs"), kNow - 1000, kNow, 100),
                point(stream("a", "jobs.total"), kNow - 1000, kNow, 5),
                point(stream("a", "jobs_total"), kNow - 1000, kNow, 7),
                point(stream("b", "jobs_total"), kNow - 1000, kNow, 8),
                point(stream("a", "jobs_total", MetricKind::gauge), 0, kNow, 9)}));
  const std::map<std::string, double> want{{"", 100},
                                           {"jobs.total ", 5},
                                           {"jobs_total ", 7},
                                           {"jobs_total b ", 8},
                                           {"jobs_total gauge ", 9}};
  EXPECT_EQ(newest(), want);
  reopen();
  append(batch({point(stream("a", "jobs_total", MetricKind::gauge), 0, kNow, 9),
                point(stream("a", "jobs.total"), kNow - 1000, kNow, 5)}));
  EXPECT_EQ(newest(), want);
}

TEST_F(StreamSeriesTest, ARowWithoutAScopeBelongsToTheScopeThatHasNoneBesideIt) {
  // As an older version left it: a's series is plain, b's has the label.
  auto b = std::make_shared<MetricSeries>(*stream(""));
  b->labels = b->labels.with("otel_scope_name", "b");
  append(batch({point(stream(""), kNow - 1000, kNow, 100), point(b, kNow - 1000, kNow, 5)}));
  store.reset();
  {
    auto database = open_rocks({options.directory});
    ASSERT_TRUE(database);
    WriteSet set;
    const auto status = (*database)->scan(Family::series, "", "", [&](auto key, auto value) {
      auto info = decode_series(SeriesId{1}, value);
      info->scope = nullptr;
      auto row = encode_series(*info);
      row[0] = 1;
      row.pop_back();
      set.put(Family::series, std::string(key), std::move(row));
      return true;
    });
    ASSERT_TRUE(status);
    ASSERT_TRUE((*database)->write(set));
  }
  open();
  append(batch({point(stream("b"), kNow - 1000, kNow + 1000, 6)}));
  append(batch({point(stream("a"), kNow - 1000, kNow + 1000, 101)}));
  EXPECT_EQ(newest(), (std::map<std::string, double>{{"", 101}, {"b ", 6}}));
}

} // namespace
} // namespace coalmine::store::testing
