// Exports every minute, spans every few seconds, and a router that splits exactly as asked: every
// cell shows the split that was asked for, and a restart at any moment changes no cell.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "rollout/evidence/cell_record.h"
#include "rollout/evidence/kept_feed.h"
#include "rollout/evidence/spec_judge.h"
#include "rollout/journal/memory_cells_for_test.h"

namespace coalmine::rollout {
namespace {

constexpr std::int64_t kShopLaunch = 1'700'000'000'000;
constexpr std::int64_t kMinuteMetricsMs = 60'000;
constexpr std::int64_t kSpanBatchMs = 5'000;
constexpr double kShopRate = 40; // requests a second, both tracks together
constexpr std::array kShopRoutes = {std::pair{"/cart", 0.45}, std::pair{"/pay", 0.55}};

struct Sender {
  Track track = Track::stable;
  std::string name;
  std::int64_t born_ms = 0;
  std::int64_t metrics_phase_ms = 0; // behind its birth
  std::int64_t spans_phase_ms = 0;
  // Some SDKs date a counter by the begin of the sender, some by its first request.
  bool dates_by_request = false;
  std::int64_t delay_ms = 0; // of an export that the server could not take
};

struct ShopDraw {
  std::mt19937_64 random;
  std::int64_t of(std::int64_t low, std::int64_t high) {
    return std::uniform_int_distribution<std::int64_t>(low, high)(random);
  }
};

// The service, its router, and what its senders send.
struct Shop {
  std::vector<Sender> senders;
  std::vector<WeightChange> changes;
  bool sends_metrics = true;
  bool sends_spans = true;
  std::int64_t traffic_from_ms = 0;
  std::int64_t down_from_ms = 0; // the server
  std::int64_t down_until_ms = 0;

  explicit Shop(std::uint64_t seed) {
    ShopDraw draw{std::mt19937_64(seed)};
    const auto lacks = draw.of(0, 3);
    sends_metrics = lacks != 0;
    sends_spans = lacks != 1;
    const auto loaded = kShopLaunch - draw.of(100'000, 200'000);
    traffic_from_ms = loaded + draw.of(0, 20'000);
    for (const auto track : kBothTracks) {
      const auto many = draw.of(1, 3);
      for (std::int64_t i = 0; i < many; ++i) {
        Sender one;
        one.track = track;
        one.name = fmt::format("{}{}@1", track == Track::canary ? "c" : "s", i);
        // Of a process that began more than 40 minutes before the rollout the first export counts
        // nothing: it may hold requests of any time.
        const auto oldest = track == Track::canary ? 35 * 60'000 : 60 * 60'000;
        one.born_ms = loaded - (draw.of(0, 2) == 0 ? draw.of(0, oldest) : draw.of(0, 2'000));
        // Those that were started together export nearly together.
        one.metrics_phase_ms = draw.of(0, 500);
        one.spans_phase_ms = draw.of(0, kSpanBatchMs - 1);
        one.dates_by_request = draw.of(0, 1) == 0;
        one.delay_ms = draw.of(50, 5'000);
        senders.push_back(std::move(one));
      }
    }
    changes.push_back({kShopLaunch, kShopLaunch + draw.of(1, 2'000), 0.25});
    const auto second = kShopLaunch + draw.of(180'000, 360'000);
    changes.push_back({second, second + draw.of(1, 2'000), 0.5});
    down_from_ms = kShopLaunch + draw.of(5'000, 480'000);
    down_until_ms = down_from_ms + (draw.of(0, 2) == 0 ? draw.of(1'000, 40'000) : 1'500);
  }

  double weight_at(std::int64_t at_ms) const {
    double out = 0;
    for (const auto& change : changes) out = change.to_ms <= at_ms ? change.weight : out;
    return out;
  }
  // Requests of a process since its begin.
  double served(const Sender& sender, std::int64_t until_ms) const {
    double out = 0;
    double weight = 0;
    auto from_ms = traffic_from_ms;
    const auto add = [&](std::int64_t to_ms) {
      const double share = sender.track == Track::canary ? weight : 1 - weight;
      out += kShopRate * share * static_cast<double>(std::max<std::int64_t>(0, to_ms - from_ms)) /
             1000;
      from_ms = std::max(from_ms, to_ms);
    };
    for (const auto& change : changes) {
      add(std::min(change.to_ms, until_ms));
      weight = change.weight;
    }
    add(until_ms);
    const auto many = std::ranges::count(senders, sender.track, &Sender::track);
    return out / static_cast<double>(many);
  }
  // When an export of this moment can be read. What the server could not take is sent again.
  std::int64_t arrival_ms(const Sender& sender, std::int64_t at_ms) const {
    const auto comes = at_ms + 20;
    const bool refused = comes >= down_from_ms && comes < down_until_ms;
    return refused ? down_until_ms + sender.delay_ms : comes;
  }
  std::vector<std::int64_t> exports(const Sender& sender, Source source, std::int64_t from_ms,
                                    std::int64_t now_ms) const {
    const bool of_spans = source == Source::spans;
    const auto every = of_spans ? kSpanBatchMs : kMinuteMetricsMs;
    auto at = sender.born_ms + every + (of_spans ? sender.spans_phase_ms : sender.metrics_phase_ms);
    std::vector<std::int64_t> out;
    for (; at <= now_ms; at += every) {
      if (at >= from_ms && arrival_ms(sender, at) <= now_ms) out.push_back(at);
    }
    return out;
  }
  std::string text() const {
    auto out = fmt::format("metrics {}, spans {}, traffic from {}, second change {}, down {} to {}",
                           sends_metrics, sends_spans, traffic_from_ms - kShopLaunch,
                           changes[1].to_ms - kShopLaunch, down_from_ms - kShopLaunch,
                           down_until_ms - kShopLaunch);
    for (const auto& one : senders) {
      out += fmt::format(
          "\n{}: born {}, exports at {}{}", one.name, one.born_ms - kShopLaunch,
          (one.born_ms + one.metrics_phase_ms - kShopLaunch) % kMinuteMetricsMs + kMinuteMetricsMs,
          one.dates_by_request ? ", dated by its first request" : "");
    }
    return out;
  }
};

// What the store has of a shop.
class ShopStore final : public cohort::CountFeedSource {
 public:
  explicit ShopStore(const Shop& shop) : shop_(shop) {}
  cohort::CountFeedTraits traits() const override { return {.is_sent_to_us = true}; }
  std::unique_ptr<cohort::CountFeed> open(cohort::CountFeedRequest request) const override {
    return std::make_unique<Feed>(shop_, request.origin_ms);
  }

 private:
  class Feed final : public cohort::CountFeed {
   public:
    Feed(const Shop& shop, std::int64_t origin_ms)
        : shop_(shop), from_ms_(origin_ms - 10 * 60'000) {}
    Status read(cohort::CountGrid& grid, std::int64_t now_ms) override {
      if (begun_) from_ms_ = grid.needed_from_ms();
      begun_ = true;
      std::uint64_t id = 0;
      for (const auto& sender : shop_.senders) {
        if (shop_.sends_metrics) give(grid, sender, Source::histogram, id, now_ms);
        id += 10;
        if (shop_.sends_spans) give(grid, sender, Source::spans, id, now_ms);
        id += 10;
      }
      return {};
    }
    Status read_past(cohort::CountGrid& grid, std::int64_t until_ms) override {
      return read(grid, until_ms);
    }

   private:
    void give(cohort::CountGrid& grid, const Sender& sender, Source source, std::uint64_t id,
              std::int64_t now_ms) const {
      for (const auto& [route, part] : kShopRoutes) {
        cohort::CountSeries requests;
        requests.id = id++;
        requests.track = sender.track;
        requests.source = source;
        requests.instance = sender.name;
        requests.route = route;
        auto errors = requests;
        errors.id = id++;
        errors.measure = cohort::Measure::bad;
        double before = 0;
        const auto first =
            sender.track == Track::canary ? shop_.changes[0].to_ms : shop_.traffic_from_ms;
        const auto start = sender.dates_by_request || source == Source::spans
                               ? std::max(first, sender.born_ms)
                               : sender.born_ms;
        for (const auto at : shop_.exports(sender, source, from_ms_, now_ms)) {
          const double value = part * shop_.served(sender, at);
          const bool is_there = source == Source::spans ? value > before : value > 0;
          before = value;
          if (!is_there) continue;
          requests.floats.push_back({at, start, value});
          errors.floats.push_back({at, start, 0});
        }
        if (requests.floats.empty()) continue;
        const auto read_ms = source == Source::spans ? 0 : now_ms;
        grid.add(requests, read_ms);
        grid.add(errors, read_ms);
        if (source == Source::spans) grid.add({sender.track, source, sender.name, now_ms - 15'000});
      }
    }

    const Shop& shop_;
    std::int64_t from_ms_;
    bool begun_ = false;
  };
  const Shop& shop_;
};

// One process of coalmine that watches the shop.
class SplitWatcher {
 public:
  SplitWatcher(const Shop& shop, CellStore& kept)
      : shop_(shop),
        store_(shop),
        spec_(std::make_shared<const RolloutSpec>(default_spec("shop"))),
        feed_(make_kept_feed(
            make_cell_record(kept, RolloutId{1},
                             [&kept](CellBatch batch) {
                               EXPECT_TRUE(kept.keep_cells(std::vector{std::move(batch)}));
                             }),
            [this](std::shared_ptr<const KeptPast> past) {
              return make_grid_feed(store_, {spec_, "1", "1", kShopLaunch, std::move(past)});
            })) {}

  void look(std::int64_t now_ms) {
    FeedView view{.changes = {}, .until_ms = now_ms};
    for (const auto& change : shop_.changes) {
      if (change.to_ms <= now_ms) view.changes.push_back(change);
      if (change.to_ms > now_ms) view.until_ms = std::min(view.until_ms, change.from_ms);
    }
    do {
      auto read = feed_->read(view, now_ms);
      ASSERT_TRUE(read);
      std::ranges::move(*read, std::back_inserter(cells));
    } while (!feed_->caught_up());
  }

  std::vector<CountCell> cells; // all so far

 private:
  const Shop& shop_;
  const ShopStore store_;
  const std::shared_ptr<const RolloutSpec> spec_;
  const std::unique_ptr<EvidenceFeed> feed_;
};

// Every few seconds, and as soon as metrics have come.
std::set<std::int64_t> looks_at(const Shop& shop) {
  std::set<std::int64_t> out;
  const auto until = kShopLaunch + 10 * 60'000;
  for (auto at = kShopLaunch + 2'500; at <= until; at += 5'000) out.insert(at);
  for (const auto& sender : shop.senders) {
    for (const auto at : shop.exports(sender, Source::histogram, kShopLaunch, until))
      out.insert(shop.arrival_ms(sender, at) + 1);
  }
  return out;
}

std::string split_text(const CountCell& cell) {
  auto out = fmt::format("{}+{} by {}{}, canary {:.1f} stable {:.1f} of",
                         cell.from_ms - kShopLaunch, cell.to_ms - cell.from_ms,
                         static_cast<int>(cell.source), cell.mixed ? ", mixed" : "",
                         cell.total.canary.requests, cell.total.stable.requests);
  for (const auto& one : cell.instances)
    out += fmt::format(" {}:{:.1f}", one.instance, one.requests);
  return out;
}

std::string split_text(const std::vector<CountCell>& cells) {
  std::string out;
  for (const auto& cell : cells) {
    if (cell.to_ms > kShopLaunch - 120'000) out += "\n  " + split_text(cell);
  }
  return out;
}

void expect_split_as_asked(const Shop& shop, const std::vector<CountCell>& cells) {
  for (const auto& cell : cells) {
    if (cell.mixed || cell.baseline) continue;
    const double all = cell.total.canary.requests + cell.total.stable.requests;
    const double due = kShopRate * static_cast<double>(cell.to_ms - cell.from_ms) / 1000;
    ASSERT_NEAR(cell.total.canary.requests / all, shop.weight_at(cell.from_ms), 0.02)
        << split_text(cell) << "\n"
        << shop.text() << split_text(cells);
    ASSERT_NEAR(all / due, 1, 0.1) << split_text(cell) << "\n" << shop.text() << split_text(cells);
  }
}

// Stops the server once, and compares with one that never was.
void expect_nothing_of_a_restart(std::uint64_t seed) {
  SCOPED_TRACE(fmt::format("seed {}", seed));
  const Shop shop(seed);
  auto undisturbed_shop = shop;
  undisturbed_shop.down_from_ms = undisturbed_shop.down_until_ms = INT64_MAX;
  testing::MemoryCells kept;
  std::vector<testing::MemoryCells> kept_before;
  SplitWatcher undisturbed(undisturbed_shop, kept);
  for (const auto at : looks_at(undisturbed_shop)) {
    undisturbed.look(at);
    if (at < shop.down_from_ms) kept_before.push_back(kept);
  }
  ASSERT_FALSE(undisturbed.cells.empty());
  EXPECT_GE(undisturbed.cells.back().to_ms, kShopLaunch + 7 * 60'000)
      << split_text(undisturbed.cells);
  expect_split_as_asked(undisturbed_shop, undisturbed.cells);
  if (::testing::Test::HasFatalFailure()) return;
  // kill -9 may come before the newest cells are written.
  const auto lost = std::min<std::size_t>(kept_before.size() - 1, seed % 3 == 0 ? seed % 20 : 0);
  auto& kept_then = kept_before[kept_before.size() - 1 - lost];
  if (kept_then.rollouts[1].rows.empty()) return; // it begins anew
  SplitWatcher restarted(shop, kept_then);
  for (const auto at : looks_at(shop)) {
    if (at >= shop.down_until_ms) restarted.look(at);
  }
  expect_split_as_asked(shop, restarted.cells);
  // What is read again may be counted by a better source than before, and which cell is the first
  // of a better source depends on when its first export comes.
  const bool may_switch = shop.sends_metrics && shop.sends_spans &&
                          shop.down_from_ms < kShopLaunch + kMinuteMetricsMs + 15'000;
  if (::testing::Test::HasFatalFailure() || lost > 0 || may_switch) return;
  ASSERT_EQ(split_text(restarted.cells), split_text(undisturbed.cells)) << shop.text();
}

TEST(RestartSplit, ARestartAtAnyMomentIsInvisible) {
  for (std::uint64_t seed = 1; seed <= 80; ++seed) {
    expect_nothing_of_a_restart(seed);
    if (HasFailure()) return;
  }
}

} // namespace
} // namespace coalmine::rollout
