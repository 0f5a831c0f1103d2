// The judge of rank tests. Each cell gives one value a signal; the values are classified and scored
// as in rank_rules.h.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <deque>
#include <limits>
#include <map>

#include "judge/estimate.h"
#include "judge/judge.h"
#include "judge/open_interval.h"
#include "judge/rank_rules.h"
#include "judge/reason.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

rank::MetricOptions from_margin(const Margin& margin) {
  rank::MetricOptions out;
  if (margin.worse == Worse::higher) out.direction = rank::Direction::increase;
  if (margin.worse == Worse::lower) out.direction = rank::Direction::decrease;
  if (margin.unit == Margin::Unit::percent) {
    out.allowed_increase = 1 + margin.amount;
    out.allowed_decrease = std::max(0.0, 1 - margin.amount);
  }
  return out;
}

std::optional<double> finite_mean(const std::vector<double>& values) {
  const auto clean = rank::remove_nan(values);
  return clean.empty() ? std::nullopt : std::optional(rank::summarize(clean).mean);
}

void set_means(Measured& m, const std::vector<double>& control,
               const std::vector<double>& experiment) {
  m.canary = finite_mean(experiment);
  m.stable = finite_mean(control);
  if (!m.canary || !m.stable) return;
  m.difference = *m.canary - *m.stable;
  if (*m.stable != 0) m.relative = *m.difference / std::abs(*m.stable);
}

// NaN: nothing was measured.
double cell_value(const SignalSpec& signal, const TrackCounts& counts) {
  const auto found = estimate(signal, counts);
  return found ? found->value : kNaN;
}

constexpr std::size_t kMostRoutes = 200; // the most that a cell has

bool over_limit(const SignalVerdict& v) {
  if (!v.limits.max || !v.measured.canary) return false;
  const auto worse = v.limits.margin.worse == Worse::lower ? Worse::lower : Worse::higher;
  return badness(worse, *v.measured.canary, *v.limits.max) > 0;
}

class RankJudge final : public Judge {
 public:
  explicit RankJudge(RankOptions options)
      : options_(std::move(options)), lines_(options_.signals.size()) {
    options_.interval = std::max<std::size_t>(2, options_.interval);
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const auto& signal = options_.signals[i];
      auto& line = lines_[i];
      line.options = from_margin(signal.margin);
      line.groups = {is_metric(signal.kind) ? "metrics" : "requests"};
      const auto given = options_.metrics.find(signal.name);
      if (given == options_.metrics.end()) continue;
      if (given->second.options) line.options = *given->second.options;
      if (!given->second.groups.empty()) line.groups = given->second.groups;
    }
  }

  std::string_view name() const override { return "mann_whitney"; }
  bool takes_cells() const override { return true; }
  Judgement judge(const Evidence& evidence) override;

 private:
  struct Line {
    rank::MetricOptions options;
    std::vector<std::string> groups;
    std::vector<double> control;
    std::vector<double> experiment;
    std::string problem;
  };

  // One signal on one route. Only the newest cells are kept: a route is tested at every look, and
  // the cost of a test is the product of both lengths.
  struct RouteLine {
    std::deque<double> control;
    std::deque<double> experiment;
  };
  struct Route {
    // As options_.signals; empty for signals that are not judged by route.
    std::vector<RouteLine> lines;
    double canary = 0; // requests
    double stable = 0;
  };

  void add(const CountCell& cell);
  void add_routes(const CountCell& cell);
  SignalVerdict route_verdict(std::size_t index, const std::string& name, const Route& route) const;
  std::vector<SignalVerdict> route_verdicts() const;
  SignalVerdict verdict(std::size_t index, const Evidence& evidence, rank::Scored& scored) const;
  void decide(Judgement& out, const Evidence& evidence, const rank::Score& score);

  RankOptions options_;
  std::vector<Line> lines_;
  std::map<std::string, Route> routes_;
  std::vector<SignalVerdict> route_lines_; // of the newest cell
  std::string sampled_;                    // TrackCounts::sampled of the newest cell
  std::size_t cells_ = 0;
  std::size_t judged_ = 0; // cells of the last judgement that counted
};

void RankJudge::add(const CountCell& cell) {
  if (cell.baseline) return;
  sampled_ = cell.total.sampled();
  const bool comparable = !cell.mixed && sampled_.empty();
  cells_ += comparable ? 1 : 0;
  if (comparable) add_routes(cell);
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    const auto& signal = options_.signals[i];
    auto& line = lines_[i];
    if (!is_metric(signal.kind)) {
      if (!comparable) continue;
      line.control.push_back(cell_value(signal, cell.total.stable));
      line.experiment.push_back(cell_value(signal, cell.total.canary));
      continue;
    }
    const auto it = std::ranges::find(cell.metrics, signal.name, &MetricNumbers::signal);
    if (it == cell.metrics.end()) continue;
    line.problem = metric_problem(*it);
    line.control.push_back(it->stable.value().value_or(kNaN));
    line.experiment.push_back(it->canary.value().value_or(kNaN));
  }
}

void RankJudge::add_routes(const CountCell& cell) {
  for (const auto& counts : cell.routes) {
    if (counts.route.empty() || (routes_.size() >= kMostRoutes && !routes_.contains(counts.route)))
      continue;
    auto& route = routes_[counts.route];
    route.lines.resize(lines_.size());
    route.canary += counts.canary.requests;
    route.stable += counts.stable.requests;
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const auto& signal = options_.signals[i];
      if (!signal.per_route || is_metric(signal.kind)) continue;
      const auto keep = [](std::deque<double>& values, double value) {
        if (std::isnan(value)) return; // an interval without requests of the route
        values.push_back(value);
        if (values.size() > kRankRouteCells) values.pop_front();
      };
      keep(route.lines[i].control, cell_value(signal, counts.stable));
      keep(route.lines[i].experiment, cell_value(signal, counts.canary));
    }
  }
}

SignalVerdict RankJudge::route_verdict(std::size_t index, const std::string& name,
                                       const Route& route) const {
  const auto& signal = options_.signals[index];
  const auto& options = lines_[index].options;
  const std::vector<double> control(route.lines[index].control.begin(),
                                    route.lines[index].control.end());
  const std::vector<double> experiment(route.lines[index].experiment.begin(),
                                       route.lines[index].experiment.end());
  SignalVerdict v;
  v.subject = {.signal = signal.name,
               .route = name,
               .kind = signal.kind,
               .unit = signal.unit,
               .gate = false};
  v.limits.margin = signal.margin;
  v.requests = {.canary = route.canary, .stable = route.stable};
  set_means(v.measured, control, experiment);
  if (!v.measured.canary || !v.measured.stable) {
    v.verdict = Verdict::no_data;
    v.cause = v.measured.canary ? Cause::no_stable_data : Cause::no_canary_data;
    v.reason = reason_sentence(v);
    return v;
  }
  const auto least = std::min(control.size(), experiment.size());
  const std::string where = signal.name + " on " + name;
  if (least < options_.interval) {
    v.cause = Cause::undecided;
    v.reason = fmt::format("{}: {} of {} intervals measured before the first rank test", where,
                           least, options_.interval);
    return v;
  }
  const auto found = rank::classify(where, rank::transform(control, options),
                                    rank::transform(experiment, options), options);
  if (found.shift) set_interval(v, found.shift->low, found.shift->high, options.confidence);
  const bool shifted = found.label == rank::Class::high || found.label == rank::Class::low;
  if (!shifted && found.label != rank::Class::pass) {
    v.verdict = Verdict::no_data;
    v.cause = Cause::not_measurable;
    v.problem = "the rank test is not defined for these values";
    v.reason = reason_sentence(v);
    return v;
  }
  v.verdict = shifted ? Verdict::regression : Verdict::pass;
  v.reason =
      fmt::format("{}: {} on canary against {} on stable in the mean of {} and {} intervals: {}",
                  where, format_value(v.subject.kind, *v.measured.canary, v.subject.unit),
                  format_value(v.subject.kind, *v.measured.stable, v.subject.unit),
                  experiment.size(), control.size(),
                  !shifted                           ? "no shift that counts"
                  : found.label == rank::Class::high ? "shifted up"
                                                     : "shifted down");
  return v;
}

// Worst first. None decides, since no test has a share of an error budget.
std::vector<SignalVerdict> RankJudge::route_verdicts() const {
  std::vector<SignalVerdict> out;
  for (const auto& [name, route] : routes_) {
    for (std::size_t i = 0; i < lines_.size(); ++i) {
      const auto& signal = options_.signals[i];
      if (signal.per_route && !is_metric(signal.kind)) out.push_back(route_verdict(i, name, route));
    }
  }
  std::ranges::stable_sort(out, {}, [](const SignalVerdict& v) {
    return std::pair(severity(v.verdict), -v.requests.canary);
  });
  return out;
}

SignalVerdict RankJudge::verdict(std::size_t index, const Evidence& evidence,
                                 rank::Scored& scored) const {
  const auto& signal = options_.signals[index];
  const auto& line = lines_[index];
  SignalVerdict v;
  v.subject = {.signal = signal.name,
               .route = {},
               .kind = signal.kind,
               .unit = signal.unit,
               .gate = signal.gate};
  v.limits = {.margin = signal.margin, .max = signal.max};
  v.requests = {.canary = evidence.canary.requests,
                .stable = evidence.stable.requests,
                .required = evidence.step_min_requests};
  set_means(v.measured, line.control, line.experiment);
  const auto found = rank::classify(signal.name, rank::transform(line.control, line.options),
                                    rank::transform(line.experiment, line.options), line.options);
  scored = {found.label, found.critical, line.groups};
  if (found.shift) set_interval(v, found.shift->low, found.shift->high, line.options.confidence);
  const auto points = [&](const std::vector<double>& values) {
    return rank::remove_nan(values).size();
  };
  const auto compared = [&] {
    return fmt::format("{} on canary against {} on stable in the mean of {} and {} intervals",
                       format_value(v.subject.kind, *v.measured.canary, v.subject.unit),
                       format_value(v.subject.kind, *v.measured.stable, v.subject.unit),
                       points(line.experiment), points(line.control));
  };
  switch (found.label) {
    case rank::Class::pass:
      v.verdict = Verdict::pass;
      v.reason = v.measured.canary && v.measured.stable
                     ? fmt::format("{}: {}: no shift that counts", signal.name, compared())
                     : signal.name + ": nothing to compare";
      break;
    case rank::Class::high:
    case rank::Class::low:
      v.verdict = Verdict::regression;
      v.reason = fmt::format("{}: {}: shifted {}{}", signal.name, compared(),
                             found.label == rank::Class::high ? "up" : "down",
                             found.critical ? ", critical" : "");
      break;
    case rank::Class::error:
    case rank::Class::nodata:
    case rank::Class::nodata_fail:
      v.verdict = Verdict::no_data;
      v.problem = line.problem;
      v.cause = !line.problem.empty() || found.label == rank::Class::error ? Cause::not_measurable
                : v.measured.canary                                        ? Cause::no_stable_data
                                                                           : Cause::no_canary_data;
      if (v.problem.empty() && v.cause == Cause::not_measurable)
        v.problem = "the rank test is not defined for these values";
      if (cells_ == 0 && v.problem.empty() &&
          ((v.requests.canary > 0 && v.requests.stable > 0) || evidence.export_due))
        set_interval_open(v, evidence);
      v.reason = reason_sentence(v);
      break;
  }
  if (over_limit(v)) {
    v.verdict = Verdict::regression;
    v.cause = Cause::none;
    v.reason = fmt::format("{}: {} on canary in the mean of {} intervals, limit {}", signal.name,
                           format_value(v.subject.kind, *v.measured.canary, v.subject.unit),
                           points(line.experiment),
                           format_value(v.subject.kind, *signal.max, v.subject.unit));
  }
  return v;
}

Judgement RankJudge::judge(const Evidence& evidence) {
  for (const auto& cell : evidence.cells) add(cell);
  if (!evidence.cells.empty()) route_lines_ = route_verdicts();
  Judgement out;
  out.analysis_duration_minutes = evidence.step_minutes;
  out.guarantee =
      "Rank tests over intervals give no guarantee when they are evaluated more than once.";
  std::vector<rank::Scored> scored;
  std::vector<SignalVerdict> lines;
  for (std::size_t i = 0; i < lines_.size(); ++i) {
    rank::Scored one;
    lines.push_back(verdict(i, evidence, one));
    if (options_.signals[i].gate) scored.push_back(std::move(one));
  }
  lines.insert(lines.end(), route_lines_.begin(), route_lines_.end());
  const bool unreachable = !evidence.source_error.empty();
  for (auto& v : lines) {
    if (unreachable) {
      v.verdict = Verdict::no_data;
      v.cause = Cause::source_unreachable;
      v.reason = reason_sentence(v, evidence.source_error);
    } else if (cells_ < options_.interval && v.verdict != Verdict::no_data &&
               v.subject.route.empty()) { // a route has counted its own
      v.verdict = Verdict::watching;
      v.cause = Cause::undecided;
    }
  }
  if (!unreachable) set_sampled(lines, sampled_);
  out.signals = std::move(lines);
  if (unreachable) {
    SignalVerdict whole;
    whole.cause = Cause::source_unreachable;
    out.reason = reason_sentence(whole, evidence.source_error);
    return out;
  }
  decide(out, evidence, rank::score(scored, options_.group_weights));
  return suspended(std::move(out), evidence.comparison_suspended);
}

void RankJudge::decide(Judgement& out, const Evidence& evidence, const rank::Score& score) {
  if (sampled_.empty() && cells_ < options_.interval) {
    out.reason = fmt::format("{} of {} intervals measured before the first rank test", cells_,
                             options_.interval);
    return;
  }
  std::string lines;
  for (const auto& v : out.signals) {
    if (v.subject.gate && v.verdict != Verdict::pass) lines += "; " + v.reason;
  }
  const std::string text = fmt::format("Score {:g} of 100, {:g} passes, {:g} is marginal{}{}{}",
                                       score.total, options_.pass, options_.marginal,
                                       score.reason.empty() ? "" : ": ", score.reason, lines);
  // A limit holds whatever stable does, and whatever the score of the others is.
  const auto broken = std::ranges::find_if(out.signals, [](const SignalVerdict& v) {
    return v.subject.gate && v.subject.route.empty() && over_limit(v);
  });
  if (broken != out.signals.end()) {
    out.decision = Decision::rollback;
    out.reason = broken->reason;
    return;
  }
  const auto unknown = std::ranges::find_if(out.signals, [](const SignalVerdict& v) {
    return v.subject.gate && !is_metric(v.subject.kind);
  });
  if (!sampled_.empty() && unknown != out.signals.end()) {
    out.reason = unknown->reason;
    return;
  }
  if (score.no_data) {
    out.reason = text;
    return;
  }
  const bool over = evidence.step_minutes >= evidence.step_needed_minutes &&
                    evidence.step_requests >= evidence.step_min_requests;
  const bool due = over || cells_ / options_.interval > judged_ / options_.interval;
  if (due) {
    judged_ = cells_;
    const bool lost =
        over ? rank::mark(score.total, options_.pass, options_.marginal) == rank::Mark::fail
             : !rank::run_passes(std::vector{score.total}, options_.marginal, std::nullopt);
    if (lost) {
      out.decision = Decision::rollback;
    } else if (over && score.total >= options_.pass) {
      out.decision = Decision::promote;
    }
  }
  out.reason = text;
}

} // namespace

std::unique_ptr<Judge> make_rank_judge(RankOptions options) {
  return std::make_unique<RankJudge>(std::move(options));
}

} // namespace coalmine::judge
