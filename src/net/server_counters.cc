// SPDX-License-Identifier: Apache-2.0
#include "net/server_counters.h"

#include <string_view>

namespace coalmine::net {
namespace {

constexpr std::array<std::string_view, kRejections> kReasons = {
    "too_large", "bad_request", "wrong_protocol", "overloaded", "too_many_connections",
    "flood",     "timeout"};

} // namespace

ServerCounters::ServerCounters(SelfMetrics& metrics, const std::string& server)
    : connections_(&metrics.counter("coalmine_net_connections_total", "Connections accepted.",
                                    {{"server", server}})) {
  for (std::size_t i = 0; i < kRejections; ++i) {
    rejected_[i] = &metrics.counter("coalmine_net_rejected_total",
                                    "Connections and requests turned away by the transport.",
                                    {{"server", server}, {"reason", std::string(kReasons[i])}});
  }
  metrics.gauge(
      "coalmine_net_open_connections", "Connections open now.", {{"server", server}},
      [open = open_] { return static_cast<double>(open->load(std::memory_order_relaxed)); });
}

void ServerCounters::opened() {
  connections_->add();
  open_->fetch_add(1, std::memory_order_relaxed);
}

} // namespace coalmine::net
