// Puts the numbers of the user's own metrics into cells of evidence.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "cohort/metric_source.h"
#include "judge/judge.h"
#include "rollout/evidence/evidence_feed.h"
#include "rollout/spec.h"

namespace coalmine::rollout {

// Which telemetry of which release.
struct MetricScope {
  std::shared_ptr<const RolloutSpec> spec;
  std::string canary_version;
  std::string stable_version;
};

// What is read over (from_ms, to_ms]: the counters, or the expressions, which are taken at to_ms
// with $window as long as the window.
struct MetricWindow {
  enum class What { counters, expressions } what = What::counters;
  std::int64_t from_ms = 0;
  std::int64_t to_ms = 0;
  bool stable_alone = false;
  // Counters that could not be read before are read from where that began, so that nothing they
  // counted is lost.
  bool catch_up = false;
};

// Reads the metrics of one rollout, one look after the other; one thread at a time. No metric can
// hold up a look: one that cannot be read, for whatever reason, has that as its problem and is left
// alone for a while, and a look waits in vain at most once. What it then did not ask is missing
// from the answer. source outlives it.
class MetricReader {
 public:
  MetricReader(const cohort::MetricSource& source, MetricScope scope);

  // now_ms: our clock.
  void begin_look(std::int64_t now_ms);
  std::vector<MetricNumbers> read(const MetricWindow& window);
  // Counters before to_ms that could not be read are given up: they would mix two splits.
  void give_up_before(std::int64_t to_ms);
  // Goes on behind a cell that this reader or an earlier one has filled.
  void recall(const CountCell& cell);
  bool has_values(const CountCell& cell) const; // its expressions were read with this cell
  // A look at counters and expressions over one window.
  std::vector<MetricNumbers> read_window(std::int64_t from_ms, std::int64_t to_ms,
                                         std::int64_t now_ms);

 private:
  // One metric of the spec.
  struct Metric {
    MetricSpec spec;
    bool is_ratio = false;
    std::string problem;        // why it could not be read when it was last asked
    std::int64_t ask_at_ms = 0; // not before
    std::int64_t wait_ms = 0;   // that it was left alone, last
    std::int64_t unread_ms = 0; // its counters were not read since; 0: they were
  };
  bool may_ask(const Metric& metric) const { return now_ms_ >= metric.ask_at_ms; }
  Result<MetricTrack> ask(const Metric& metric, Track track, const MetricWindow& window) const;
  Result<MetricTrack> ask_safely(const Metric& metric, Track track,
                                 const MetricWindow& window) const;
  // False: it was asked in vain for so long that nothing more is asked in this look.
  bool read_one(Metric& metric, const MetricWindow& window, MetricNumbers& numbers);
  void failed(Metric& metric, const Error& error);

  const cohort::MetricSource& source_;
  const MetricScope scope_;
  std::vector<Metric> metrics_;
  std::int64_t now_ms_ = 0;
  bool in_vain_ = false;  // this look has waited for an answer that did not come
  std::size_t first_ = 0; // asked first: the one behind that which was asked in vain
};
// A metric that could not be read is asked again after this long, and then twice as long each time.
inline constexpr std::int64_t kAskAgainMs = 30'000;
inline constexpr std::int64_t kLongestWaitMs = 5 * 60'000;

// A feed whose cells carry metrics. Counters are read cell by cell, stable's past in one go;
// expressions once in kValueCells cells, over all of them, so that a rate() of an exporter that is
// as slow as a cell is long has points to work with, and no time is used twice. One read fills at
// most kMostFilled cells; the next goes on. source outlives it. past: as in FeedRequest.
std::unique_ptr<EvidenceFeed> make_metric_feed(std::unique_ptr<EvidenceFeed> cells,
                                               const cohort::MetricSource& source,
                                               MetricScope scope, const KeptPast* past = nullptr);
inline constexpr std::size_t kValueCells = 3;
static_assert(kValueCells < kNewestKept, "the newest kept cells tell where a block began");
inline constexpr std::size_t kMostFilled = 60;

} // namespace coalmine::rollout
