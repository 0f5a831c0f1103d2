// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/range_slices.h"

#include <algorithm>
#include <latch>
#include <unordered_map>

#include "promql/eval/column_sums.h"

namespace coalmine::promql {
namespace {

// The least steps of a slice. For shorter slices, finding the series again costs more than is
// gained.
constexpr std::size_t kLeastSteps = 30;

struct LabelsHash {
  std::size_t operator()(const Labels* labels) const { return labels->hash(); }
};
struct LabelsEqual {
  bool operator()(const Labels* a, const Labels* b) const { return *a == *b; }
};

// heavy: set when a sum of rates was seen.
bool by_step(const Expr& expr, bool& heavy) {
  switch (expr.kind) {
    case Expr::Kind::number: return true;
    case Expr::Kind::paren: return by_step(*as<ParenExpr>(&expr)->inner, heavy);
    case Expr::Kind::unary: return by_step(*as<UnaryExpr>(&expr)->inner, heavy);
    case Expr::Kind::binary: {
      const auto* binary = as<BinaryExpr>(&expr);
      return by_step(*binary->left, heavy) && by_step(*binary->right, heavy);
    }
    case Expr::Kind::aggregate: {
      const bool sums = ColumnSums::range_of(*as<AggregateExpr>(&expr)) != nullptr;
      heavy = heavy || sums;
      return sums;
    }
    case Expr::Kind::call: {
      const auto* call = as<CallExpr>(&expr);
      return call->function->name == "histogram_quantile" &&
             std::ranges::all_of(call->args,
                                 [&](const ExprPtr& arg) { return by_step(*arg, heavy); });
    }
    default: return false;
  }
}

} // namespace

bool sliceable(const Expr& expr) {
  bool heavy = false;
  return by_step(expr, heavy) && heavy && !expr.step_invariant;
}

std::vector<Frame> slices_of(const Frame& frame, std::size_t most) {
  const std::size_t steps = frame.steps();
  const std::size_t count =
      std::clamp<std::size_t>(steps / kLeastSteps, 1, std::max<std::size_t>(1, most));
  std::vector<Frame> out;
  for (std::size_t i = 0; i < count; ++i) {
    const auto first = static_cast<std::int64_t>(steps * i / count),
               last = static_cast<std::int64_t>(steps * (i + 1) / count) - 1;
    out.push_back({frame.start + first * frame.step, frame.start + last * frame.step, frame.step});
  }
  return out;
}

EvalMatrix joined(std::vector<EvalMatrix> parts) {
  EvalMatrix out;
  std::unordered_map<const Labels*, std::size_t, LabelsHash, LabelsEqual> places;
  for (auto& part : parts) {
    for (auto& series : part) {
      const auto [it, added] = places.try_emplace(series.labels.get(), out.size());
      if (added) {
        out.push_back(std::move(series));
        continue;
      }
      auto& whole = out[it->second];
      whole.floats.insert(whole.floats.end(), series.floats.begin(), series.floats.end());
      std::ranges::move(series.histograms, std::back_inserter(whole.histograms));
    }
  }
  return out;
}

void run_side_by_side(Executor& helpers, std::size_t count,
                      const std::function<void(std::size_t)>& task) {
  std::latch ended(static_cast<std::ptrdiff_t>(count));
  const auto run = [&](std::size_t i) {
    task(i);
    ended.count_down();
  };
  for (std::size_t i = 1; i < count; ++i) {
    if (!helpers.try_submit([&run, i] { run(i); })) run(i);
  }
  run(0);
  ended.wait();
}

} // namespace coalmine::promql
