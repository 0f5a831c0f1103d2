// What becomes of points that clash with others, and of deltas.
// SPDX-License-Identifier: Apache-2.0
#include <gtest/gtest.h>

#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

using Points = std::vector<std::pair<std::int64_t, double>>;

struct IngestTest : ::testing::Test, Fixture {
  std::shared_ptr<const Resource> app = resource("shop");
  void SetUp() override { open(); }

  std::shared_ptr<const MetricSeries> counter(Temporality temporality, Attributes attributes = {}) {
    return series(app, "jobs", "jobs_total", MetricKind::counter, std::move(attributes), "",
                  temporality);
  }
  Points stored() {
    const auto found = select(*store, "jobs_total");
    return found.size() == 1 ? values(found[0]) : Points{};
  }
};

TEST_F(IngestTest, OfTwoTotalsAtOneInstantOneIsKeptAndTheSenderIsTold) {
  const auto total = counter(Temporality::cumulative);
  const auto start = kNow - 60'000;
  const auto result = append(batch({point(total, start, kNow, 100), point(total, start, kNow, 5)}));
  EXPECT_EQ(result.rejected_points, 1u);
  EXPECT_NE(result.reason.find("two different values at 2023-11-14T22:13:20"), std::string::npos)
      << result.reason;
  EXPECT_NE(result.reason.find("jobs_total{"), std::string::npos) << result.reason;
  EXPECT_EQ(append(batch({point(total, start, kNow, 5)})).rejected_points, 1u) << "in two requests";
  EXPECT_EQ(append(batch({point(total, start, kNow, 100)})).rejected_points, 0u) << "a repetition";
  append(batch({point(total, start, kNow + 1000, 101)}));
  EXPECT_EQ(append(batch({point(total, start, kNow, 7)})).rejected_points, 1u) << "late";
  EXPECT_EQ(append(batch({point(total, start, kNow, 100)})).rejected_points, 0u);
  EXPECT_EQ(stored(), (Points{{0, 100}, {1000, 101}}));
}

TEST_F(IngestTest, AttributesThatReadAlikeAsLabelsAreTold) {
  const auto dots = counter(Temporality::cumulative, {{"a.b", std::string("x")}});
  const auto line = counter(Temporality::cumulative, {{"a_b", std::string("x")}});
  EXPECT_EQ(append(batch({point(dots, kNow - 1000, kNow, 1), point(line, kNow - 1000, kNow, 2)}))
                .rejected_points,
            1u);
}

TEST_F(IngestTest, WithinAMillisecondTheNewerPointCounts) {
  const auto total = counter(Temporality::cumulative);
  auto later = point(total, kNow - 1000, kNow, 6);
  later.time_ns += 400'000;
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({later})).rejected_points, 0u);
  EXPECT_EQ(stored(), (Points{{0, 6}}));
}

TEST_F(IngestTest, AfterARestartARepetitionIsStillOne) {
  const auto total = counter(Temporality::cumulative);
  append(batch({point(total, kNow - 1000, kNow, 5)}));
  reopen();
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({point(total, kNow - 1000, kNow, 9)})).rejected_points, 1u);
}

TEST_F(IngestTest, ADeltaThatClashesIsToldAndARepeatedOneIsNot) {
  const auto of = counter(Temporality::delta);
  const auto result =
      append(batch({point(of, kNow - 1000, kNow, 5), point(of, kNow - 2000, kNow, 3)}));
  EXPECT_EQ(result.rejected_points, 1u);
  EXPECT_NE(result.reason.find("two different values"), std::string::npos) << result.reason;
  EXPECT_EQ(append(batch({point(of, kNow - 1000, kNow, 5)})).rejected_points, 0u);
  append(batch({point(of, kNow, kNow + 2000, 0.1), point(of, kNow, kNow + 1000, 0.2)}));
  EXPECT_EQ(append(batch({point(of, kNow, kNow + 1000, 0.2)})).rejected_points, 0u);
  EXPECT_EQ(append(batch({point(of, kNow, kNow + 1000, 0.3)})).rejected_points, 1u);
  const auto got = stored();
  ASSERT_EQ(got.size(), 3u);
  EXPECT_DOUBLE_EQ(got.back().second, 5.3);
}

} // namespace
} // namespace coalmine::store::testing
