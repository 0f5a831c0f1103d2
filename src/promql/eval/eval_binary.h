// Operators between two operands.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <optional>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "promql/eval/evaluator.h"

namespace coalmine::promql {

// One binary expression over one frame.
class BinaryEvaluator {
 public:
  BinaryEvaluator(Evaluator& eval, const BinaryExpr& node, const Frame& frame)
      : eval_(eval), node_(node), frame_(frame) {}
  Eval<EvalMatrix> run();

 private:
  struct Operand {
    double value = 0;
    HistogramRef histogram = nullptr;
  };
  struct Outcome {
    double value = 0;
    HistogramRef histogram = nullptr;
    bool keep = false;    // a comparison that holds, or any arithmetic
    bool invalid = false; // the operands do not fit: no element
  };
  using Points = std::vector<VectorPoint>;

  Eval<EvalMatrix> scalars(EvalMatrix left, const EvalMatrix& right) const;
  enum class ScalarSide { left, right };
  Eval<EvalMatrix> with_scalar(EvalMatrix vector, const EvalMatrix& scalar, ScalarSide side);
  Eval<EvalMatrix> vectors(const EvalMatrix& left, const EvalMatrix& right);
  void assign_signatures(const EvalMatrix& left, const EvalMatrix& right);
  Eval<EvalMatrix> set_operator(const EvalMatrix& left, const EvalMatrix& right);

  // Vector matching, per step.
  Eval<bool> match_step(const EvalMatrix& left, const EvalMatrix& right, const Points& many,
                        const Points& one, std::int64_t time_ms);
  Eval<bool> one_side(const EvalMatrix& series, const Points& points);
  Eval<bool> pair(const LabelsRef& many_labels, const LabelsRef& one_labels,
                  std::uint64_t cache_key, const Operand& many, const Operand& one,
                  std::size_t signature, std::int64_t time_ms);
  LabelsRef result_labels(const Labels& many, const Labels& one) const;
  LabelsRef match_labels(const Labels& labels) const;
  bool swapped() const {
    return node_.matching && node_.matching->card == VectorMatching::Card::one_to_many;
  }

  Outcome apply(const Operand& left, const Operand& right);
  static std::optional<double> apply_floats(Tok op, double left, double right, bool& keep);
  Outcome apply_histograms(const NativeHistogram& left, const NativeHistogram& right);
  Outcome mixed(std::string_view left, std::string_view right);
  void tell();

  Evaluator& eval_;
  const BinaryExpr& node_;
  const Frame& frame_;

  std::vector<std::size_t> left_signature_; // series -> number of its match group
  std::vector<std::size_t> right_signature_;
  std::size_t signatures_ = 0;
  std::vector<const VectorPoint*> one_at_; // signature -> the point of the "one" side
  std::vector<bool> matched_;              // one-to-one: signature already used
  // Grouped: signature -> result slots already used.
  std::vector<std::unordered_set<std::size_t>> inserted_;
  std::unordered_map<std::uint64_t, std::size_t> slot_of_; // pair of series -> slot of the result
  enum class Severity { info, warning };
  struct Note {
    Severity severity = Severity::info;
    std::string text;
  };
  Note note_; // the last note of a step; earlier ones are dropped
  MatrixBuilder out_;
};

} // namespace coalmine::promql
