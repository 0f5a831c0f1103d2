// SPDX-License-Identifier: Apache-2.0
#include "promql/eval/eval_binary.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "promql/eval/histogram_math.h"
#include "promql/syntax/go_text.h"

namespace coalmine::promql {
namespace {

bool changes_schema(Tok op) {
  return op == Tok::add || op == Tok::sub || op == Tok::mul || op == Tok::div || op == Tok::pow ||
         op == Tok::mod || op == Tok::atan2;
}

constexpr std::uint64_t kFilled = 0x7fffffff; // no series: a fill value

std::uint64_t pair_key(std::size_t many, std::uint64_t one) {
  return (static_cast<std::uint64_t>(many) << 32) | one;
}

// {a="b", c="d"} with the name inside, as error messages print series.
std::string braces_text(const Labels& labels) {
  std::string out;
  for (const auto [name, value] : labels)
    out += fmt::format("{}{}={}", out.empty() ? "" : ", ", name, go_quote(value));
  return "{" + out + "}";
}

} // namespace

Eval<EvalMatrix> BinaryEvaluator::run() {
  TRY_EVAL(EvalMatrix left, eval_.eval(*node_.left, frame_));
  TRY_EVAL(EvalMatrix right, eval_.eval(*node_.right, frame_));
  const bool left_scalar = type_of(*node_.left) == ValueType::scalar;
  const bool right_scalar = type_of(*node_.right) == ValueType::scalar;
  if (left_scalar && right_scalar) return scalars(std::move(left), right);
  if (right_scalar) return with_scalar(std::move(left), right, ScalarSide::right);
  if (left_scalar) return with_scalar(std::move(right), left, ScalarSide::left);
  if (is_set_operator(node_.op)) return set_operator(left, right);
  return vectors(left, right);
}

Eval<EvalMatrix> BinaryEvaluator::scalars(EvalMatrix left, const EvalMatrix& right) const {
  for (std::size_t i = 0; i < left[0].floats.size(); ++i) {
    bool keep = false;
    double& value = left[0].floats[i].value;
    const auto result = apply_floats(node_.op, value, right[0].floats[i].value, keep);
    if (!result)
      return execution_error(fmt::format("operator {} not allowed for Scalar operations",
                                         go_quote(spelling(node_.op))));
    value = is_comparison(node_.op) ? (keep ? 1 : 0) : *result;
  }
  return left;
}

Eval<EvalMatrix> BinaryEvaluator::with_scalar(EvalMatrix vector, const EvalMatrix& scalar,
                                              ScalarSide side) {
  const bool scalar_left = side == ScalarSide::left;
  const bool drop = changes_schema(node_.op) || node_.return_bool;
  for (EvalSeries& series : vector) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    EvalSeries result{
        drop ? eval_.dropped(series.labels) : series.labels, series.drop_name || drop, {}, {}};
    const auto one = [&](std::int64_t t, const Operand& element) {
      const Operand number{
          scalar[0].floats[static_cast<std::size_t>((t - frame_.start) / frame_.step)].value,
          nullptr};
      Outcome outcome = scalar_left ? apply(number, element) : apply(element, number);
      if (outcome.invalid) return;
      // A comparison keeps the element, whichever side it is on.
      if (is_comparison(node_.op) && scalar_left) {
        outcome.value = element.value;
        outcome.histogram = element.histogram;
      }
      if (node_.return_bool) {
        outcome = {outcome.keep ? 1.0 : 0.0, nullptr, true, false};
      }
      if (!outcome.keep) return;
      if (outcome.histogram) {
        result.histograms.push_back({t, std::move(outcome.histogram), 0});
      } else {
        result.floats.push_back({t, outcome.value, 0});
      }
    };
    for (const Sample& sample : series.floats) one(sample.time_ms, {sample.value, nullptr});
    for (const HistogramSample& sample : series.histograms) one(sample.time_ms, {0, sample.value});
    tell();
    std::ranges::sort(result.floats, {}, &Sample::time_ms);
    series = std::move(result);
  }
  std::erase_if(vector, [](const EvalSeries& s) { return s.points() == 0; });
  if (eval_.delayed()) return vector;
  return merge_same_labels(std::move(vector));
}

void BinaryEvaluator::assign_signatures(const EvalMatrix& left, const EvalMatrix& right) {
  std::unordered_map<Labels, std::size_t, LabelsHash> known;
  const auto assign = [&](const EvalMatrix& side, std::vector<std::size_t>& out) {
    for (const EvalSeries& series : side) {
      const auto [it, fresh] = known.try_emplace(*match_labels(*series.labels), known.size());
      out.push_back(it->second);
    }
  };
  assign(left, left_signature_);
  assign(right, right_signature_);
  signatures_ = known.size();
}

// The labels that make a match group: those listed in on(), or all but the name and those in
// ignoring().
LabelsRef BinaryEvaluator::match_labels(const Labels& labels) const {
  const VectorMatching& matching = *node_.matching;
  return std::make_shared<const Labels>(labels.where([&](std::string_view name) {
    const bool listed = std::ranges::find(matching.labels, name) != matching.labels.end();
    return matching.on ? listed : !listed && name != kMetricName;
  }));
}

Eval<EvalMatrix> BinaryEvaluator::set_operator(const EvalMatrix& left, const EvalMatrix& right) {
  assign_signatures(left, right);
  StepCursor left_cursor(left);
  StepCursor right_cursor(right);
  Points left_points;
  Points right_points;
  std::vector<std::size_t> left_slot(left.size(), SIZE_MAX);
  std::vector<std::size_t> right_slot(right.size(), SIZE_MAX);
  const auto put = [&](const EvalMatrix& side, std::vector<std::size_t>& slots, VectorPoint& point,
                       std::int64_t t) {
    std::size_t& slot = slots[point.series];
    if (slot == SIZE_MAX) slot = out_.slot(side[point.series].labels, side[point.series].drop_name);
    return out_.add(slot, t, point.value, std::move(point.histogram));
  };
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    left_cursor.gather(t, left_points);
    right_cursor.gather(t, right_points);
    std::vector<bool> present(signatures_, false);
    const bool is_or = node_.op == Tok::lor;
    for (const VectorPoint& point : is_or ? left_points : right_points) {
      present[is_or ? left_signature_[point.series] : right_signature_[point.series]] = true;
    }
    for (VectorPoint& point : left_points) {
      const bool matches = present[left_signature_[point.series]];
      if (is_or || matches == (node_.op == Tok::land)) {
        if (!put(left, left_slot, point, t)) return execution_error(std::string(kSameLabels));
      }
    }
    if (!is_or) continue;
    for (VectorPoint& point : right_points) {
      if (present[right_signature_[point.series]]) continue;
      if (!put(right, right_slot, point, t)) return execution_error(std::string(kSameLabels));
    }
  }
  return out_.take();
}

Eval<EvalMatrix> BinaryEvaluator::vectors(const EvalMatrix& left, const EvalMatrix& right) {
  assign_signatures(left, right);
  StepCursor left_cursor(left);
  StepCursor right_cursor(right);
  Points left_points;
  Points right_points;
  const bool fills = node_.matching->fill_left || node_.matching->fill_right;
  for (std::int64_t t = frame_.start; t <= frame_.end; t += frame_.step) {
    TRY_EVAL([[maybe_unused]] bool in_time, eval_.check_deadline());
    left_cursor.gather(t, left_points);
    right_cursor.gather(t, right_points);
    if (left_points.empty() && right_points.empty()) continue;
    if ((left_points.empty() || right_points.empty()) && !fills) continue;
    // From here on the sides are "many" and "one". One-to-many is many-to-one with swapped sides.
    const bool swap = swapped();
    TRY_EVAL([[maybe_unused]] bool done,
             match_step(swap ? right : left, swap ? left : right, swap ? right_points : left_points,
                        swap ? left_points : right_points, t));
    tell();
  }
  EvalMatrix out = out_.take();
  std::erase_if(out, [](const EvalSeries& s) { return s.points() == 0; });
  return out;
}

Eval<bool> BinaryEvaluator::one_side(const EvalMatrix& series, const Points& points) {
  const std::vector<std::size_t>& signature = swapped() ? left_signature_ : right_signature_;
  one_at_.assign(signatures_, nullptr);
  for (const VectorPoint& point : points) {
    const VectorPoint*& at = one_at_[signature[point.series]];
    if (at != nullptr) {
      std::string first = braces_text(*series[point.series].labels);
      std::string second = braces_text(*series[at->series].labels);
      if (second < first) std::swap(first, second);
      return execution_error(
          fmt::format("found duplicate series for the match group {} on the {} hand-side of the "
                      "operation: [{}, {}];many-to-many "
                      "matching not allowed: matching labels must be unique on one side",
                      braces_text(*match_labels(*series[point.series].labels)),
                      swapped() ? "left" : "right", first, second));
    }
    at = &point;
  }
  return true;
}

Eval<bool> BinaryEvaluator::match_step(const EvalMatrix& many_series, const EvalMatrix& one_series,
                                       const Points& many, const Points& one,
                                       std::int64_t time_ms) {
  TRY_EVAL([[maybe_unused]] bool unique, one_side(one_series, one));
  const VectorMatching& matching = *node_.matching;
  if (matching.card == VectorMatching::Card::one_to_one) {
    matched_.assign(signatures_, false);
  } else {
    inserted_.assign(signatures_, {});
  }
  const std::vector<std::size_t>& many_signature = swapped() ? right_signature_ : left_signature_;
  const std::vector<std::size_t>& one_signature = swapped() ? left_signature_ : right_signature_;
  for (const VectorPoint& point : many) {
    const std::size_t signature = many_signature[point.series];
    const LabelsRef& labels = many_series[point.series].labels;
    const Operand operand{point.value, point.histogram};
    if (const VectorPoint* other = one_at_[signature]) {
      TRY_EVAL([[maybe_unused]] bool done,
               pair(labels, one_series[other->series].labels, pair_key(point.series, other->series),
                    operand, {other->value, other->histogram}, signature, time_ms));
    } else if (matching.fill_right) {
      TRY_EVAL([[maybe_unused]] bool done,
               pair(labels, match_labels(*labels), pair_key(point.series, kFilled), operand,
                    {*matching.fill_right, nullptr}, signature, time_ms));
    }
  }
  if (!matching.fill_left) return true;
  for (const VectorPoint& point : one) {
    const std::size_t signature = one_signature[point.series];
    const bool used = matching.card == VectorMatching::Card::one_to_one
                          ? matched_[signature]
                          : !inserted_[signature].empty();
    if (used) continue;
    const LabelsRef& labels = one_series[point.series].labels;
    TRY_EVAL(
        [[maybe_unused]] bool done,
        pair(match_labels(*labels), labels, pair_key(kFilled, point.series),
             {*matching.fill_left, nullptr}, {point.value, point.histogram}, signature, time_ms));
  }
  return true;
}

Eval<bool> BinaryEvaluator::pair(const LabelsRef& many_labels, const LabelsRef& one_labels,
                                 std::uint64_t cache_key, const Operand& many, const Operand& one,
                                 std::size_t signature, std::int64_t time_ms) {
  Outcome outcome = swapped() ? apply(one, many) : apply(many, one);
  if (outcome.invalid) return true;
  if (node_.return_bool) {
    outcome.value = outcome.keep ? 1 : 0;
    outcome.histogram = nullptr;
  }
  const auto [it, fresh] = slot_of_.try_emplace(cache_key, 0);
  if (fresh) it->second = out_.slot(result_labels(*many_labels, *one_labels), node_.return_bool);
  const std::size_t slot = it->second;
  if (node_.matching->card == VectorMatching::Card::one_to_one) {
    if (matched_[signature]) {
      return execution_error(
          "multiple matches for labels: many-to-one matching must be explicit "
          "(group_left/group_right)");
    }
    matched_[signature] = true;
  } else if (!inserted_[signature].insert(slot).second) {
    return execution_error(
        "multiple matches for labels: grouping labels must ensure unique matches");
  }
  if (!outcome.keep && !node_.return_bool) return true;
  if (!out_.add(slot, time_ms, outcome.value, std::move(outcome.histogram)))
    return execution_error(std::string(kSameLabels));
  return true;
}

LabelsRef BinaryEvaluator::result_labels(const Labels& many, const Labels& one) const {
  const VectorMatching& matching = *node_.matching;
  const bool drop = changes_schema(node_.op) || (node_.return_bool && !eval_.delayed());
  Labels out = drop ? without_name(many) : many;
  if (matching.card == VectorMatching::Card::one_to_one) {
    out = out.where([&](std::string_view name) {
      return (std::ranges::find(matching.labels, name) != matching.labels.end()) == matching.on;
    });
  }
  for (const std::string& label : matching.include) out = out.with(label, one.get(label));
  return std::make_shared<const Labels>(std::move(out));
}

std::optional<double> BinaryEvaluator::apply_floats(Tok op, double left, double right, bool& keep) {
  keep = true;
  switch (op) {
    case Tok::add: return left + right;
    case Tok::sub: return left - right;
    case Tok::mul: return left * right;
    case Tok::div: return left / right;
    case Tok::pow: return std::pow(left, right);
    case Tok::mod: return std::fmod(left, right);
    case Tok::atan2: return std::atan2(left, right);
    case Tok::eqlc: keep = left == right; return left;
    case Tok::neq: keep = left != right; return left;
    case Tok::gtr: keep = left > right; return left;
    case Tok::lss: keep = left < right; return left;
    case Tok::gte: keep = left >= right; return left;
    case Tok::lte: keep = left <= right; return left;
    default: return std::nullopt;
  }
}

void BinaryEvaluator::tell() {
  if (note_.text.empty()) return;
  if (note_.severity == Severity::warning) {
    eval_.notes_.warn(std::move(note_.text), node_.range.start);
  } else {
    eval_.notes_.info(std::move(note_.text), node_.range.start);
  }
  note_ = {};
}

BinaryEvaluator::Outcome BinaryEvaluator::mixed(std::string_view left, std::string_view right) {
  const std::string_view op = spelling(node_.op);
  note_ = {Severity::info,
           fmt::format("incompatible sample types encountered for binary operator \"{}\": {} {} {}",
                       op, left, op, right)};
  return {.invalid = true};
}

BinaryEvaluator::Outcome BinaryEvaluator::apply(const Operand& left, const Operand& right) {
  Outcome out;
  if (!left.histogram && !right.histogram) {
    const auto value = apply_floats(node_.op, left.value, right.value, out.keep);
    if (!value) return mixed("float", "float");
    out.value = *value;
    return out;
  }
  if (left.histogram && right.histogram) return apply_histograms(*left.histogram, *right.histogram);
  NativeHistogram result;
  if (right.histogram) {
    if (node_.op != Tok::mul) return mixed("float", "histogram");
    result = scaled(*right.histogram, left.value);
  } else {
    switch (node_.op) {
      case Tok::mul: result = scaled(*left.histogram, right.value); break;
      case Tok::div: result = divided(*left.histogram, right.value); break;
      case Tok::trim_upper: result = trimmed(*left.histogram, right.value, Keep::below); break;
      case Tok::trim_lower: result = trimmed(*left.histogram, right.value, Keep::above); break;
      default: return mixed("histogram", "float");
    }
  }
  if (node_.op == Tok::mul || node_.op == Tok::div) compact(result);
  out.histogram = std::make_shared<const NativeHistogram>(std::move(result));
  out.keep = true;
  return out;
}

BinaryEvaluator::Outcome BinaryEvaluator::apply_histograms(const NativeHistogram& left,
                                                           const NativeHistogram& right) {
  if (node_.op == Tok::eqlc || node_.op == Tok::neq) {
    const bool keep = equal(left, right) == (node_.op == Tok::eqlc);
    return {.histogram = std::make_shared<const NativeHistogram>(left), .keep = keep};
  }
  if (node_.op != Tok::add && node_.op != Tok::sub) return mixed("histogram", "histogram");
  const bool plus = node_.op == Tok::add;
  NativeHistogram result = left;
  bool reconciled = false;
  bool conflict = false;
  const bool fits = plus ? add(result, right, reconciled, &conflict)
                         : subtract(result, right, reconciled, &conflict);
  if (!fits) {
    note_ = {Severity::warning,
             fmt::format("incompatible bucket layout encountered for binary operator {}",
                         spelling(node_.op))};
    return {.invalid = true};
  }
  const std::string_view what = plus ? "addition" : "subtraction";
  if (conflict) { // as in Prometheus, the result has no element
    note_ = {Severity::warning,
             fmt::format("conflicting counter resets during histogram {}", what)};
    return {.invalid = true};
  }
  if (reconciled)
    note_ = {Severity::info,
             fmt::format("mismatched custom buckets were reconciled during {}", what)};
  if (!plus) result.hint = NativeHistogram::ResetHint::gauge;
  compact(result);
  return {.histogram = std::make_shared<const NativeHistogram>(std::move(result)), .keep = true};
}

} // namespace coalmine::promql
