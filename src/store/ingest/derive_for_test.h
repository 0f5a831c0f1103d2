// For tests of what is derived from telemetry: one service, its counters and histograms.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "store/ingest/derive.h"
#include "store/testing.h"

namespace coalmine::store::testing {

using Points = std::vector<std::pair<std::int64_t, double>>;

inline constexpr std::string_view kStable = "http.server.request.duration";
inline constexpr std::string_view kOld = "http.server.duration";

inline const BucketBounds& seconds() {
  static const auto list = bounds({0.005, 0.01, 0.1, 1});
  return list;
}

inline Attributes request(std::int64_t status, std::string route = "/a") {
  return {{"http.route", std::move(route)},
          {"http.request.method", std::string("GET")},
          {"http.response.status_code", status}};
}

struct DeriveTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  std::shared_ptr<const MetricSeries> duration(const Attributes& attributes,
                                               std::string_view otel = kStable,
                                               std::string unit = "s",
                                               Temporality temporality = Temporality::cumulative) {
    return series(app, std::string(otel),
                  otel == kStable ? "http_server_request_duration_seconds"
                                  : "http_server_duration_milliseconds",
                  MetricKind::histogram, attributes, std::move(unit), temporality);
  }
  std::shared_ptr<const MetricSeries> counter(std::string_view name,
                                              const Attributes& attributes = {}) {
    return series(app, std::string(name), std::string(name), MetricKind::counter, attributes);
  }
  Points only(std::string_view name, bool choose = true) {
    const auto found = select(*store, name, {}, choose);
    EXPECT_EQ(found.size(), 1u) << name;
    return found.empty() ? Points{} : values(found[0]);
  }
};

} // namespace coalmine::store::testing
