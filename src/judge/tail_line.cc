// SPDX-License-Identifier: Apache-2.0
#include "judge/tail_line.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

// A boundary that seems to be beyond the margin holds a pass back from this evidence on: the data
// are three times likelier when the canary is slower there.
const double kDoubt = std::log(3.0);

// Part of a mark's evidence that the strict rule stakes on the mark's own boundary.
constexpr double kOwnStake = 0.5;

// Stake of the first line of a scope. Later ones share the rest in a series that adds up to it.
constexpr double kFirstLine = 0.9;

double stake_of_line(std::size_t index) {
  if (index == 0) return kFirstLine;
  const auto j = static_cast<double>(index);
  return (1 - kFirstLine) * 6 / (std::numbers::pi * std::numbers::pi * j * j);
}

double sum(const std::vector<double>& counts) {
  return std::accumulate(counts.begin(), counts.end(), 0.0);
}

} // namespace

TailLine::TailLine(const LineOptions& options, const Buckets& past, Boundaries boundaries,
                   std::vector<Mark> marks)
    : boundaries_(std::move(boundaries.bounds_ms)),
      marks_(std::move(marks)),
      strict_(options.strict) {
  const double total = past.empty() ? 0 : past.total();
  for (std::size_t i = 0; i < boundaries_.size(); ++i) {
    log_stakes_.push_back(std::log(boundaries.stakes[i]));
    const auto above = tail_count(past.bounds_ms, past.counts, boundaries_[i]).value_or(0);
    past_rates_.push_back(total > 0 ? above / total : 0);
    if (!strict_) worse_.emplace_back(options.onset, OddsBets(above, total));
  }
  for (const auto& mark : marks_) {
    if (strict_) {
      auto& list = beyond_.emplace_back();
      for (const auto& allowed : mark.allowed)
        list.emplace_back(options.onset, ExcessBets(allowed.r0, allowed.delta));
    }
    auto& list = safety_.emplace_back();
    for (const auto& harm : mark.harms)
      list.push_back(safety_with(harm, past_rates_[mark.boundary]));
  }
}

bool TailLine::sees(const std::vector<double>& bounds) const {
  return std::ranges::all_of(marks_, [&](const Mark& mark) {
    return std::ranges::binary_search(bounds, boundaries_[mark.boundary]);
  });
}

void TailLine::add(const RouteCounts& counts, const TailPhi& phi, double minute) {
  if (counts.shared_bounds() == nullptr) return;
  const auto& bounds = *counts.shared_bounds();
  const auto& canary = counts.canary.bucket_counts;
  const auto& stable = counts.stable.bucket_counts;
  if (!judge::usable(bounds, canary) || !judge::usable(bounds, stable)) return;
  const double n1 = sum(canary), n0 = sum(stable);
  for (std::size_t i = 0; i < boundaries_.size(); ++i) {
    const auto x1 = tail_count(bounds, canary, boundaries_[i]),
               x0 = tail_count(bounds, stable, boundaries_[i]);
    if (!x1 || !x0) continue; // the cell lacks this boundary
    const Cell cell{std::min(*x1, n1), n1, std::min(*x0, n0), n0};
    const auto tempered = phi.at(boundaries_[i]).temper(cell);
    if (!strict_) worse_[i].add(tempered, cell, minute);
    for (std::size_t m = 0; m < marks_.size(); ++m) {
      if (strict_) beyond_[m][i].add(tempered, cell, minute);
      if (marks_[m].boundary != i) continue;
      for (auto& process : safety_[m]) process.add(tempered);
    }
  }
  canary_.add(bounds, canary);
  stable_.add(bounds, stable);
}

double TailLine::log_harm_at(std::size_t mark, std::size_t boundary) const {
  return at(mark, boundary, [](const auto& process) { return process.log_e(); });
}

const Totals& TailLine::all_at(std::size_t mark, std::size_t boundary) const {
  return at(mark, boundary, [](const auto& process) -> const Totals& { return process.all(); });
}

// Since the likeliest beginning of a change there, where there are signs of one.
const Totals& TailLine::since(std::size_t mark, std::size_t boundary) const {
  return at(mark, boundary, [](const auto& process) -> const Totals& {
    return process.log_e() >= kDoubt ? process.since() : process.all();
  });
}

double TailLine::log_stake(std::size_t mark, std::size_t boundary) const {
  if (!strict_) return log_stakes_[boundary];
  const auto others = boundaries_.size() - marks_[mark].first - 1;
  if (others == 0) return 0;
  if (boundary == marks_[mark].boundary) return std::log(kOwnStake);
  return std::log((1 - kOwnStake) / static_cast<double>(others));
}

double TailLine::log_harm(std::size_t mark) const {
  double terms[kMaxBoundaries];
  std::size_t n = 0;
  for (auto i = strict_ ? marks_[mark].first : 0; i < boundaries_.size(); ++i)
    terms[n++] = log_stake(mark, i) + log_harm_at(mark, i);
  return n > 0 ? log_sum_exp(std::span(terms, n)) : 0;
}

double TailLine::log_safety(std::size_t mark, std::size_t harm) const {
  if (mark >= safety_.size() || harm >= safety_[mark].size()) return 0;
  return safety_[mark][harm].log_e(marks_[mark].harms[harm].delta);
}

TailLine::Allowed TailLine::allowed(const Mark& mark, std::size_t boundary,
                                    double stable_rate) const {
  const auto& margin = mark.allowed[boundary];
  const double by_margin = std::min(1.0, margin.at(stable_rate));
  // Elsewhere than at its own boundary a mark answers for its quantile alone: as long as fewer
  // requests are slower than the quantile leaves out, the quantile is not.
  const double least = boundary == mark.boundary ? 0 : 1 - mark.quantile;
  return {std::max(by_margin, least), margin.delta > 0 || by_margin < least};
}

TailLine::Reading TailLine::reading(std::size_t mark, std::size_t boundary,
                                    const Totals& totals) const {
  const auto most = allowed(marks_[mark], boundary, totals.stable_rate());
  return {.boundary = boundary,
          .totals = totals,
          .allowed = most.share,
          .by_quantile = most.by_quantile,
          .beyond = totals.canary_rate() > most.share,
          .doubtful = false};
}

TailLine::Reading TailLine::read(std::size_t index, double bar) const {
  const auto& mark = marks_[index];
  // Shows the counts that decide.
  const auto decisive = reading(index, mark.boundary, since(index, mark.boundary));
  const bool harmful = log_harm(index) >= bar;
  if (decisive.beyond && harmful) return decisive;
  auto out = harmful ? decisive : reading(index, mark.boundary, all(index));
  out.beyond = decisive.beyond;
  double most = -kInfinity;
  for (auto i = mark.first; i < boundaries_.size(); ++i) {
    if (i == mark.boundary) continue;
    const double harm = log_harm_at(index, i);
    const auto found = reading(index, i, since(index, i));
    if (!found.beyond || harm < kDoubt) continue;
    const double own = log_stake(index, i) + harm;
    if (own >= bar && own > most) {
      most = own;
      out = found;
    }
    out.doubtful = true;
  }
  return out;
}

void TailLimit::add(const TrackCounts& canary, const TailPhi& phi) {
  if (canary.bounds_ms == nullptr || !judge::usable(*canary.bounds_ms, canary.bucket_counts))
    return;
  const auto& bounds = *canary.bounds_ms;
  const double n = sum(canary.bucket_counts);
  const auto upper = std::ranges::lower_bound(bounds, max_ms_);
  upper_ms_ = upper != bounds.end() ? std::optional(*upper) : std::nullopt;
  const auto lower = upper_ms_ == max_ms_ ? upper + 1 : upper; // behind the bound at or below it
  lower_ms_ = lower != bounds.begin() ? std::optional(*(lower - 1)) : std::nullopt;
  const auto above = [&](std::optional<double> bound, double otherwise) {
    return bound ? tail_count(bounds, canary.bucket_counts, *bound).value_or(otherwise) : otherwise;
  };
  const double certain = std::min(n, above(upper_ms_, 0));
  requests_ += n;
  certain_ += certain;
  possible_ += std::min(n, above(lower_ms_, n));
  over_.add(against_known_zero(phi.at(max_ms_).temper({certain, n, 0, 0})));
  canary_.add(bounds, canary.bucket_counts);
}

void TailWatch::begin(TailLine line) {
  if (!line_.empty()) {
    earlier_.resize(line_.marks().size(), -kInfinity);
    for (std::size_t m = 0; m < earlier_.size(); ++m) {
      const double both[] = {earlier_[m], log_stake() + line_.log_harm(m)};
      earlier_[m] = log_sum_exp(both);
    }
    left_ -= stake_of_line(lines_ - 1);
  }
  line_ = std::move(line);
  ++lines_;
  unwatched_ = {};
}

void TailWatch::add(const RouteCounts& counts, const TailPhi& phi, double minute) {
  const auto* bounds = counts.shared_bounds();
  if (bounds == nullptr) return;
  if (!line_.empty() && line_.sees(*bounds)) {
    line_.add(counts, phi, minute);
    unwatched_ = {};
    return;
  }
  // Bounds that have nothing in common with those before start the collection again.
  if (!unwatched_.add(*bounds, counts.stable.bucket_counts)) {
    unwatched_ = {};
    unwatched_.add(*bounds, counts.stable.bucket_counts);
  }
}

const Buckets* TailWatch::unwatched() const {
  return !unwatched_.empty() && unwatched_.total() >= kChooseFrom ? &unwatched_ : nullptr;
}

double TailWatch::log_stake() const { return std::log(stake_of_line(lines_ > 0 ? lines_ - 1 : 0)); }

double TailWatch::log_harm(std::size_t mark) const {
  if (line_.empty()) return 0;
  const double rest = left_ - stake_of_line(lines_ - 1); // of lines to come
  const double terms[] = {mark < earlier_.size() ? earlier_[mark] : -kInfinity,
                          log_stake() + line_.log_harm(mark),
                          std::log(std::max(rest, std::numeric_limits<double>::min()))};
  return log_sum_exp(terms);
}

} // namespace coalmine::judge
