// SPDX-License-Identifier: Apache-2.0
#include "config/config_promql.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace coalmine::config {

namespace {

// Whether the selector says which service it is about: by its name, or by a label that is one.
bool selects_service(const promql::VectorSelector& selector, const std::string& service) {
  static constexpr std::array<std::string_view, 4> kLabels = {"service_name", "service", "job",
                                                              "app"};
  return std::ranges::any_of(selector.matchers, [&](const Matcher& matcher) {
    const bool positive = matcher.op == Matcher::Op::equal || matcher.op == Matcher::Op::regexp;
    return positive && matcher.name != "__name__" && !matcher.value.empty() &&
           (matcher.value.find(service) != std::string::npos ||
            std::ranges::find(kLabels, matcher.name) != kLabels.end());
  });
}

} // namespace

const promql::VectorSelector* selector_of_any_service(promql::Expr& expr,
                                                      const std::string& service) {
  const auto* selector = promql::as<promql::VectorSelector>(&expr);
  if (const auto* matrix = promql::as<promql::MatrixSelector>(&expr))
    selector = matrix->selector.get();
  const bool open = selector != nullptr && !selector->allow_empty; // info() takes no part
  if (open && !selects_service(*selector, service)) return selector;
  for (const auto* child : promql::child_slots(expr)) {
    if (*child == nullptr) continue;
    if (const auto* found = selector_of_any_service(**child, service)) return found;
  }
  return nullptr;
}

namespace {

// The one name that all selectors of the expression have without this ending; "": they have others.
std::string stem_of(promql::Expr& expr, std::string_view ending) {
  if (const auto* selector = promql::as<promql::VectorSelector>(&expr)) {
    const auto& name = selector->name;
    return name.ends_with(ending) ? name.substr(0, name.size() - ending.size()) : "";
  }
  if (auto* matrix = promql::as<promql::MatrixSelector>(&expr))
    return stem_of(*matrix->selector, ending);
  std::string out;
  for (const auto* child : promql::child_slots(expr)) {
    if (*child == nullptr || promql::as<promql::NumberLiteral>(child->get()) != nullptr) continue;
    const auto found = stem_of(**child, ending);
    if (found.empty() || (!out.empty() && found != out)) return "";
    out = found;
  }
  return out;
}

} // namespace

std::string histogram_of_mean(promql::Expr& expr) {
  if (auto* binary = promql::as<promql::BinaryExpr>(&expr);
      binary != nullptr && binary->op == promql::Tok::div) {
    const auto stem = stem_of(*binary->left, "_sum");
    if (!stem.empty() && stem == stem_of(*binary->right, "_count")) return stem;
  }
  for (const auto* child : promql::child_slots(expr)) {
    if (*child == nullptr) continue;
    if (auto found = histogram_of_mean(**child); !found.empty()) return found;
  }
  return "";
}

} // namespace coalmine::config
