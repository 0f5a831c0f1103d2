// The times of one export are stored once.
// SPDX-License-Identifier: Apache-2.0
#include "store/series/shared_times.h"

#include <gtest/gtest.h>

#include <random>

#include "store/testing.h"

namespace coalmine::store::testing {
namespace {

constexpr int kSeries = 600; // more than are sealed at a time
constexpr int kExports = 100;
constexpr std::int64_t kIntervalMs = 30'000;

struct SharedTimesTest : ::testing::Test, Fixture {
  std::vector<std::vector<std::pair<std::int64_t, double>>> sent =
      std::vector<std::vector<std::pair<std::int64_t, double>>>(kSeries);

  // Two processes whose exports come at different times. The last series belongs to a third process
  // and has times of its own.
  void SetUp() override {
    open();
    std::mt19937_64 random(9);
    std::vector<std::shared_ptr<const MetricSeries>> all;
    const std::array processes = {resource("shop", "stable", "1", "i1"),
                                  resource("shop", "canary", "2", "i2"),
                                  resource("till", "stable", "1", "i3")};
    const auto process_of = [](int i) {
      return static_cast<std::size_t>(i == kSeries - 1 ? 2 : i % 2);
    };
    for (int i = 0; i < kSeries; ++i) {
      all.push_back(series(processes[process_of(i)], "depth", "depth", MetricKind::gauge,
                           {{"queue", std::to_string(i)}}));
    }
    for (int e = 0; e < kExports; ++e) {
      clock.set_wall_ms(kNow + e * kIntervalMs);
      std::array<std::int64_t, 3> at{};
      for (auto& t : at) t = clock.wall_ms() - static_cast<std::int64_t>(random() % 500);
      Batch batch = testing::batch({}, clock.wall_ms());
      for (int i = 0; i < kSeries; ++i) {
        const auto number = static_cast<std::size_t>(i);
        const auto value = static_cast<double>(random() % 10);
        batch.points.push_back(point(all[number], 0, at[process_of(i)], value));
        sent[number].emplace_back(at[process_of(i)] - kNow, value);
      }
      append(batch);
    }
    clock.advance_ms(3600'000);
    ASSERT_TRUE(store->maintain());
    ASSERT_EQ(store->stats().head_samples, 0u);
  }
  template <typename F>
  void in_database(F&& use) {
    store.reset();
    auto database = open_rocks({options.directory});
    ASSERT_TRUE(database);
    use(**database);
    database->reset();
    open();
  }
  std::vector<std::string> rows(Database& database, std::string_view from, std::string_view to) {
    std::vector<std::string> keys;
    EXPECT_TRUE(database.scan(Family::chunks, from, to, [&](auto key, auto) {
      keys.emplace_back(key);
      return true;
    }));
    return keys;
  }
  // The number of series that read back as they were sent.
  int whole() {
    int same = 0;
    for (const auto& found : select(*store, "depth")) {
      const auto number =
          static_cast<std::size_t>(std::stoi(std::string(found.labels->get("queue"))));
      if (values(found) == sent[number]) ++same;
    }
    return same;
  }
};

TEST_F(SharedTimesTest, OnceForAllSeriesOfAProcess) {
  EXPECT_EQ(whole(), kSeries);
  in_database([&](Database& database) {
    const auto blocks = 3u; // that kExports x kIntervalMs touch
    // Two processes in each block, one of them sealed in two parts. The single series has its own
    // times.
    EXPECT_EQ(rows(database, "t", "u").size(), blocks * 3);
    std::size_t own = 0;
    for (const auto& key : rows(database, "c", "d")) {
      own += times_row_of(**database.get(Family::chunks, key)) ? 0u : 1u;
    }
    EXPECT_EQ(own, blocks);
  });
  EXPECT_EQ(whole(), kSeries);
  EXPECT_EQ(damaged(), 0);
  clock.advance_ms(48 * 3600'000);
  ASSERT_TRUE(store->maintain());
  in_database([&](Database& database) {
    EXPECT_TRUE(rows(database, "", "").empty()) << "they go with their chunks";
  });
}

TEST_F(SharedTimesTest, LostAndDamagedOnesAreTold) {
  in_database([&](Database& database) {
    const auto keys = rows(database, "t", "u");
    WriteSet set;
    set.erase(Family::chunks, keys[0]);
    set.put(Family::chunks, keys[1], "nonsense");
    ASSERT_TRUE(database.write(set));
  });
  const int left = whole();
  EXPECT_GT(left, 0);
  EXPECT_LT(left, kSeries);
  EXPECT_EQ(damaged(), kSeries - left) << "one chunk each";
}

} // namespace
} // namespace coalmine::store::testing
