// A server's counters about its connections, on /metrics as coalmine_net_*.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <memory>
#include <string>

#include "base/self_metrics.h"

namespace coalmine::net {

// Why a connection or a request was turned away before any handler saw it.
enum class Rejection {
  too_large,
  bad_request,
  wrong_protocol,
  overloaded,
  too_many_connections,
  flood,
  timeout
};
inline constexpr std::size_t kRejections = 7;

// Any thread. The counters belong to the SelfMetrics given, which must outlive every use; the
// gauge's number outlives both.
class ServerCounters {
 public:
  ServerCounters(SelfMetrics& metrics, const std::string& server);

  void opened();
  void closed() { open_->fetch_sub(1, std::memory_order_relaxed); }
  void rejected(Rejection reason) { rejected_[static_cast<std::size_t>(reason)]->add(); }
  std::size_t open() const { return open_->load(std::memory_order_relaxed); }

 private:
  std::shared_ptr<std::atomic<std::size_t>> open_ = std::make_shared<std::atomic<std::size_t>>(0);
  Counter* connections_;
  std::array<Counter*, kRejections> rejected_{};
};

} // namespace coalmine::net
