// Exports of stock SDKs, recorded and cut down: tests/otlp/stacks/NAME.{metrics,traces}.json, with
// what is counted of them in NAME.counts.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <set>
#include <sstream>
#include <string>

#include "base/golden_for_test.h"
#include "receive/otlp.h"
#include "store/testing.h"

namespace coalmine::app {
namespace {

namespace stored = store::testing;

const std::filesystem::path kStacks = std::string(COALMINE_SOURCE_DIR) + "/tests/otlp/stacks";
constexpr std::int64_t kRecorded = 1'700'000'015'000; // the newest time in the recordings

std::set<std::string> stacks() {
  std::set<std::string> out;
  for (const auto& entry : std::filesystem::directory_iterator(kStacks)) {
    const auto name = entry.path().filename().string();
    if (name.ends_with(".json")) out.insert(name.substr(0, name.find('.')));
  }
  return out;
}

using receive::Signal;

std::optional<Batch> recorded(const std::string& stack, Signal signal) {
  std::ifstream in(kStacks /
                   (stack + (signal == Signal::metrics ? ".metrics.json" : ".traces.json")));
  if (!in) return std::nullopt;
  std::stringstream text;
  text << in.rdbuf();
  auto out =
      receive::decode(signal, receive::Encoding::json, text.str(), "10.1.2.3", kRecorded + 500, {});
  EXPECT_TRUE(out) << stack << ": " << (out ? "" : out.error().message);
  if (!out) return std::nullopt;
  EXPECT_EQ(out->rejected, 0u) << stack;
  return std::move(out->batch);
}

struct Counted {
  double requests = 0;
  double errors = 0;
  double client_errors = 0;
  double timed = 0;
  double sum_ms = 0;
};

struct Counts : stored::Fixture {
  Counts() {
    clock.advance_ms(kRecorded + 1000 - stored::kNow);
    open();
  }
  void take(const Batch& batch) { EXPECT_EQ(append(batch).reason, ""); }

  // By track, method and route.
  std::map<std::string, Counted> by_route() {
    std::map<std::string, Counted> out;
    const auto each = [&](std::string_view name, const auto& add) {
      for (const auto& data : stored::select(*store, name)) {
        const auto label = [&](std::string_view of) { return data.labels->get(of); };
        add(out[fmt::format("{} {} {}", label("deployment_track"), label("http_request_method"),
                            label("http_route").empty() ? "(no route)" : label("http_route"))],
            data);
      }
    };
    each(kRequestsName,
         [](Counted& to, const auto& data) { to.requests += data.floats.back().value; });
    each(kErrorsName, [](Counted& to, const auto& data) { to.errors += data.floats.back().value; });
    each(kClientErrorsName,
         [](Counted& to, const auto& data) { to.client_errors += data.floats.back().value; });
    each(kDurationName, [](Counted& to, const auto& data) {
      if (data.classic.empty()) return; // the same requests at another resolution
      to.timed += static_cast<double>(data.classic.back().value.count);
      to.sum_ms += data.classic.back().value.sum;
    });
    return out;
  }
  std::string lines() {
    std::string out;
    for (const auto& [route, n] : by_route()) {
      out += fmt::format("{}: {} requests, {} failed, {} answered 4xx, {} took {:.1f} ms\n", route,
                         n.requests, n.errors, n.client_errors, n.timed, n.sum_ms);
    }
    return out.empty() ? "no requests\n" : out;
  }
  double total() {
    double out = 0;
    for (const auto& [route, n] : by_route()) out += n.requests;
    return out;
  }
};

Batch later(const Batch& batch, std::int64_t by_ms, std::int64_t start_by_ms = 0) {
  auto out = batch;
  for (auto& point : out.points) {
    point.time_ns += static_cast<std::uint64_t>(by_ms) * 1'000'000;
    point.start_ns += static_cast<std::uint64_t>(start_by_ms) * 1'000'000;
  }
  return out;
}

TEST(Stacks, AreCountedAsTheyCounted) {
  const auto all = stacks();
  EXPECT_GE(all.size(), 11u);
  for (const auto& stack : all) {
    std::string text;
    for (const auto signal : {Signal::metrics, Signal::traces}) {
      const auto batch = recorded(stack, signal);
      if (!batch) continue;
      Counts counts;
      counts.take(*batch);
      text += (signal == Signal::metrics ? "metrics\n" : "traces\n") + counts.lines();
    }
    expect_golden(kStacks / (stack + ".counts"), text);
  }
}

// Whatever comes beside the metrics, and however often: every request once.
TEST(Stacks, EveryRequestCountsOnce) {
  for (const auto& stack : stacks()) {
    const auto metrics = recorded(stack, Signal::metrics);
    if (!metrics || stack == "java_jdk_server_untraced") continue;
    Counts counts;
    const auto spans = recorded(stack, Signal::traces);
    counts.take(*metrics);
    const auto expected = counts.lines();
    const auto total = counts.total();
    if (spans) counts.take(*spans);
    counts.take(*metrics); // sent again
    EXPECT_EQ(counts.lines(), expected) << stack;
    counts.take(later(*metrics, 10'000));
    const bool is_delta = metrics->points[0].series->temporality == Temporality::delta;
    EXPECT_EQ(counts.total(), total * (is_delta ? 2 : 1)) << stack;
    if (!spans || stack != "spring") continue;
    Counts later_metrics;
    later_metrics.take(*spans);
    later_metrics.take(*metrics);
    EXPECT_EQ(later_metrics.lines(), expected) << "spans may come first";
  }
}

// Two processes on one host, or behind one Collector.
TEST(Stacks, TwoProcessesOfOneStackAreTwice) {
  for (const auto& stack : {"go", "go_without_routes"}) {
    const auto first = recorded(stack, Signal::metrics);
    ASSERT_TRUE(first);
    const auto second = later(*first, 200, 700);
    Counts counts;
    for (std::int64_t round = 0; round < 5; ++round) {
      counts.take(later(*first, round * 100));
      counts.take(later(second, round * 100));
    }
    Counts one;
    one.take(*first);
    EXPECT_EQ(counts.total(), 2 * one.total()) << stack;
  }
}

} // namespace
} // namespace coalmine::app
