// SPDX-License-Identifier: Apache-2.0
#include "judge/metric_line.h"

#include <algorithm>
#include <cmath>

#include "judge/estimate.h"
#include "judge/stats/count_process.h"
#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

constexpr double kMinCells = 5; // of an arm, before a variance between them means anything

Cell with_stable_never(const Cell& cell) { return {cell.x1, cell.n1, 0, 1e15}; }

double log_half_each(double a, double b) {
  const double both[] = {a, b};
  return log_mean_exp(both);
}

bool beyond(const SignalSpec& signal, Worse worse, double canary) {
  if (!signal.max || worse != signal.margin.worse) return false;
  return worse == Worse::lower ? canary < *signal.max : canary > *signal.max;
}

void fill_beyond(MetricReading& out, const SignalSpec& signal, Worse worse) {
  if (!out.canary) return;
  if (out.stable)
    out.beyond = badness(worse, *out.canary, *out.stable) >
                 allowed_difference(signal.margin, signal.floor, *out.stable);
  out.beyond = out.beyond || beyond(signal, worse, *out.canary);
}

} // namespace

RatioSide::RatioSide(const SignalSpec& signal, const LineOptions& options, Worse worse,
                     std::span<const double> scales, const MetricTrack& past)
    : signal_(signal),
      worse_(worse),
      strict_(options.strict),
      clump_(options.clump),
      intervals_(options.intervals),
      under_limit_(0) {
  const double rate = past.value().value_or(0);
  rest_ = rate > 0.5;
  up_ = (worse == Worse::higher) != rest_;
  const double bad = worse == Worse::higher ? rate : 1 - rate;
  exact_ = past.value() && !strict_ && bad >= kExactFrom && bad <= 1 - kExactFrom;
  const double null_ratio = strict_ ? boundary(1).r0 : 1;
  excess_ = Epochs<ExcessProcess>(options.plan, ExcessProcess(null_ratio));
  shrink_ = Epochs<SafetyProcess>(options.plan, SafetyProcess(null_ratio));
  if (exact_)
    bernoulli_ =
        Epochs<BernoulliProcess>(options.plan, BernoulliProcess(bad * past.count, past.count));
  totals_ = Epochs<TotalsProcess>(options.plan, TotalsProcess());
  for (const double scale : scales) {
    harms_.push_back(boundary(scale));
    const auto& harm = harms_.back();
    const double counted = rest_ ? 1 - rate : rate, null = harm.at(counted);
    const bool informed = past.value() && counted > 0 && null > counted;
    below_.push_back(informed ? SafetyProcess(harm.r0, std::clamp(counted / null, 0.02, 0.98))
                              : SafetyProcess(harm.r0));
    above_.emplace_back(harm.r0);
  }
}

// "Worse by the margin" in terms of the counted events. With the rest q = 1 - p counted, p1 <= (1 +
// m) p0 becomes q1 >= (1 + m) q0 - m, and so on.
LinearMargin RatioSide::boundary(double scale) const {
  const double sign = worse_ == Worse::higher ? 1 : -1;
  const double amount = std::isfinite(signal_.margin.amount) ? signal_.margin.amount * scale : 0;
  if (signal_.margin.unit != Margin::Unit::percent)
    return {1, (rest_ ? -sign : sign) * std::max(amount, signal_.floor)};
  const double relative = sign * std::min(amount, worse_ == Worse::lower ? 1.0 : amount);
  return {1 + relative, rest_ ? -relative : 0};
}

Cell RatioSide::cell_of(const MetricNumbers& numbers) const {
  const auto events = [&](const MetricTrack& track) {
    const double part = std::clamp(track.amount, 0.0, track.count);
    return rest_ ? track.count - part : part;
  };
  return {events(numbers.canary), numbers.canary.count, events(numbers.stable),
          numbers.stable.count};
}

void RatioSide::add(const MetricNumbers& numbers, double minute) {
  const auto cell = cell_of(numbers);
  if (!usable(cell)) return;
  const double phi = std::max(clump_, dispersion_.phi());
  totals_.add(cell, phi, minute);
  if (up_) {
    excess_.add(cell, phi, minute);
    for (auto& process : below_) process.add(cell, phi);
    over_limit_.add(with_stable_never(cell), phi);
  } else {
    shrink_.add(cell, phi, minute);
    for (auto& process : above_) process.add(cell, phi);
    under_limit_.add(with_stable_never(cell), phi);
  }
  if (exact_)
    bernoulli_.add(up_ ? cell : Cell{cell.n1 - cell.x1, cell.n1, cell.n0 - cell.x0, cell.n0}, phi,
                   minute);
  more_.add(cell, phi);
  fewer_.add(cell, phi);
  // After the cell, since dispersion tempers only later ones. Neighbouring cells are compared in
  // pairs, each cell once.
  const Part now{cell.x0, cell.n0};
  if (previous_) {
    const Part pair[] = {*previous_, now};
    dispersion_.add_group(pair);
    previous_.reset();
  } else {
    previous_ = now;
  }
}

double RatioSide::log_harm() const {
  const double delta = strict_ ? boundary(1).delta : 0;
  const auto at = [&](const auto& process) { return process.log_e(delta); };
  double out = up_ ? excess_.log_e(at) : shrink_.log_e(at);
  if (exact_) out = log_half_each(out, bernoulli_.log_e(kLogE));
  if (!signal_.max || worse_ != signal_.margin.worse) return out;
  const double limit = rest_ ? 1 - *signal_.max : *signal_.max;
  return log_half_each(out, up_ ? over_limit_.log_e(limit) : under_limit_.log_e(limit));
}

MetricReading RatioSide::read(std::size_t harm, double bar_low, double bar_high) const {
  MetricReading out;
  out.log_harm = log_harm();
  if (harm < harms_.size())
    out.log_safety =
        up_ ? below_[harm].log_e(harms_[harm].delta) : above_[harm].log_e(harms_[harm].delta);
  const double delta = strict_ ? boundary(1).delta : 0;
  const auto at = [&](const auto& process) { return process.log_e(delta); };
  const auto driver = out.log_harm < bar_low ? 0
                      : up_                  ? excess_.weight(at).driver
                                             : shrink_.weight(at).driver;
  const auto& totals = totals_.processes()[driver].totals;
  out.canary_count = totals_.processes().front().totals.n1;
  if (!(totals.compared > 0)) return out;
  const auto shown = [&](double rate) { return rest_ ? 1 - rate : rate; };
  out.canary = shown(totals.canary_rate());
  out.stable = shown(totals.stable_rate());
  fill_beyond(out, signal_, worse_);
  if (!intervals_) return out;
  const double low = difference_lower(more_, bar_low), high = difference_upper(fewer_, bar_high);
  if (low > -1 && high < 1) {
    out.lower = rest_ ? -high : low;
    out.upper = rest_ ? -low : high;
  }
  return out;
}

void MeanSide::Batches::add(const MetricTrack& track) {
  const auto mean = track.value();
  if (!mean || !std::isfinite(*mean)) return;
  count += track.count;
  sum += track.amount;
  weighted_squares += track.count * *mean * *mean;
  cells += 1;
}

double MeanSide::Batches::variance_of_mean() const {
  if (cells < kMinCells || count < kMinAsymptoticCount) return -1;
  return std::max(0.0, weighted_squares - count * mean() * mean()) / (cells - 1) / count;
}

void MeanSide::add(const MetricNumbers& numbers, double) {
  canary_.add(numbers.canary);
  stable_.add(numbers.stable);
}

MetricReading MeanSide::read(std::size_t, double bar_low, double bar_high) const {
  MetricReading out;
  out.canary_count = canary_.count;
  if (!(canary_.count > 0) || !(stable_.count > 0)) return out;
  out.canary = canary_.mean();
  out.stable = stable_.mean();
  fill_beyond(out, signal_, worse_);
  const double a = canary_.variance_of_mean(), b = stable_.variance_of_mean();
  if (a < 0 || b < 0) return out;
  const double margin = allowed_difference(signal_.margin, signal_.floor, stable_.mean());
  // Cells that are all the same leave no variance to judge by; a millionth of the margin keeps the
  // arithmetic finite.
  const double variance = std::max(a + b, 1e-12 * margin * margin), tau2 = margin * margin;
  const double sign = worse_ == Worse::lower ? -1 : 1;
  const double worse = sign * (canary_.mean() - stable_.mean());
  out.log_harm = msprt_log_e(strict_ ? worse - margin : worse, variance, tau2, Sides::one);
  out.log_safety = msprt_log_e(margin - worse, variance, tau2, Sides::one);
  const double low = asymptotic_halfwidth(variance, tau2, std::exp(-bar_low)),
               high = asymptotic_halfwidth(variance, tau2, std::exp(-bar_high));
  if (std::isfinite(low) && std::isfinite(high)) {
    const double difference = canary_.mean() - stable_.mean();
    out.lower = difference - (sign > 0 ? low : high);
    out.upper = difference + (sign > 0 ? high : low);
  }
  return out;
}

// x1: the canary was worse; n1: the two differed at all. x0 and n0 carry the values.
void ValueSide::Coin::add(const Cell& cell, double) {
  wins += cell.x1;
  losses += cell.n1 - cell.x1;
  canary += cell.x0;
  stable += cell.n0;
  intervals += 1;
}

double ValueSide::Coin::log_e() const {
  return wins + losses > 0 ? one_sided_beta_log_bf(wins, losses, 0.5, 1, 1) : 0;
}

ValueSide::ValueSide(const SignalSpec& signal, const LineOptions& options, Worse worse)
    : signal_(signal), worse_(worse), strict_(options.strict), harm_(options.plan, Coin()) {}

double ValueSide::allowed(double stable) const {
  return allowed_difference(signal_.margin, signal_.floor, stable);
}

void ValueSide::add(const MetricNumbers& numbers, double minute) {
  const auto canary = numbers.canary.value(), stable = numbers.stable.value();
  if (!canary || !stable || !std::isfinite(*canary) || !std::isfinite(*stable)) return;
  const auto coin = [&](double difference) {
    return Cell{difference > 0 ? 1.0 : 0, difference != 0 ? 1.0 : 0, *canary, *stable};
  };
  const double worse = badness(worse_, *canary, *stable);
  harm_.add(coin(strict_ ? worse - allowed(*stable) : worse), 1, minute);
  // No difference counts as within every margin, even a margin of 0.
  const double within = allowed(*stable) - worse;
  safe_.add(coin(within == 0 ? 1 : within), 1);
  if (signal_.max) over_limit_.add(coin(beyond(signal_, worse_, *canary) ? 1 : -1), 1);
}

MetricReading ValueSide::read(std::size_t, double bar_low, double) const {
  MetricReading out;
  out.log_harm = harm_.log_e(kLogE);
  if (signal_.max && worse_ == signal_.margin.worse)
    out.log_harm = log_half_each(out.log_harm, over_limit_.log_e());
  out.log_safety = safe_.log_e();
  const auto& seen = harm_.processes()[out.log_harm < bar_low ? 0 : harm_.weight(kLogE).driver];
  out.canary_count = harm_.processes().front().intervals;
  if (!(seen.intervals > 0)) return out;
  out.canary = seen.canary / seen.intervals;
  out.stable = seen.stable / seen.intervals;
  fill_beyond(out, signal_, worse_);
  return out;
}

MetricLine::MetricLine(const SignalSpec& signal, const LineOptions& options,
                       std::span<const double> scales, const MetricTrack& past) {
  const auto worse = signal.margin.worse;
  for (const auto way : {Worse::higher, Worse::lower}) {
    if (worse != Worse::either && worse != way) continue;
    switch (signal.kind) {
      case SignalKind::ratio:
        sides_.emplace_back(RatioSide(signal, options, way, scales, past));
        break;
      case SignalKind::mean: sides_.emplace_back(MeanSide(signal, options, way)); break;
      default: sides_.emplace_back(ValueSide(signal, options, way)); break;
    }
  }
}

void MetricLine::add(const MetricNumbers& numbers, double minute) {
  canary_ = canary_ || numbers.canary.value().has_value();
  stable_ = stable_ || numbers.stable.value().has_value();
  for (auto& side : sides_) {
    std::visit([&](auto& s) { s.add(numbers, minute); }, side);
  }
}

MetricReading MetricLine::read(std::size_t harm, double bar_low, double bar_high) const {
  const auto read = [&](const auto& side) {
    return std::visit([&](const auto& s) { return s.read(harm, bar_low, bar_high); }, side);
  };
  auto out = read(sides_.front());
  if (sides_.size() == 1) return out;
  const auto other = read(sides_.back());
  const double harm_of_both = log_half_each(out.log_harm, other.log_harm);
  const double safety_of_both = std::min(out.log_safety, other.log_safety);
  const bool beyond = out.beyond || other.beyond;
  if (other.log_harm > out.log_harm) out = other; // shows the side with more evidence of harm
  out.log_harm = harm_of_both;
  out.log_safety = safety_of_both;
  out.beyond = beyond;
  return out;
}

} // namespace coalmine::judge
