// SPDX-License-Identifier: Apache-2.0
#include "datasource/series_names.h"

#include <algorithm>
#include <array>
#include <set>
#include <utility>

#include "base/text.h"

namespace coalmine::datasource {
namespace {

using Family = CountedName::Family;
using Part = CountedName::Part;

struct FamilyNames {
  Family family;
  const std::vector<std::string> SeriesNames::* names;
  bool histogram;
};
constexpr std::array kFamilies = {
    FamilyNames{Family::requests, &SeriesNames::requests, false},
    FamilyNames{Family::errors, &SeriesNames::errors, false},
    FamilyNames{Family::duration, &SeriesNames::durations, true},
    FamilyNames{Family::span_requests, &SeriesNames::span_requests, false},
    FamilyNames{Family::span_duration, &SeriesNames::span_durations, true}};

struct PartSuffix {
  Part part;
  std::string_view suffix;
};
constexpr std::array kHistogramParts = {
    PartSuffix{Part::whole, ""}, PartSuffix{Part::bucket, "_bucket"},
    PartSuffix{Part::count, "_count"}, PartSuffix{Part::sum, "_sum"}};

} // namespace

SeriesNames ratio_names(std::string total, std::string part, SeriesNames labels) {
  labels.requests = {std::move(total)};
  labels.errors = {std::move(part)};
  labels.durations.clear();
  labels.span_requests.clear();
  labels.span_durations.clear();
  labels.status_labels.clear();
  return labels;
}

std::string plain_name(std::string_view name) {
  std::string out(name);
  for (auto& c : out) {
    const bool keep = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                      c == '_' || c == ':';
    if (!keep) c = '_';
  }
  return out;
}

Labels with_plain_names(const Labels& labels) {
  std::vector<Labels::Pair> plain;
  bool changed = false;
  for (const auto [name, value] : labels) {
    if (name == kMetricName) {
      plain.emplace_back(std::string(name), plain_name(value));
      changed = changed || plain.back().second != value;
      continue;
    }
    auto own = plain_name(name);
    if (own == name) {
      plain.emplace_back(std::move(own), std::string(value));
      continue;
    }
    changed = true;
    if (!labels.has(own)) plain.emplace_back(std::move(own), std::string(value));
  }
  return changed ? Labels(std::move(plain)) : labels;
}

std::string metric_pattern(const SeriesNames& names) {
  std::set<std::string> all;
  for (const auto& [family, list, histogram] : kFamilies) {
    for (const auto& name : names.*list) {
      for (const auto& spelling : {name, plain_name(name)}) {
        for (const auto& [part, suffix] : kHistogramParts) {
          if (histogram || part == Part::whole)
            all.insert(regexp_of(spelling + std::string(suffix)));
        }
      }
    }
  }
  std::string out;
  for (const auto& one : all) out += (out.empty() ? "" : "|") + one;
  return out;
}

std::optional<CountedName> counted_name(std::string_view plain, const SeriesNames& names) {
  for (const auto& [family, list, histogram] : kFamilies) {
    for (std::size_t rank = 0; rank < (names.*list).size(); ++rank) {
      auto base = plain_name((names.*list)[rank]);
      if (!plain.starts_with(base)) continue;
      const auto rest = plain.substr(base.size());
      for (const auto& [part, suffix] : kHistogramParts) {
        if (rest != suffix || (!histogram && part != Part::whole)) continue;
        return CountedName{family, part, rank, std::move(base)};
      }
    }
  }
  return std::nullopt;
}

} // namespace coalmine::datasource
