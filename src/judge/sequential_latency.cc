// Verdicts on latency from the sequential judge's evidence.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "judge/estimate.h"
#include "judge/reason.h"
#include "judge/sequential.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

void set_latencies(SignalVerdict& v, const Buckets& canary, const Buckets& stable,
                   double quantile) {
  const auto show = [&](const Buckets& b, std::optional<double>& value, bool& at_least) {
    const auto q = b.empty() ? std::nullopt : latency_quantile(b.bounds_ms, b.counts, quantile);
    if (!q) return;
    value = q->value;
    at_least = q->at_least;
  };
  show(canary, v.measured.canary, v.measured.canary_at_least);
  show(stable, v.measured.stable, v.measured.stable_at_least);
  if (!v.measured.canary || !v.measured.stable) return;
  v.measured.difference = *v.measured.canary - *v.measured.stable;
  if (*v.measured.stable > 0) v.measured.relative = *v.measured.difference / *v.measured.stable;
}

// "15.00% of requests took longer than 750 ms and 0.00% longer than 1000 ms …".
std::string unclear_limit_text(const TailLimit& limit) {
  const auto ms = [](double value) { return format_value(SignalKind::latency_quantile, value); };
  const auto share = [](double value) { return format_value(SignalKind::error_rate, value); };
  std::string seen;
  if (limit.lower_ms() && limit.upper_ms()) {
    seen = fmt::format("{} of the canary's requests took longer than {} and {} longer than {}",
                       share(limit.possible_share()), ms(*limit.lower_ms()),
                       share(limit.certain_share()), ms(*limit.upper_ms()));
  } else if (limit.lower_ms()) {
    seen = fmt::format("{} of the canary's requests took longer than {}, the last bucket bound",
                       share(limit.possible_share()), ms(*limit.lower_ms()));
  } else {
    seen = fmt::format("{}, the first bucket bound, is above the limit",
                       ms(limit.upper_ms().value_or(0)));
  }
  return fmt::format(
      "whether the limit {} is kept cannot be told: {}. Add a bucket bound at the limit, or choose "
      "a limit that is one",
      ms(limit.max_ms()), seen);
}

} // namespace

void SequentialJudge::fill_tail(SignalVerdict& v, const Scope& scope, std::size_t mark,
                                std::size_t harm) const {
  const auto& line = scope.tail.line();
  const auto& place = line.marks()[mark];
  const double log_weight = log_tail_weight(scope);
  const auto read =
      line.read(mark, std::log(1 / options_.alpha_rollback) - log_weight - scope.tail.log_stake());
  set_latencies(v, line.canary(), line.stable(), place.quantile);
  if (!(read.totals.compared > 0))
    return set_no_data(v, line.canary().empty() ? Cause::no_canary_data : Cause::no_stable_data);
  const double stable = read.totals.stable_rate();
  v.measured.tail = Tail{.boundary_ms = line.boundary_ms(read.boundary),
                         .canary = read.totals.canary_rate(),
                         .stable = stable,
                         .allowed = read.allowed};
  v.measured.tail_by_quantile = read.by_quantile;
  const double p = line.all(mark).stable_rate();
  const double phi =
      ArmPhi::of(dispersion_.tails().phi(line.boundary_ms(place.boundary)), load_).canary;
  const double speed = growth(p, place.harms[harm].at(p)) / phi;
  const double log_safety = line.log_safety(mark, harm);
  const double missing = std::log(1 / options_.alpha_promote) - log_safety;
  v.outlook.minutes_left = pace_.minutes_left(missing, speed, share_of_canary(scope));
  set_outcome(v, read.beyond, scope.log_tail_harm(mark), log_weight,
              read.doubtful ? -kInfinity : log_safety);
}

bool SequentialJudge::latencies_share_evidence() const {
  return !options_.strict && std::ranges::none_of(places_.tails, [&](std::size_t signal) {
    return options_.signals[signal].max.has_value();
  });
}

double SequentialJudge::log_tail_weight(const Scope& scope) const {
  const double signals = static_cast<double>(std::max<std::size_t>(1, scope.limits.size()));
  return std::log(std::max(scope.tail_weight, 1e-300) / (latencies_share_evidence() ? 1 : signals));
}

// The place of a latency signal among the marks of the line's scope.
std::size_t SequentialJudge::mark_of(std::size_t index, const SignalVerdict& v) const {
  const auto mark =
      static_cast<std::size_t>(std::ranges::find(places_.tails, index) - places_.tails.begin());
  if (v.subject.route.empty()) return mark;
  std::size_t place = 0; // among the marks that a route has
  for (std::size_t i = 0; i < mark; ++i)
    place += options_.signals[places_.tails[i]].per_route ? 1 : 0;
  return place;
}

// Absolute limits on a quantile, whatever is known of stable.
void SequentialJudge::fill_limit(SignalVerdict& v, std::size_t index, const Scope& scope) const {
  const auto mark = mark_of(index, v);
  if (mark >= scope.limits.size() || !scope.limits[mark]) return;
  const auto& limit = *scope.limits[mark];
  if (!limit.known()) return;
  if (!v.measured.canary) {
    set_latencies(v, limit.canary(), {}, options_.signals[index].quantile);
  }
  if (limit.unclear() && v.verdict != Verdict::regression) {
    v.verdict = Verdict::watching;
    v.cause = Cause::limit_unclear;
    v.problem = unclear_limit_text(limit);
  }
  set_limit_outcome(v, limit.exceeded(), scope.log_tail_harm(mark), log_tail_weight(scope));
}

void SequentialJudge::fill_latency(SignalVerdict& v, std::size_t index, const Scope& scope,
                                   std::size_t harm) const {
  if (scope.tail.empty()) {
    set_no_data(v, Cause::no_stable_data);
  } else {
    fill_tail(v, scope, mark_of(index, v), harm);
  }
  if (v.verdict == Verdict::no_data) {
    const auto& gap = scope.gap;
    const bool timed = v.cause == Cause::no_canary_data ? gap.canary_timed : gap.stable_timed;
    if (gap.stable_warms || gap.canary_warms) {
      v.verdict = Verdict::watching;
      v.cause = Cause::warming_up;
    } else if (timed) { // the first durations choose the boundaries, the next cell is compared
      v.verdict = Verdict::watching;
      v.cause = Cause::interval_open;
    }
  }
  // Older cells may have been comparable. What cannot be compared now must not pass on them.
  if (!scope.gap.bounds.empty() && v.verdict != Verdict::regression) {
    set_no_data(v, Cause::not_measurable);
    v.problem = scope.gap.bounds;
  }
  fill_limit(v, index, scope);
}

} // namespace coalmine::judge
