// SPDX-License-Identifier: Apache-2.0
#include "net/misdirected_senders.h"

#include <algorithm>
#include <functional>

#include "base/log.h"

namespace coalmine::net {
namespace {

constexpr std::int64_t kShownMs = 60 * 60 * 1000;
constexpr std::int64_t kKeptMs =
    24 * kShownMs; // so long it is the same sender, and not logged again

} // namespace

void MisdirectedSenders::note(std::string_view listener, std::string_view peer,
                              std::string_view what) {
  const auto address = peer.substr(0, peer.rfind(':'));
  const auto now_ms = clock_.wall_ms();
  const bool is_new = senders_.with([&](auto& senders) {
    const auto known = std::ranges::find_if(senders, [&](const MisdirectedSender& s) {
      return s.listener == listener && s.address == address && s.what == what;
    });
    if (known != senders.end()) {
      ++known->count;
      known->last_ms = now_ms;
      return false;
    }
    if (senders.size() >= kMost)
      std::erase_if(senders, [&](const auto& s) { return s.last_ms < now_ms - kKeptMs; });
    if (senders.size() >= kMost) return false;
    senders.push_back(
        {std::string(listener), std::string(address), std::string(what), 1, now_ms, now_ms});
    return true;
  });
  if (!is_new) return;
  log_warn("telemetry comes where it cannot be taken", {{"from", std::string(address)},
                                                        {"listener", std::string(listener)},
                                                        {"what", std::string(what)}});
}

std::vector<MisdirectedSender> MisdirectedSenders::list() const {
  auto out = senders_.with([](const auto& senders) { return senders; });
  const auto now_ms = clock_.wall_ms();
  std::erase_if(out, [&](const auto& s) { return s.last_ms < now_ms - kShownMs; });
  std::ranges::stable_sort(out, std::ranges::greater{}, &MisdirectedSender::last_ms);
  return out;
}

} // namespace coalmine::net
