// The block `failures`: which HTTP statuses count as errors.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"
#include "config/config_parts.h"

namespace coalmine::config {
namespace {

constexpr std::string_view kStatusAttribute = "http.response.status_code";
constexpr StatusRange kErrors = {500, 599};

// entry = [ "http.response.status_code in" ] status { "," status }     status = 429 | 420-429 | 4xx
std::optional<std::vector<StatusRange>> parse_statuses(std::string_view text) {
  text = trimmed(text, " \t");
  if (text.starts_with(kStatusAttribute)) {
    text = trimmed(text.substr(kStatusAttribute.size()), " \t");
    if (!text.starts_with("in ")) return std::nullopt;
    text.remove_prefix(3);
  }
  std::vector<StatusRange> out;
  for (bool more = true; more;) {
    const auto comma = std::min(text.find(','), text.size());
    const auto range = parse_status_range(trimmed(text.substr(0, comma), " \t"));
    if (!range) return std::nullopt;
    out.push_back(*range);
    more = comma < text.size();
    text.remove_prefix(std::min(comma + 1, text.size()));
  }
  return out;
}

// In order, and without overlaps, so that a class is one range.
void tidy(std::vector<StatusRange>& ranges) {
  std::ranges::sort(ranges, {}, &StatusRange::first);
  std::vector<StatusRange> out;
  for (const auto& range : ranges) {
    if (out.empty() || range.first > out.back().last + 1) {
      out.push_back(range);
    } else {
      out.back().last = std::max(out.back().last, range.last);
    }
  }
  ranges = std::move(out);
}

std::vector<StatusRange> read_statuses(const ConfigContext& context, const YAML::Node& node,
                                       std::string_view what) {
  auto& yaml = context.yaml;
  const bool also = what == "also";
  std::vector<StatusRange> out;
  const auto read = [&](const YAML::Node& item) {
    const auto text = yaml.text(item, what);
    if (!text) return;
    const auto ranges = parse_statuses(*text);
    if (!ranges) {
      yaml.error(item, fmt::format("{}: \"{}\" names no HTTP status", what, *text),
                 fmt::format("write for example \"{} in {}\"; nothing but the HTTP status can be "
                             "named: codes, ranges like {} and classes like {}",
                             kStatusAttribute, also ? "429,499" : "501,505",
                             also ? "420-429" : "501-505", also ? "4xx" : "5xx"));
      return;
    }
    for (const auto& range : *ranges) {
      const bool within = range.first >= kErrors.first && range.last <= kErrors.last;
      const bool apart = range.last < kErrors.first || range.first > kErrors.last;
      if (also && !apart) {
        yaml.error(item,
                   fmt::format("also: 5xx counts as an error anyway, and {} names such statuses",
                               to_text(range)),
                   "name only statuses below 500");
      } else if (!also && !within) {
        yaml.error(
            item,
            fmt::format("except: {} names statuses that are no errors anyway", to_text(range)),
            "name only statuses of 5xx");
      } else {
        out.push_back(range);
      }
    }
  };
  if (node.IsScalar()) {
    read(node);
  } else {
    yaml.items(node, what, read);
  }
  tidy(out);
  return out;
}

} // namespace

void read_failures(const ConfigContext& context, const YAML::Node& node,
                   rollout::RolloutSpec& spec) {
  auto& rule = spec.failures;
  context.yaml.map(
      node, "failures",
      {{"also", [&](const YAML::Node& v) { rule.also = read_statuses(context, v, "also"); }},
       {"except",
        [&](const YAML::Node& v) { rule.except = read_statuses(context, v, "except"); }}});
}

} // namespace coalmine::config
