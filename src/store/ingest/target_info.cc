// SPDX-License-Identifier: Apache-2.0
#include "store/ingest/target_info.h"

#include <algorithm>
#include <memory>

namespace coalmine::store {
namespace {

const DescriptionRef& target_info_description() {
  static const auto kText = std::make_shared<const MetricDescription>(
      MetricDescription{"", "", "The attributes of the resource that reports as this instance."});
  return kText;
}

} // namespace

void TargetInfo::see(const Resource& resource, std::int64_t time_ms) {
  if (&resource != before_) {
    before_ = &resource;
    before_ms_ = &newest_ms_.try_emplace(&resource, time_ms).first->second;
  }
  *before_ms_ = std::max(*before_ms_, time_ms);
}

void TargetInfo::put(Stage& stage) const {
  for (const auto& [resource, time_ms] : newest_ms_) {
    if (resource->target_info.empty()) continue;
    const auto hash = resource->target_info.hash();
    auto* info = stage.find(resource->target_info, hash, Source::sent, MetricKind::gauge);
    if (info == nullptr) {
      SeriesInfo what;
      what.labels = std::make_shared<const Labels>(resource->target_info);
      what.metric = target_info_description();
      info = stage.series(what, hash).value_or(nullptr);
    }
    if (info != nullptr) stage.put(info->id, FloatSample{time_ms, 0, 1});
  }
}

} // namespace coalmine::store
