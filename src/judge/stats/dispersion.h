// How much more counts vary than those of independent requests would: the phi that tempers
// evidence. It is measured on groups whose members should have the same rate: stable's processes at
// one time. What moves all of a group (time of day, incidents) cancels, and does no harm to the
// judge. Values of one judge; one thread. Why n / phi takes the place of n:
// docs/concepts/statistics.md.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "judge/stats/linear_margin.h"

namespace coalmine::judge {

// Bad events and requests of one process, or of one stretch of time.
struct Part {
  double bad = 0;
  double requests = 0;
};
// Finite, not negative, with requests, and no more bad events than these.
bool usable(const Part& part);

// How rare strong evidence is where there is nothing to find. One member against the others of its
// group gives a likelihood ratio of exp(nats) for "this one is worse". If requests were
// independent, more than t nats would come in a share of exp(-t) of all members at most. Where few
// but large clumps (a slow minute) make them come more often, phi is what evidence must be divided
// by so that they no longer do: the variance alone understates such clumps.
class EvidenceTail {
 public:
  void add(double nats);
  double phi() const; // at least 1

 private:
  static constexpr std::size_t kSteps =
      40;                             // from 1 nat on, each a quarter more than the one before
  std::array<double, kSteps> more_{}; // members with more nats than the step
  double members_ = 0;
};

// Pearson's statistic as a ratio of sums over all groups: sum of (x - n p)^2, divided by what it
// would be on average if requests were independent. A mean of the groups' own ratios would dilute
// rare bursts: in most groups nothing happens.
class Dispersion {
 public:
  void add_group(std::span<const Part> parts);
  // Of a chi-squared variable that varies as much as the estimate would if requests were
  // independent (Satterthwaite): rare events tell less than their number of groups.
  double degrees() const { return spread_ > 0 ? 2 * expected_ * expected_ / spread_ : 0; }
  double estimate() const { return expected_ > 0 ? squares_ / expected_ : 1; } // 1 without data
  // What phi may be, given the estimate: this part of all chi-squared variables is smaller.
  double upper_bound(double part) const;
  // Upper 90 % bound, at least 1. A few degrees at 1 stand for what is usual where little is known.
  // 1 without data.
  double phi() const;
  double tail_phi() const { return tail_.phi(); } // see EvidenceTail

 private:
  double squares_ = 0;
  double expected_ = 0;
  double spread_ = 0; // variance of squares_ if requests were independent
  EvidenceTail tail_;
};

// The dispersion of one rate on cells, and on blocks of 4, 16 and 64 of them. Events that belong
// together may lie in several cells (a slow minute, an hour with a bad neighbour), and then the
// counts of single cells hide most of it. A longer block counts only where it shows significantly
// more than the shorter ones.
class BlockDispersion {
 public:
  // One process in the cell.
  struct Member {
    std::uint32_t slot = 0;
    Part part;
  };
  // slot: of the process, until forget_members.
  // At least two members: they are compared. One: it is all that is known of stable, and is
  // compared with the cell before. cell: number of the cell, ascending by 1.
  void add(std::span<const Member> members, std::uint64_t cell);
  double phi() const { return phi_; }
  double degrees() const { return cells_.degrees(); }
  // How much the members' own rates differ for good: their coefficient of variation (standard
  // deviation by mean). 0: not more than what passes within minutes would make them.
  double lasting_variation() const;
  void forget_members() { whole_.clear(); } // slots are given out anew

  static constexpr std::array<std::uint64_t, 3> kBlocks = {4, 16, 64}; // cells
  // Whether no block goes on behind this cell.
  static bool ends_all(std::uint64_t cell) { return (cell + 1) % kBlocks.back() == 0; }

 private:
  struct Longer {
    Dispersion sums;
    std::vector<Part> block; // by slot
  };
  Dispersion cells_;
  std::array<Longer, kBlocks.size()> longer_;
  std::vector<Part> whole_; // by slot: of all cells
  std::optional<Part> previous_;
  double phi_ = 1;
  double short_phi_ = 1; // without the longest blocks
};

// The phi of both arms. Events of one process belong together, so an arm whose processes get more
// requests each is dispersed more.
struct ArmPhi {
  double canary = 1;
  double stable = 1;
  // stable: measured on stable's processes. load: requests of a canary process by those of a stable
  // one. A smaller load than 1 counts as 1: events that come in clumps of a fixed size do so under
  // any load.
  static ArmPhi of(double stable, double load);
  // The cell with n / phi in place of n.
  Cell temper(const Cell& cell) const;
};

} // namespace coalmine::judge
