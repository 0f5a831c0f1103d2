// SPDX-License-Identifier: Apache-2.0
#include "judge/stats/dispersion.h"

#include <algorithm>
#include <cmath>

#include "judge/stats/special.h"

namespace coalmine::judge {
namespace {

// Degrees of freedom at 1 that stand for what is usual.
constexpr double kUsualDegrees = 5;
// A longer block counts when a tenth of chi-squared variables or fewer are as large; phi is then
// what three quarters of them would not exceed.
constexpr double kSignificant = 0.90;
constexpr double kLongerBound = 0.25;

double entropy(double part, double whole) { return part > 0 ? part * std::log(part / whole) : 0; }

// ln of the likelihood ratio of "this one has a rate of its own, and a higher one" against one rate
// for all; 0: its rate is not higher.
double nats_against(const Part& one, double bad, double requests) {
  const double others = requests - one.requests, rate = bad / requests;
  if (!(others > 0) || one.bad <= one.requests * rate) return 0;
  const double good = 1 - rate, bad_others = bad - one.bad;
  return entropy(one.bad, one.requests * rate) +
         entropy(one.requests - one.bad, one.requests * good) + entropy(bad_others, others * rate) +
         entropy(others - bad_others, others * good);
}

// Whether the sums show significantly more dispersion than phi.
bool is_more(const Dispersion& sums, double phi) {
  const double n = sums.degrees();
  return n > 0 && sums.estimate() * n > phi * chi_squared_quantile(kSignificant, n);
}

} // namespace

bool usable(const Part& part) {
  return std::isfinite(part.bad) && std::isfinite(part.requests) && part.bad >= 0 &&
         part.requests > 0 && part.bad <= part.requests;
}

void Dispersion::add_group(std::span<const Part> parts) {
  double bad = 0, requests = 0;
  int members = 0;
  for (const auto& part : parts) {
    if (!usable(part)) continue;
    bad += part.bad;
    requests += part.requests;
    ++members;
  }
  if (members < 2 || !(bad > 0) || bad >= requests) return;
  const double rate = bad / requests;
  for (const auto& part : parts) {
    if (!usable(part)) continue;
    const double gap = part.bad - part.requests * rate;
    const double variance = part.requests * rate * (1 - rate);
    const double left = 1 - part.requests / requests; // the rate is that of the group itself
    squares_ += gap * gap;
    expected_ += variance * left;
    // Fourth moment of a rare event's count.
    spread_ += (2 * variance * variance + variance) * left;
    tail_.add(nats_against(part, bad, requests));
  }
}

void EvidenceTail::add(double nats) {
  members_ += 1;
  double step = 1;
  for (std::size_t i = 0; i < kSteps && nats > step; ++i, step *= 1.25) more_[i] += 1;
}

double EvidenceTail::phi() const {
  double out = 1, step = 1;
  for (std::size_t i = 0; i < kSteps && more_[i] > 0; ++i, step *= 1.25) {
    if (more_[i] < members_) out = std::max(out, step / std::log(members_ / more_[i]));
  }
  return out;
}

double Dispersion::upper_bound(double part) const {
  const double n = degrees();
  return n > 0 ? estimate() * n / chi_squared_quantile(part, n) : 1;
}

double Dispersion::phi() const {
  const double n = degrees();
  if (!(n > 0)) return 1;
  return std::max(1.0,
                  (estimate() * n + kUsualDegrees) / chi_squared_quantile(0.10, n + kUsualDegrees));
}

void BlockDispersion::add(std::span<const Member> members, std::uint64_t cell) {
  if (members.size() == 1) {
    const Part now = members.front().part;
    if (previous_) {
      const Part pair[] = {*previous_, now};
      cells_.add_group(pair);
      previous_.reset();
      phi_ = std::max(cells_.phi(), cells_.tail_phi());
    } else {
      previous_ = now;
    }
    return;
  }
  const auto put = [](std::vector<Part>& sums, const Member& member) {
    if (sums.size() <= member.slot) sums.resize(member.slot + std::size_t{1});
    sums[member.slot].bad += member.part.bad;
    sums[member.slot].requests += member.part.requests;
  };
  if (members.size() > 1) {
    previous_.reset();
    std::vector<Part> parts;
    for (const auto& member : members) {
      if (!usable(member.part)) continue;
      parts.push_back(member.part);
      for (auto& longer : longer_) put(longer.block, member);
      put(whole_, member);
    }
    cells_.add_group(parts);
  }
  for (std::size_t i = 0; i < kBlocks.size(); ++i) {
    if ((cell + 1) % kBlocks[i] != 0) continue;
    longer_[i].sums.add_group(longer_[i].block);
    longer_[i].block.clear();
  }
  double variance = cells_.phi();
  phi_ = std::max(variance, cells_.tail_phi());
  for (const auto& longer : longer_) {
    short_phi_ = phi_;
    if (is_more(longer.sums, variance))
      variance = std::max(variance, longer.sums.upper_bound(kLongerBound));
    phi_ = std::max({phi_, variance, longer.sums.tail_phi()});
  }
}

double BlockDispersion::lasting_variation() const {
  Dispersion whole;
  whole.add_group(whole_);
  if (!is_more(whole, short_phi_)) return 0;
  double bad = 0, requests = 0, members = 0;
  for (const auto& part : whole_) {
    if (!usable(part)) continue;
    bad += part.bad;
    requests += part.requests;
    members += 1;
  }
  const double rate = bad / requests;
  return std::sqrt((whole.estimate() - 1) * (1 - rate) * members / bad);
}

ArmPhi ArmPhi::of(double stable, double load) {
  return {.canary = 1 + (stable - 1) * std::max(1.0, load), .stable = stable};
}

Cell ArmPhi::temper(const Cell& cell) const {
  return {cell.x1 / canary, cell.n1 / canary, cell.x0 / stable, cell.n0 / stable};
}

} // namespace coalmine::judge
