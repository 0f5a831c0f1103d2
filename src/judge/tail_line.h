// The sequential judge's evidence on latency, of the service or of one route: how many requests
// took longer than a bucket boundary. Values of the judge; one thread. Latencies in milliseconds,
// shares of requests from 0 to 1.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "judge/rate_line.h"
#include "judge/stats/onset.h"
#include "judge/stats/tail_dispersion.h"
#include "judge/stats/tails.h"
#include "telemetry/cell.h"

namespace coalmine::judge {

inline constexpr std::size_t kMaxBoundaries = 32;

// Evidence over boundaries that were chosen once: the canary's latencies are not stochastically
// larger than stable's.
class TailLine {
 public:
  // One latency signal's place in the distribution.
  struct Mark {
    double quantile = 0.99;
    // Index of the boundary nearest to the quantile: safety is shown there.
    std::size_t boundary = 0;
    std::vector<LinearMargin> harms; // at that boundary, one for each next weight
    // From this boundary on, a larger share of slow requests can move the quantile.
    std::size_t first = 0;
    std::vector<LinearMargin> allowed; // by the margin, one a boundary
  };
  // A mark's measured shares at the boundary that tells most.
  struct Reading {
    std::size_t boundary = 0;
    Totals totals;
    double allowed = 0;
    // What is allowed is the share that the quantile leaves out, and not a margin over stable's.
    bool by_quantile = false;
    bool beyond = false; // the canary's share is larger than allowed
    // The canary seems to be beyond the margin at a boundary whose own evidence does not decide
    // yet. The line must not pass.
    bool doubtful = false;
  };

  TailLine() = default;
  // past: stable's latencies that the boundaries were chosen from.
  TailLine(const LineOptions& options, const Buckets& past, Boundaries boundaries,
           std::vector<Mark> marks);

  bool empty() const { return boundaries_.empty(); }
  // Whether cells with these bounds say something about every mark.
  bool sees(const std::vector<double>& bounds) const;
  void add(const RouteCounts& counts, const TailPhi& phi, double minute);
  // Average over the boundaries.
  double log_harm(std::size_t mark) const;
  double log_safety(std::size_t mark, std::size_t harm) const;
  // bar: nats that the whole line needs to decide alone. Another boundary than the mark's own
  // decides when its part of the evidence reaches the bar alone.
  Reading read(std::size_t mark, double bar) const;
  // At the mark's own boundary, from the line's first cell.
  const Totals& all(std::size_t mark) const { return all_at(mark, marks_[mark].boundary); }
  double boundary_ms(std::size_t boundary) const { return boundaries_[boundary]; }
  // Stable's share beyond the mark's boundary when the boundaries were chosen.
  double past_rate(std::size_t mark) const { return past_rates_[marks_[mark].boundary]; }
  const std::vector<Mark>& marks() const { return marks_; }
  const Buckets& canary() const { return canary_; }
  const Buckets& stable() const { return stable_; }

 private:
  using Worse = OnsetProcess<OddsBets>;    // default rule
  using Beyond = OnsetProcess<ExcessBets>; // strict
  // Applies f to the process that bets on one boundary.
  template <typename F>
  decltype(auto) at(std::size_t mark, std::size_t boundary, F&& f) const {
    return strict_ ? f(beyond_[mark][boundary]) : f(worse_[boundary]);
  }
  double log_harm_at(std::size_t mark, std::size_t boundary) const;
  const Totals& all_at(std::size_t mark, std::size_t boundary) const;
  const Totals& since(std::size_t mark, std::size_t boundary) const;
  double log_stake(std::size_t mark, std::size_t boundary) const;
  struct Allowed {
    double share = 0;
    bool by_quantile = false;
  };
  Allowed allowed(const Mark& mark, std::size_t boundary, double stable_rate) const;
  Reading reading(std::size_t mark, std::size_t boundary, const Totals& totals) const;

  std::vector<double> boundaries_; // ascending
  std::vector<double> log_stakes_; // one a boundary
  std::vector<double> past_rates_; // one a boundary
  std::vector<Mark> marks_;
  bool strict_ = false;
  std::vector<Worse> worse_;                       // for each boundary
  std::vector<std::vector<Beyond>> beyond_;        // for each mark and boundary
  std::vector<std::vector<SafetyProcess>> safety_; // for each mark and harm
  Buckets canary_;
  Buckets stable_;
};

// An absolute limit on a quantile of the canary, whatever stable does. The limit may lie between
// two bounds of the buckets: requests beyond the upper one certainly exceed it, requests beyond the
// lower one possibly do. Every cell is read at its own bounds.
class TailLimit {
 public:
  TailLimit(double max_ms, double quantile) : max_ms_(max_ms), share_(1 - quantile) {}
  void add(const TrackCounts& canary, const TailPhi& phi);
  double log_harm() const { return over_.log_e(share_); }
  bool known() const { return requests_ > 0; }
  // More requests than the quantile leaves out took longer than the limit.
  bool exceeded() const { return known() && certain_ / requests_ > share_; }
  // The buckets cannot tell whether the limit is exceeded.
  bool unclear() const { return known() && !exceeded() && possible_ / requests_ > share_; }
  double certain_share() const { return known() ? certain_ / requests_ : 0; }
  double possible_share() const { return known() ? possible_ / requests_ : 0; }
  double max_ms() const { return max_ms_; }
  // The bounds around the limit in the newest cell; nothing below the first or above the last.
  std::optional<double> lower_ms() const { return lower_ms_; }
  std::optional<double> upper_ms() const { return upper_ms_; }
  const Buckets& canary() const { return canary_; }

 private:
  double max_ms_;
  double share_;
  ExcessProcess over_; // against "at most share_ of the requests take longer"
  double requests_ = 0;
  double certain_ = 0;
  double possible_ = 0;
  std::optional<double> lower_ms_, upper_ms_;
  Buckets canary_;
};

// The line of one scope, made again when its boundaries no longer occur in the telemetry, and made
// late when stable's latencies were unknown at the beginning. Each new line starts with the cell
// after those that its boundaries were chosen from, and stakes a part of its own.
class TailWatch {
 public:
  bool empty() const { return line_.empty(); }
  const TailLine& line() const { return line_; }
  void begin(TailLine line);
  void add(const RouteCounts& counts, const TailPhi& phi, double minute);
  // Stable's latencies in the newest cells, none of which the line could use. Not null: there are
  // enough of them to choose boundaries from, and begin() is due.
  const Buckets* unwatched() const;
  double log_harm(std::size_t mark) const;
  // ln of the present line's part of the stake.
  double log_stake() const;

 private:
  TailLine line_;
  std::size_t lines_ = 0;       // begun so far
  std::vector<double> earlier_; // for each mark: staked evidence of the lines before
  double left_ = 1;             // stake of the present line and of lines to come
  Buckets unwatched_;
};

} // namespace coalmine::judge
