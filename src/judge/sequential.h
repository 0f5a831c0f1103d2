// The sequential judge. What it decides: judge.h. Why it may be looked at at any time:
// docs/concepts/statistics.md.
//
// Life of one object: from cells before the canary (baseline) it learns stable's rate,
// distribution, dispersion and routes; with the first cell of the canary, margins, boundaries and
// weights are fixed from that past; every later cell is multiplied into the evidence and forgotten.
// Nothing is chosen after seeing the cell it is applied to. One thread.
//
// Parts: sequential_past.h (stable before the canary, dispersion), trial/stable_trial.h (stable as
// its own canary), error_budget.h (who may spend how much of alpha), scope_lines.h (margins,
// boundaries, the lines of the service or a route), judged_routes.h, judged_metrics.h,
// canary_pace.h (forecasts). This class feeds them and reads verdicts off them.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "judge/canary_pace.h"
#include "judge/error_budget.h"
#include "judge/judge.h"
#include "judge/judged_metrics.h"
#include "judge/judged_routes.h"
#include "judge/reason.h"
#include "judge/restart_watch.h"
#include "judge/scope_lines.h"
#include "judge/sequential_past.h"
#include "judge/trial/stable_trial.h"

namespace coalmine::judge {

// Nats that one canary request adds on average to the evidence that the rate is below the null,
// when it really is p: the Poisson divergence. 0: none.
double growth(double p, double null);
void set_no_data(SignalVerdict& v, Cause cause);

class SequentialJudge final : public Judge {
 public:
  explicit SequentialJudge(SequentialOptions options);
  SequentialJudge(const SequentialJudge&) = delete; // its parts refer to each other
  SequentialJudge& operator=(const SequentialJudge&) = delete;

  std::string_view name() const override { return "sequential"; }
  Judgement judge(const Evidence& evidence) override;
  bool takes_cells() const override { return true; }

  // Takes in one cell. judge() calls it for each of evidence.cells.
  void add(const CountCell& cell);

 private:
  // The inputs of the lines beside the cells.
  struct Question {
    double next_weight = 0;
    double min_requests = 0;
    // Of the canary in the step; while they are too few, a line says how many.
    std::optional<double> too_few{};
    double served = 0;
    // What has come of a track, while no cell has a request of both.
    struct Come {
      bool has_data = false;
      double requests = 0;
      bool operator==(const Come&) const = default;
    };
    Come canary{};
    Come stable{};
    bool export_due = false;
    bool operator==(const Question&) const = default;
  };

  // Cells in (sequential.cc).
  bool begin();
  void learn(const CountCell& cell);
  void try_stable();
  void add_sampled(const CountCell& cell);
  bool is_critical(const std::string& route) const { return critical_.contains(route); }

  // Lines out (sequential_verdicts.cc; what they lead to: sequential_decision.cc).
  void fill_verdict(SignalVerdict& v, std::size_t signal, const Scope& scope,
                    const std::string& route, const Evidence& evidence) const;
  bool is_interval_open(const Evidence& evidence) const;
  void fill_without_canary(SignalVerdict& v, const Evidence& evidence) const;
  void fill_error_rate(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  // The errors of the warm-up, where they decide or are all there is.
  void fill_warm_up(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  double allowed_error_difference(double stable) const;
  ArmPhi error_phi(const std::string& route) const; // "": the service
  void fill_rate(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  // Of an interval whose one end excludes what would promote and whose other end excludes what
  // would roll back, at the line's weight.
  double level(double log_weight) const;
  void fill_minutes(SignalVerdict& v, const Scope& scope, std::size_t harm) const;
  void fill_without_stable(SignalVerdict& v, std::size_t signal, const Scope& scope) const;
  void set_limit_outcome(SignalVerdict& v, bool beyond, double log_e, double log_weight) const;
  // Latency (sequential_latency.cc).
  void fill_latency(SignalVerdict& v, std::size_t signal, const Scope& scope,
                    std::size_t harm) const;
  void fill_limit(SignalVerdict& v, std::size_t signal, const Scope& scope) const;
  // Latency signals of one scope share their evidence, which counts once, and each has the whole
  // stake. With limits, or under the strict rule, each has evidence and a part of the stake of its
  // own.
  bool latencies_share_evidence() const;
  double log_tail_weight(const Scope& scope) const; // of one signal
  std::size_t mark_of(std::size_t signal, const SignalVerdict& v) const;
  void fill_tail(SignalVerdict& v, const Scope& scope, std::size_t mark, std::size_t harm) const;
  void fill_metric(SignalVerdict& v, const JudgedMetrics::Metric& metric, std::size_t harm) const;
  void fill_share(SignalVerdict& v, const Scope& scope) const;
  void fill_part(SignalVerdict& v, const MetricReading& reading, double log_weight) const;
  // Adds the line of the scope's client errors where both tracks' HTTP statuses are known; of a
  // route only when they are beyond the margin, for most routes have a few and hold up nothing.
  void add_client_line(std::vector<SignalVerdict>& lines, const Scope& scope,
                       const std::string& route) const;
  // Adds the line of restarts once a process of the canary had some.
  void add_restart_line(std::vector<SignalVerdict>& lines) const;
  void set_outcome(SignalVerdict& v, bool beyond, double log_e, double log_weight,
                   double log_safety) const;
  double share_of_canary(const Scope& scope) const;
  std::string guarantee() const;
  std::vector<SignalVerdict> verdicts(const Evidence& evidence) const;
  void sort_routes(std::vector<SignalVerdict>& lines) const;
  void name_routes(std::vector<SignalVerdict>& lines) const;
  void conclude(Judgement& out, const Evidence& evidence) const;
  // The evidence of all gating lines that are beyond their margins, as shares of what is needed.
  struct Proof {
    double sum = 0;
    std::optional<std::size_t> culprit;
  };
  enum class Explained { no, yes };
  Proof proof(const std::vector<SignalVerdict>& lines, Explained explained) const;
  bool processes_explain_line(const SignalVerdict& v) const;
  // Of a judge of a trial: what its evidence says so far. Lines are read only when it is from_nats
  // or more, and less counts as none.
  TrialReading trial_reading(double from_nats) const;
  double log_service_harm() const; // ln of the weighted evidence of the service's lines, at most
  void roll_back(Judgement& out, std::size_t culprit, const GateNeeds& needs) const;
  void ask_a_person(Judgement& out, std::size_t culprit, const GateNeeds& needs) const;
  bool holds_promotion(std::size_t signal) const;

  // Constant.
  const SequentialOptions options_;
  const std::set<std::string> critical_;
  const SignalPlaces places_;

  // Stable: learnt from every cell.
  StablePast past_;
  StableDispersion dispersion_;
  TrialPast trial_past_;
  // Whose processes show how much processes differ for good. In a trial, those of the judge that
  // makes it: they include the one that plays the canary.
  const StableDispersion* lasting_ = &dispersion_;

  // Fixed when the canary begins.
  bool begun_ = false;
  std::optional<StableTrial> trial_;
  ErrorBudget budget_;
  LinePlan plan_;

  // The evidence so far.
  CanaryPace pace_;
  RestartWatch restarts_;
  bool by_spans_ = false; // requests are counted from spans
  std::string sampled_;   // TrackCounts::sampled of the newest cell
  double load_ = 1;       // load_of it
  Processes processes_;   // of it
  Scope service_;
  JudgedMetrics metrics_;
  JudgedRoutes routes_;

  // The newest lines, and the question they answer.
  std::optional<SharedVector<SignalVerdict>> lines_;
  Question asked_;
};

} // namespace coalmine::judge
