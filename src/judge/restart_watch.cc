// SPDX-License-Identifier: Apache-2.0
#include "judge/restart_watch.h"

#include <map>

namespace coalmine::judge {

void RestartWatch::add(const CountCell& cell) {
  for (const auto& one : cell.instances) {
    if (one.restarts > 0) restarts_.push_back({cell.to_ms, one.track, one.instance, one.restarts});
  }
  while (!restarts_.empty() && restarts_.front().at_ms <= cell.to_ms - kWindowMs)
    restarts_.pop_front();
}

RestartWatch::Most RestartWatch::most(Track track) const {
  std::map<std::string, std::uint32_t> all;
  for (const auto& restart : restarts_) {
    if (restart.track == track) all[restart.instance] += restart.times;
  }
  Most out;
  for (const auto& [instance, times] : all) {
    if (times > out.restarts) out = {instance, times};
  }
  return out;
}

} // namespace coalmine::judge
