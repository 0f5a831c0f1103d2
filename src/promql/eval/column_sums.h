// Computes sum by (…) (rate(x[w])) and sum by (…) (increase(x[w])) without building series: whole
// histograms and columns of numbers go in, one vector of sums per group comes out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "promql/eval/column_kernels.h"
#include "promql/eval/evaluator.h"

namespace coalmine::promql {

// One such sum over one frame. It gives the same result as AggregateEvaluator over CallEvaluator,
// bit for bit, because each column goes through the same operations in the same order. Cases for
// which this is impossible are left to them.
class ColumnSums {
 public:
  // The range whose rates the expression sums, if it has this form; else null.
  static const MatrixSelector* range_of(const AggregateExpr& node);

  ColumnSums(Evaluator& eval, const AggregateExpr& node, const Frame& frame,
             const ColumnSource& source);
  // max_samples: the limit of samples to read. nullopt: the samples are not all of one shape, and
  // nothing was done.
  Eval<std::optional<EvalMatrix>> run(std::size_t max_samples);

 private:
  struct Group {
    LabelsRef labels;                 // without le for buckets
    std::vector<std::size_t> members; // series in the order of the source
  };
  // The offsets of a window's samples in it, in milliseconds.
  struct Place {
    std::int64_t before_ms = 0; // from its begin to the first sample
    std::int64_t after_ms = 0;  // from the last sample to its end
    std::int64_t sampled_ms = 0;
    std::size_t samples = 0;
    bool operator==(const Place&) const = default;
  };
  // The facts that follow from a Place for all columns.
  struct Window {
    Reach reach;
    double to_end = 0; // seconds to extrapolate to the right
    double factor = 0; // of the increase, when extrapolated over all of reach.to_start
  };
  using Columns = SampleColumns;

  void form_groups();
  std::string group_key(const Labels& labels) const;
  LabelsRef group_labels(const Labels& labels) const;
  bool listed(std::string_view label) const;

  bool take(std::size_t series, const Columns& columns);
  bool start_group(const Columns& columns);
  bool charge(const Columns& columns);
  void find_resets(const Columns& columns);
  void add_series(std::size_t series, const Columns& columns);
  const Window& window_at(const Place& place);
  double factor(double to_start, const Window& w) const;
  void add_window(const Columns& columns, std::size_t first_row, std::size_t last_row,
                  const Window& w, std::size_t step);
  void sum_up(std::size_t step, double factor);
  void finish_group(const Group& group);
  EvalMatrix take_result();

  Evaluator& eval_;
  const AggregateExpr& node_;
  const Frame& frame_;
  const ColumnSource& source_;
  const CallExpr& call_;
  const MatrixSelector& range_;
  const bool per_second_; // rate, not increase
  const bool keep_le_;    // groups keep the label le
  const double range_seconds_;
  std::vector<Group> groups_;

  // The current group's.
  BucketBounds bounds_;
  std::size_t width_ = 0;       // 0: no samples yet
  std::vector<std::string> le_; // of each column of buckets
  // Columns that the selection takes, in the order of the labels.
  std::vector<std::size_t> columns_;
  std::size_t slots_ = 0;    // sums per step
  std::vector<double> sums_; // steps times slots
  std::vector<double> compensations_;
  std::vector<std::uint8_t> seen_;    // steps
  std::size_t first_seen_ = SIZE_MAX; // series

  // Ascending rows of the current series in which a column is lower than in the row before.
  std::vector<std::size_t> resets_;
  std::vector<double> rates_; // of one window

  Place place_; // the Place for which window_ was computed
  Window window_;

  struct Result {
    std::size_t first_seen = 0;
    EvalSeries series;
  };
  std::vector<Result> results_;
  std::size_t room_ = 0; // samples that may still be read
  bool shapeless_ = false;
  std::optional<QueryError> error_;
};

} // namespace coalmine::promql
