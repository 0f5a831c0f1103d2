// SPDX-License-Identifier: Apache-2.0
#include "promql/syntax/printer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "promql/syntax/go_text.h"
#include "promql/syntax/parser_impl.h"

namespace coalmine::promql {
namespace {

bool is_plain_label(std::string_view name) {
  if (name.empty() || (name[0] >= '0' && name[0] <= '9')) return false;
  return std::ranges::all_of(name, [](char c) {
    return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
  });
}

std::string label_list(const std::vector<std::string>& labels) {
  std::string out;
  for (const std::string& label : labels) {
    if (!out.empty()) out += ", ";
    out += label_text(label);
  }
  return out;
}

std::string print_duration(const DurationExpr& node) {
  std::string out;
  switch (node.op) {
    case Tok::step:
    case Tok::range: out = fmt::format("{}()", spelling(node.op)); break;
    case Tok::min_of:
    case Tok::max_of:
      out = fmt::format("{}({}, {})", spelling(node.op), print(*node.left), print(*node.right));
      break;
    default:
      if (node.left) {
        out = fmt::format("{} {} {}", print(*node.left), spelling(node.op), print(*node.right));
      } else {
        out = (node.op == Tok::sub ? "-" : "") + print(*node.right);
      }
  }
  return node.wrapped ? "(" + out + ")" : out;
}

std::string length_text(std::int64_t ms, const ExprPtr& expr) {
  return expr ? print(*expr) : format_prometheus_duration(ms);
}

std::string at_text(const TimeShift& shift) {
  if (shift.at_edge == TimeShift::Edge::start) return " @ start()";
  if (shift.at_edge == TimeShift::Edge::end) return " @ end()";
  return shift.at_ms ? fmt::format(" @ {:.3f}", static_cast<double>(*shift.at_ms) / 1000) : "";
}

std::string offset_text(const TimeShift& shift) {
  return shift.has_offset ? " offset " + length_text(shift.offset_ms, shift.offset_expr) : "";
}

std::string_view extended_text(const VectorSelector& node) {
  if (node.anchored) return " anchored";
  return node.smoothed ? " smoothed" : "";
}

std::string bare_selector(const VectorSelector& node) {
  constexpr std::array<std::string_view, 4> kOps = {"=", "!=", "=~", "!~"};
  std::vector<std::string> parts;
  for (const Matcher& matcher : node.matchers) {
    const bool is_name = matcher.name == kMetricName && matcher.op == Matcher::Op::equal &&
                         matcher.value == node.name;
    if (is_name && !matcher.value.empty()) continue;
    const std::string name = label_text(matcher.name);
    parts.push_back(fmt::format("{}{}{}", name, kOps[static_cast<std::size_t>(matcher.op)],
                                go_quote(matcher.value)));
  }
  std::ranges::sort(parts);
  return parts.empty() && !node.name.empty()
             ? node.name
             : fmt::format("{}{{{}}}", node.name, fmt::join(parts, ","));
}

std::string print_aggregate(const AggregateExpr& node) {
  std::string out(spelling(node.op));
  if (node.without) {
    out += " without (" + label_list(node.grouping) + ") ";
  } else if (!node.grouping.empty()) {
    out += " by (" + label_list(node.grouping) + ") ";
  }
  out += "(";
  if (node.param) out += print(*node.param) + ", ";
  return out + print(*node.inner) + ")";
}

std::string matching_text(const VectorMatching& matching) {
  std::string out;
  const bool left = matching.card == VectorMatching::Card::many_to_one;
  const bool grouped = left || matching.card == VectorMatching::Card::one_to_many;
  if (!matching.labels.empty() || matching.on || grouped)
    out += fmt::format(" {} ({})", matching.on ? "on" : "ignoring", label_list(matching.labels));
  if (grouped)
    out += fmt::format(" group_{} ({})", left ? "left" : "right", label_list(matching.include));
  if (matching.fill_left && matching.fill_right && *matching.fill_left == *matching.fill_right) {
    return out + fmt::format(" fill ({})", format_general(*matching.fill_left));
  }
  if (matching.fill_left)
    out += fmt::format(" fill_left ({})", format_general(*matching.fill_left));
  if (matching.fill_right)
    out += fmt::format(" fill_right ({})", format_general(*matching.fill_right));
  return out;
}

std::string print_number(const NumberLiteral& node) {
  if (node.is_duration) return format_prometheus_duration(seconds_to_ms(node.value));
  return format_decimal(node.value);
}

std::string print_call(const CallExpr& node) {
  std::string out(node.function->name);
  out += "(";
  for (std::size_t i = 0; i < node.args.size(); ++i)
    out += (i > 0 ? ", " : "") + print(*node.args[i]);
  return out + ")";
}

} // namespace

std::string label_text(std::string_view name) {
  return is_plain_label(name) ? std::string(name) : go_quote(name);
}

std::string print(const Expr& expr) {
  switch (expr.kind) {
    case Expr::Kind::number: return print_number(static_cast<const NumberLiteral&>(expr));
    case Expr::Kind::string: return go_quote(static_cast<const StringLiteral&>(expr).value);
    case Expr::Kind::duration: return print_duration(static_cast<const DurationExpr&>(expr));
    case Expr::Kind::paren: return "(" + print(*static_cast<const ParenExpr&>(expr).inner) + ")";
    case Expr::Kind::call: return print_call(static_cast<const CallExpr&>(expr));
    case Expr::Kind::aggregate: return print_aggregate(static_cast<const AggregateExpr&>(expr));
    case Expr::Kind::unary: {
      const auto& node = static_cast<const UnaryExpr&>(expr);
      return std::string(spelling(node.op)) + print(*node.inner);
    }
    case Expr::Kind::binary: {
      const auto& node = static_cast<const BinaryExpr&>(expr);
      return fmt::format("{} {}{}{} {}", print(*node.left), spelling(node.op),
                         node.return_bool ? " bool" : "",
                         node.matching ? matching_text(*node.matching) : "", print(*node.right));
    }
    case Expr::Kind::vector: {
      const auto& node = static_cast<const VectorSelector&>(expr);
      return fmt::format("{}{}{}{}", bare_selector(node), at_text(node.shift), extended_text(node),
                         offset_text(node.shift));
    }
    case Expr::Kind::matrix: {
      const auto& node = static_cast<const MatrixSelector&>(expr);
      return fmt::format("{}[{}]{}{}{}", bare_selector(*node.selector),
                         length_text(node.range_ms, node.range_expr), extended_text(*node.selector),
                         at_text(node.selector->shift), offset_text(node.selector->shift));
    }
    case Expr::Kind::subquery: {
      const auto& node = static_cast<const SubqueryExpr&>(expr);
      const std::string step =
          node.step_ms != 0 || node.step_expr ? length_text(node.step_ms, node.step_expr) : "";
      return fmt::format("{}[{}:{}]{}{}", print(*node.inner),
                         length_text(node.range_ms, node.range_expr), step, at_text(node.shift),
                         offset_text(node.shift));
    }
  }
  return "";
}

} // namespace coalmine::promql
