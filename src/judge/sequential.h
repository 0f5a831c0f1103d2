// The sequential judge. What it decides: judge.h. Why it may be looked at all the time:
// docs/concepts/statistics.md.
//
// Life of one object: cells before the canary (baseline) teach it stable's rate, distribution,
// dispersion and routes; with the first cell of the canary, margins, boundaries and weights are
// fixed from that past; every later cell is multiplied into the evidence and forgotten. Nothing is
// chosen after seeing the cell it is applied to. One thread. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

#include "judge/judge.h"
#include "judge/metric_line.h"
#include "judge/sequential_lines.h"
#include "judge/stats/dispersion.h"

namespace coalmine::judge {

class SequentialJudge final : public Judge {
 public:
  explicit SequentialJudge(SequentialOptions options);

  std::string_view name() const override { return "sequential"; }
  Judgement judge(const Evidence& evidence) override;
  bool takes_cells() const override { return true; }

  // One cell; what judge() does with each of evidence.cells.
  void add(const EvidenceCell& cell);

 private:
  // What is known of stable before the canary.
  struct Past {
    double requests = 0;
    double errors = 0;
    double minutes = 0;
    Buckets latency;
  };
  // The service, or one route.
  struct Scope {
    double rate_weight = 0; // shares of the error budget
    double tail_weight = 0;
    RateLine rate;
    TailLine tail;
    double share_weight = 0;
    std::optional<MetricLine> share; // of a route that stable had before
    double canary = 0;               // requests seen, also in cells that are not judged
    double stable = 0;
  };
  struct Route {
    std::string name;
    Scope scope;
  };
  // One of the user's own metrics.
  struct Metric {
    std::size_t signal = 0; // index in options_.signals
    MetricTrack past;       // of stable
    std::optional<MetricLine> line;
    std::string problem; // of the newest measurement
  };

  bool begin();
  Scope make_scope(const Past& past, bool whole, double weight) const;
  TailLine make_tails(const Past& past, bool whole) const;
  // Its place in routes_, where it is put when it is new.
  std::size_t route_place(const std::string& name);
  bool is_critical(const std::string& route) const { return critical_.contains(route); }
  double stake_of(const std::string& route) const { return is_critical(route) ? 2 : 1; }
  double late_route_weight(bool critical);
  void feed(Scope& scope, const CellRoute& counts, double minute);
  void feed_routes(const EvidenceCell& cell, double minute);
  void judge_share(SignalVerdict& v, const Scope& scope) const;
  void learn(const EvidenceCell& cell);
  void add_dispersion(const EvidenceCell& cell);
  LineOptions line_options(bool whole) const;

  std::size_t harm_index(double next_weight) const;
  void feed_metrics(const EvidenceCell& cell, double minute);
  void judge_metric(SignalVerdict& v, const Metric& metric, std::size_t harm) const;
  void fill_verdict(SignalVerdict& v, std::size_t signal, const Scope& scope,
                    const std::string& route, const Evidence& evidence) const;
  void fill_rate(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  void fill_minutes(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  void fill_tail(SignalVerdict& v, const Scope& scope, std::size_t mark, std::size_t harm) const;
  void set_outcome(SignalVerdict& v, bool beyond, double log_e, double log_weight,
                   double log_safety) const;
  std::vector<SignalVerdict> verdicts(const Evidence& evidence) const;
  void sort_routes(std::vector<SignalVerdict>& lines) const;
  void name_routes(std::vector<SignalVerdict>& lines) const;
  void conclude(Judgement& out, const Evidence& evidence) const;
  bool holds_promotion(std::size_t signal) const;

  const SequentialOptions options_;
  const std::set<std::string> critical_;
  std::vector<double> harms_;               // scales of the harm rule: 1 / next weight
  std::optional<std::size_t> rate_signal_;  // index of the error rate in options_.signals
  std::optional<std::size_t> share_signal_; // index of the request share
  std::size_t whole_signals_ = 0;           // the first so many are of the service too
  std::vector<std::size_t> tail_signals_;   // indexes of latencies, in the order of marks
  double class_rate_ = 0, class_tail_ = 0, class_routes_ = 0; // shares of the budget
  double metric_weight_ = 0;                                  // of each metric

  // What the lines depend on beside the cells.
  struct Question {
    double next_weight = 0;
    double min_requests = 0;
    bool too_few_requests = false;
    bool both_report = false;
    bool operator==(const Question&) const = default;
  };
  std::optional<SharedVector<SignalVerdict>> lines_; // of the newest cell
  Question asked_;

  bool begun_ = false;
  double minutes_ = 0;    // observed since the canary began
  double per_minute_ = 0; // canary requests, of late
  bool warming_ = false;  // in the newest cell
  Past past_;
  std::map<std::string, Past> past_routes_;
  double past_root_ = 0; // sum of the square roots of the routes' past traffic, critical ones twice
  Dispersion errors_;
  Dispersion tails_;
  double dispersion_boundary_ = 0; // where tails_ compares; 0: not chosen yet
  std::vector<Part> previous_; // stable's instances in the cell before, when there was one instance
  std::optional<Part> previous_tail_;
  Margin margin_; // of the error rate, as shown
  Scope service_;
  std::vector<Metric> metrics_;
  std::vector<Route> routes_;
  std::map<std::string, std::size_t> route_index_;
  std::size_t late_routes_ = 0;
  std::size_t late_critical_routes_ = 0;
};

inline constexpr std::size_t kMaxJudgedRoutes = 500;

} // namespace coalmine::judge
