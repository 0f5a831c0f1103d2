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

// Rare events of a metric are taken to come in clumps of at least this many: a client tries again.
constexpr double kSparseClump = 3;

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

void ShareDispersion::add(const MetricTrack& stable) {
  if (!stable.has_data) return;
  const Part now{stable.amount, stable.count};
  if (!usable(now)) return;
  if (!previous_) {
    previous_ = now;
    return;
  }
  const Part pair[] = {*previous_, now};
  sums_.add_group(pair);
  previous_.reset();
  pairs_ += 1;
}

void MetricPast::learn(const MetricTrack& stable) {
  sum.has_data = sum.has_data || stable.has_data;
  sum.amount += stable.amount;
  sum.count += stable.count;
  dispersion.add(stable);
  means.add(stable);
}

RatioSide::RatioSide(const SignalSpec& signal, const LineOptions& options, Worse worse,
                     std::span<const double> scales, const MetricPast& from)
    : signal_(signal),
      worse_(worse),
      strict_(options.strict),
      clump_(options.clump),
      intervals_(options.intervals),
      excess_(options.onset, ExcessBets()),
      shrink_(options.onset, ShrinkBets()),
      odds_(options.onset, OddsBets(0, 0)),
      under_limit_(0),
      dispersion_(from.dispersion) {
  const auto& past = from.sum;
  const double rate = past.value().value_or(0);
  rest_ = rate > 0.5;
  up_ = (worse == Worse::higher) != rest_;
  const double bad = worse == Worse::higher ? rate : 1 - rate;
  exact_ = past.value() && !strict_ && bad >= kExactFrom && bad <= 1 - kExactFrom;
  const auto null = strict_ ? boundary(1) : LinearMargin{};
  excess_ = {options.onset, ExcessBets(null.r0, null.delta)};
  shrink_ = {options.onset, ShrinkBets(null.r0, null.delta)};
  if (exact_) odds_ = {options.onset, OddsBets(bad * past.count, past.count)};
  for (const double scale : scales) {
    harms_.push_back(boundary(scale));
    const auto& harm = harms_.back();
    const double counted = rest_ ? 1 - rate : rate;
    const bool informed = past.value() && counted > 0;
    below_.push_back(informed ? safety_with(harm, counted) : SafetyProcess(harm.r0));
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
  weigh(cell, minute);
  dispersion_.add(numbers.stable); // after the cell: it tempers only later ones
}

void RatioSide::weigh(const Cell& cell, double minute) {
  totals_.add(cell);
  const bool shown = dispersion_.known() && !dispersion_.sparse();
  const double least = clump_ > 1 ? clump_ : shown ? 1 : kSparseClump;
  const double phi = std::max(least, dispersion_.phi());
  const auto tempered = ArmPhi{phi, phi}.temper(cell);
  for (auto& process : below_) process.add(tempered);
  for (auto& process : above_) process.add(tempered);
  over_limit_.add(against_known_zero(tempered));
  under_limit_.add(against_known_zero(tempered));
  more_.add(tempered);
  fewer_.add(tempered);
  // Where nobody says how events come, stable must have shown it before harm is bet on.
  if (!(clump_ > 1) && !dispersion_.known()) return;
  const auto rest_of = [](const Cell& c) { return Cell{c.n1 - c.x1, c.n1, c.n0 - c.x0, c.n0}; };
  if (exact_) odds_.add(up_ ? tempered : rest_of(tempered), up_ ? cell : rest_of(cell), minute);
  if (up_) {
    excess_.add(tempered, cell, minute);
  } else {
    shrink_.add(tempered, cell, minute);
  }
}

double RatioSide::log_harm() const {
  double out = up_ ? excess_.log_e() : shrink_.log_e();
  if (exact_) out = log_half_each(out, odds_.log_e());
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
  const auto& totals = out.log_harm < bar_low ? totals_ : since();
  out.canary_count = totals_.n1;
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

void BatchMeans::add(const MetricTrack& track) {
  const auto mean = track.value();
  if (!mean || !std::isfinite(*mean)) return;
  count += track.count;
  sum += track.amount;
  weighted_squares += track.count * *mean * *mean;
  cells += 1;
}

double BatchMeans::squares() const {
  return count > 0 ? std::max(0.0, weighted_squares - count * mean() * mean()) : 0;
}

double MeanSide::variance_of_mean(const BatchMeans& track) const {
  if (track.cells < kMinCells || track.count < kMinAsymptoticCount) return -1;
  const double own = track.squares() / track.degrees();
  const double pooled = (track.squares() + past_.squares()) / (track.degrees() + past_.degrees());
  return std::max(own, pooled) / track.count;
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
  const double a = variance_of_mean(canary_), b = variance_of_mean(stable_);
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

std::array<double, CoinBets::kCount> CoinBets::growth(const Cell& cell) const {
  std::array<double, kCount> out{};
  if (!(cell.n1 > 0)) return out;
  for (std::size_t i = 0; i < kCount; ++i) {
    const double worse = 0.5 + (static_cast<double>(i) + 0.5) / (2 * kCount);
    out[i] = std::log(2 * (cell.x1 > 0 ? worse : 1 - worse));
  }
  return out;
}

void ValueSide::Values::add(const Cell& cell) {
  canary += cell.x0;
  stable += cell.n0;
  intervals += 1;
}

void ValueSide::Coin::add(const Cell& cell) {
  wins += cell.x1;
  losses += cell.n1 - cell.x1;
}

double ValueSide::Coin::log_e() const {
  return wins + losses > 0 ? one_sided_beta_log_bf(wins, losses, 0.5, 1, 1) : 0;
}

ValueSide::ValueSide(const SignalSpec& signal, const LineOptions& options, Worse worse)
    : signal_(signal), worse_(worse), strict_(options.strict), harm_(options.onset, CoinBets()) {}

double ValueSide::allowed(double stable) const {
  return allowed_difference(signal_.margin, signal_.floor, stable);
}

void ValueSide::add(const MetricNumbers& numbers, double minute) {
  const auto canary = numbers.canary.value(), stable = numbers.stable.value();
  if (!canary || !stable || !std::isfinite(*canary) || !std::isfinite(*stable)) return;
  // x1: the canary was worse; n1: the two differed at all.
  const auto coin = [&](double difference) {
    return Cell{difference > 0 ? 1.0 : 0, difference != 0 ? 1.0 : 0, *canary, *stable};
  };
  const double worse = badness(worse_, *canary, *stable);
  const auto thrown = coin(strict_ ? worse - allowed(*stable) : worse);
  harm_.add(thrown, thrown, minute);
  // No difference counts as within every margin, even a margin of 0.
  const double within = allowed(*stable) - worse;
  safe_.add(coin(within == 0 ? 1 : within));
  if (signal_.max) over_limit_.add(coin(beyond(signal_, worse_, *canary) ? 1 : -1));
}

MetricReading ValueSide::read(std::size_t, double bar_low, double) const {
  MetricReading out;
  out.log_harm = harm_.log_e();
  if (signal_.max && worse_ == signal_.margin.worse)
    out.log_harm = log_half_each(out.log_harm, over_limit_.log_e());
  out.log_safety = safe_.log_e();
  const auto& seen = out.log_harm < bar_low ? harm_.all() : harm_.since();
  out.canary_count = harm_.all().intervals;
  if (!(seen.intervals > 0)) return out;
  out.canary = seen.canary / seen.intervals;
  out.stable = seen.stable / seen.intervals;
  fill_beyond(out, signal_, worse_);
  return out;
}

MetricLine::MetricLine(const SignalSpec& signal, const LineOptions& options,
                       std::span<const double> scales, const MetricPast& past) {
  const auto worse = signal.margin.worse;
  for (const auto way : {Worse::higher, Worse::lower}) {
    if (worse != Worse::either && worse != way) continue;
    switch (signal.kind) {
      case SignalKind::ratio:
        sides_.emplace_back(RatioSide(signal, options, way, scales, past));
        break;
      case SignalKind::mean: sides_.emplace_back(MeanSide(signal, options, way, past)); break;
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
