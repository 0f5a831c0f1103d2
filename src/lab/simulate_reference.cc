// Compares judges on the same traffic: one hour, with a look at every cell even after a rule has
// decided.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <deque>
#include <optional>

#include "judge/estimate.h"
#include "judge/rank_rules.h"
#include "judge/stats/onset.h"
#include "judge/stats/special.h"
#include "judge/stats/tails.h"
#include "lab/simulate.h"

namespace coalmine::lab {
namespace {

using judge::Cell;

constexpr double kMinutes = 60;
constexpr double kShare = 0.05;
constexpr std::array<double, 8> kTails = {0.5, 0.25, 0.1, 0.05, 0.02, 0.01, 0.005, 0.001};
constexpr double kNever = judge::kInfinity;
constexpr std::size_t kRankRuns = 300; // the rank test is slow: it is run on fewer

// When each rule first decided, in minutes.
struct Times {
  double threshold = kNever, threshold_promote = kNever;
  double rank = kNever;
  double z = kNever;
  double errors = kNever;   // evidence on errors alone, alpha 0.05
  double latency = kNever;  // on latency alone, alpha 0.05
  double both = kNever;     // half of the stake each, alpha 0.05
  double strict = kNever;   // the same, alpha 0.01
  double restarts = kNever; // the same with restarts, alpha 0.05
  double tempered = kNever; // errors alone, phi = the clump, alpha 0.05
  double safe = kNever;     // not worse than +0.5pp and twice the tail at p99, alpha 0.05
};

struct Scenario {
  std::string name;
  lab::TrafficModel model;
  lab::CanaryChange change;
  double phi = 1;
};

void first(double& time, double minute, bool now) {
  if (now && time == kNever) time = minute;
}

// Evidence on latency at the chosen boundaries.
class Tails {
 public:
  Tails(const judge::Buckets& past, judge::Onset onset) {
    auto chosen = judge::choose_boundaries(past, kTails);
    boundaries_ = std::move(chosen.bounds_ms);
    stakes_ = std::move(chosen.stakes);
    for (const double b : boundaries_) {
      processes_.emplace_back(
          onset, judge::OddsBets(judge::tail_count(past.bounds_ms, past.counts, b).value_or(0),
                                 past.total()));
    }
    const auto at = judge::nearest_boundary(past, boundaries_, 0.01);
    slowest_ = at.value_or(0);
  }
  void add(const RouteCounts& counts, double minute) {
    const auto& bounds = *counts.shared_bounds();
    for (std::size_t i = 0; i < boundaries_.size(); ++i) {
      const Cell cell{
          judge::tail_count(bounds, counts.canary.bucket_counts, boundaries_[i]).value_or(0),
          counts.canary.requests,
          judge::tail_count(bounds, counts.stable.bucket_counts, boundaries_[i]).value_or(0),
          counts.stable.requests};
      processes_[i].add(cell, cell, minute);
      if (i == slowest_) safety_.add(cell);
    }
  }
  double log_e() const {
    std::vector<double> terms;
    for (std::size_t i = 0; i < processes_.size(); ++i)
      terms.push_back(std::log(stakes_[i]) + processes_[i].log_e());
    return judge::log_sum_exp(terms);
  }
  double log_safety() const { return safety_.log_e(); }

 private:
  std::vector<double> boundaries_, stakes_;
  std::vector<judge::OnsetProcess<judge::OddsBets>> processes_;
  std::size_t slowest_ = 0;
  judge::SafetyProcess safety_{2};
};

// The seed's rule on a window of five minutes.
void look_threshold(Times& out, const std::deque<CountCell>& window, double minute) {
  TrackCounts canary, stable;
  canary.bounds_ms = stable.bounds_ms = window.front().total.stable.bounds_ms;
  canary.bucket_counts.assign(canary.bounds_ms->size() + 1, 0);
  stable.bucket_counts = canary.bucket_counts;
  for (const auto& cell : window) {
    const auto add = [](TrackCounts& to, const TrackCounts& c) {
      to.requests += c.requests;
      to.errors += c.errors;
      for (std::size_t i = 0; i < c.bucket_counts.size(); ++i)
        to.bucket_counts[i] += c.bucket_counts[i];
    };
    add(canary, cell.total.canary);
    add(stable, cell.total.stable);
  }
  if (canary.requests < 100 || stable.requests <= 0) return;
  const auto p1 = judge::latency_quantile(canary, 0.99), p0 = judge::latency_quantile(stable, 0.99);
  const bool bad = canary.errors / canary.requests - stable.errors / stable.requests > 0.10 ||
                   (p1 && p0 && p0->value > 0 && (p1->value - p0->value) / p0->value > 0.20);
  first(out.threshold, minute, bad);
  first(out.threshold_promote, minute, !bad && minute >= 10);
}

// The original's test on a growing series of one point a minute, from the tenth on.
struct RankSeries {
  std::vector<double> errors1, errors0, p99_1, p99_0;
  TrackCounts canary, stable;
  double cells = 0;

  bool worse(std::span<const double> experiment, std::span<const double> control) const {
    const auto label = judge::rank::classify("m", control, experiment, {}).label;
    return label == judge::rank::Class::high;
  }
  void add(const CountCell& cell, double cells_a_minute, double minute, Times& out) {
    const auto collect = [&](TrackCounts& to, const TrackCounts& c) {
      to.bounds_ms = c.bounds_ms;
      if (to.bucket_counts.empty()) to.bucket_counts.assign(c.bucket_counts.size(), 0);
      to.requests += c.requests;
      to.errors += c.errors;
      for (std::size_t i = 0; i < c.bucket_counts.size(); ++i)
        to.bucket_counts[i] += c.bucket_counts[i];
    };
    collect(canary, cell.total.canary);
    collect(stable, cell.total.stable);
    cells += 1;
    if (cells < cells_a_minute) return;
    const auto close = [](TrackCounts& of, std::vector<double>& errors, std::vector<double>& p99) {
      if (of.requests > 0) errors.push_back(of.errors / of.requests);
      if (const auto q = judge::latency_quantile(of, 0.99)) p99.push_back(q->value);
      of = {};
    };
    close(canary, errors1, p99_1);
    close(stable, errors0, p99_0);
    cells = 0;
    if (minute < 10 - 1e-9 || out.rank != kNever) return;
    first(out.rank, minute, worse(errors1, errors0) || worse(p99_1, p99_0));
  }
};

Times reference_hour(const Scenario& scenario, std::uint64_t seed, bool with_rank) {
  lab::SimulatedTraffic traffic(scenario.model, scenario.change, seed);
  judge::Buckets past;
  for (const auto& cell : traffic.baseline())
    past.add(*cell.total.stable.bounds_ms, cell.total.stable.bucket_counts);
  Times out;
  judge::ExcessProcess errors, tempered;
  judge::OnsetProcess restarted(judge::Onset::any_time, judge::ExcessBets());
  judge::SafetyProcess safe;
  Tails tails(past, judge::Onset::at_start), restarted_tails(past, judge::Onset::any_time);
  std::deque<CountCell> window;
  RankSeries ranks;
  double x1 = 0, n1 = 0, x0 = 0, n0 = 0;
  const double length = scenario.model.cell_seconds / 60;
  const double bar = std::log(20), high_bar = std::log(100);
  for (double minute = length; minute <= kMinutes + 1e-9; minute += length) {
    auto cell = traffic.next(kShare);
    const Cell c{cell.total.canary.errors, cell.total.canary.requests, cell.total.stable.errors,
                 cell.total.stable.requests};
    errors.add(c);
    if (scenario.phi > 1) tempered.add(c, scenario.phi);
    restarted.add(c, c, minute - length);
    tails.add(cell.total, minute - length);
    restarted_tails.add(cell.total, minute - length);
    safe.add(c);
    x1 += c.x1, n1 += c.n1, x0 += c.x0, n0 += c.n0;
    const double parts[] = {errors.log_e(), tails.log_e()};
    const double again[] = {restarted.log_e(), restarted_tails.log_e()};
    first(out.errors, minute, parts[0] >= bar);
    first(out.latency, minute, parts[1] >= bar);
    first(out.both, minute, judge::log_mean_exp(parts) >= bar);
    first(out.strict, minute, judge::log_mean_exp(parts) >= high_bar);
    first(out.restarts, minute, judge::log_mean_exp(again) >= bar);
    first(out.tempered, minute, scenario.phi > 1 && tempered.log_e() >= bar);
    first(out.safe, minute, minute >= 10 && safe.log_e(0.005) >= bar && tails.log_safety() >= bar);
    const double pooled = n1 + n0 > 0 ? (x1 + x0) / (n1 + n0) : 0;
    const double sd = n1 > 0 && n0 > 0 ? std::sqrt(pooled * (1 - pooled) * (1 / n1 + 1 / n0)) : 0;
    first(out.z, minute, sd > 0 && (x1 / n1 - x0 / n0) / sd > 1.6448536269514722);
    if (with_rank) ranks.add(cell, std::round(1 / length), minute, out);
    window.push_back(std::move(cell));
    if (static_cast<double>(window.size()) > 5 / length + 0.5) window.pop_front();
    look_threshold(out, window, minute);
  }
  return out;
}

enum class Truth { equal, worse };

std::vector<Scenario> scenarios(Truth truth) {
  const bool equal = truth == Truth::equal;
  std::vector<Scenario> out;
  const auto add = [&](std::string name, auto&& edit) {
    Scenario s{std::move(name), {}, {}, 1};
    edit(s);
    out.push_back(std::move(s));
  };
  const auto exponential = [] { // bounds of a histogram of scale 3
    std::vector<double> bounds;
    for (int i = 0; i <= 110; ++i) bounds.push_back(std::exp2(i / 8.0));
    return bounds;
  };
  if (equal) {
    for (const double p : {0.001, 0.01, 0.05})
      add(fmt::format("{:g} % errors", p * 100), [&](Scenario& s) { s.model.error_rate = p; });
    add("1 %, exponential histogram", [&](Scenario& s) { s.model.bounds_ms = exponential(); });
    add("1 %, 10 rps", [](Scenario& s) { s.model.rps = 10; });
    add("1 %, 1 rps", [](Scenario& s) { s.model.rps = 1; });
    for (const double p : {0.0001, 0.1, 0.3})
      add(fmt::format("{:g} % errors", p * 100), [&](Scenario& s) { s.model.error_rate = p; });
    add("1 %, shared bursts", [](Scenario& s) { s.model.burst = 0.8; });
    for (const double c : {2.0, 5.0, 10.0}) {
      add(fmt::format("1 %, errors in clumps of {:g}", c), [&](Scenario& s) {
        s.model.clump = c;
        s.phi = c;
      });
    }
    add("1 %, noise of each track 20 %, phi 3", [](Scenario& s) {
      s.model.arm_noise = 0.2;
      s.phi = 3;
    });
    return out;
  }
  const auto errors = [&](double from, double to) {
    add(fmt::format("errors {:g} to {:g} %", from * 100, to * 100), [&](Scenario& s) {
      s.model.error_rate = from;
      s.change.error_rate_added = to - from;
    });
  };
  errors(0.001, 0.005), errors(0.01, 0.012), errors(0.01, 0.015), errors(0.01, 0.02),
      errors(0.01, 0.05), errors(0, 0.001);
  errors(0, 0.01), errors(0.05, 0.07), errors(0.01, 0.12);
  add("10 rps: errors 1 to 10 %", [](Scenario& s) {
    s.model.rps = 10;
    s.change.error_rate_added = 0.09;
  });
  for (const double f : {1.1, 1.2, 1.5})
    add(fmt::format("latency x{:g}", f), [&](Scenario& s) { s.change.latency_factor = f; });
  add("2 % of requests x3 (p99 only)",
      [](Scenario& s) { s.change.slow_share = 0.02, s.change.slow_factor = 3; });
  add("0.3 % of requests x10 (p999 only)",
      [](Scenario& s) { s.change.slow_share = 0.003, s.change.slow_factor = 10; });
  for (const double m : {12.0, 27.0, 43.0}) {
    add(fmt::format("errors 1 to 3 % from minute {:g}", m),
        [&](Scenario& s) { s.change.error_rate_added = 0.02, s.change.from_minute = m; });
  }
  return out;
}

std::string share(const std::vector<Times>& runs, double Times::* rule, std::size_t count = 0) {
  const std::size_t n = count > 0 ? std::min(count, runs.size()) : runs.size();
  const auto hit = std::count_if(runs.begin(), runs.begin() + static_cast<std::ptrdiff_t>(n),
                                 [&](const Times& t) { return t.*rule != kNever; });
  return fmt::format("{:.4g}", static_cast<double>(hit) / static_cast<double>(n));
}

// "share, median / 95th percentile", in minutes from onset, of those that decided.
std::string delays(const std::vector<Times>& runs, double Times::* rule, double onset,
                   std::size_t count = 0) {
  const std::size_t n = count > 0 ? std::min(count, runs.size()) : runs.size();
  std::vector<double> at;
  for (std::size_t i = 0; i < n; ++i) at.push_back(runs[i].*rule);
  std::ranges::sort(at);
  const auto quantile = [&](double q) {
    return at[std::min(n - 1, static_cast<std::size_t>(q * static_cast<double>(n)))];
  };
  const auto text = [&](double t) {
    return t == kNever ? std::string("–") : fmt::format("{:.4g}", t - onset);
  };
  return fmt::format("{}, {} / {}", share(runs, rule, count), text(quantile(0.5)),
                     text(quantile(0.95)));
}

std::string promoted_first(const std::vector<Times>& runs, double Times::* promote,
                           double Times::* rollback) {
  const auto n =
      std::ranges::count_if(runs, [&](const Times& t) { return t.*promote < t.*rollback; });
  return fmt::format("{:.3g}", static_cast<double>(n) / static_cast<double>(runs.size()));
}

std::vector<Times> all_runs(const Scenario& scenario, std::size_t runs, std::uint64_t seed) {
  std::vector<Times> out(runs);
  for_each_run(runs,
               [&](std::size_t i) { out[i] = reference_hour(scenario, seed + i, i < kRankRuns); });
  return out;
}

} // namespace

std::string reference_tables(std::size_t runs, std::uint64_t seed) {
  std::string out = fmt::format(
      "### False rollbacks: equal versions, a look every 15 s for an hour\n\n"
      "{} runs a row, seed {}; the rank test on the first {}. Shares of hours with any rollback. "
      "`e`: evidence on errors and "
      "latency, half\n"
      "of the stake each; tempered: errors alone, phi as in the row.\n\n"
      "| scenario | threshold | rank test each minute | z test at 5 % | e errors 0.05 | e 0.05 | e "
      "0.01 | e restarts 0.05 | e "
      "tempered 0.05 |\n"
      "|---|---|---|---|---|---|---|---|---|\n",
      runs, seed, std::min(runs, kRankRuns));
  for (const auto& s : scenarios(Truth::equal)) {
    const auto t = all_runs(s, runs, seed);
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", s.name,
                       share(t, &Times::threshold), share(t, &Times::rank, kRankRuns),
                       share(t, &Times::z), share(t, &Times::errors), share(t, &Times::both),
                       share(t, &Times::strict), share(t, &Times::restarts),
                       s.phi > 1 ? share(t, &Times::tempered) : "");
  }
  out +=
      "\n### Regressions: share found within the hour, median / 95th percentile in minutes after "
      "onset\n\n"
      "Promoted first: the rule's own promotion came before its rollback (for `e` at 0.05: +0.5pp "
      "and twice the p99 tail are "
      "excluded).\n\n"
      "| change | threshold | promoted first | rank test each minute | e errors 0.05 | e latency "
      "0.05 | e 0.05 | e 0.01 | e "
      "restarts 0.05 | promoted first |\n"
      "|---|---|---|---|---|---|---|---|---|---|\n";
  for (const auto& s : scenarios(Truth::worse)) {
    const auto t = all_runs(s, runs, seed);
    const double onset = s.change.from_minute;
    out += fmt::format("| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |\n", s.name,
                       delays(t, &Times::threshold, onset),
                       promoted_first(t, &Times::threshold_promote, &Times::threshold),
                       delays(t, &Times::rank, onset, kRankRuns), delays(t, &Times::errors, onset),
                       delays(t, &Times::latency, onset), delays(t, &Times::both, onset),
                       delays(t, &Times::strict, onset), delays(t, &Times::restarts, onset),
                       promoted_first(t, &Times::safe, &Times::both));
  }
  return out;
}

} // namespace coalmine::lab
