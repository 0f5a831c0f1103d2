// Who sends telemetry where it cannot arrive: to another port, in another protocol, without the
// token. Such a sender often logs nothing, so the server says it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/clock.h"
#include "base/guarded.h"

namespace coalmine::net {

struct MisdirectedSender {
  std::string listener; // the port it came to, by the name of the server ("otlp_grpc")
  std::string address;  // of the sender, without its port, which is another one each time
  std::string what;     // one sentence: what came, and where it belongs
  std::uint64_t count = 0;
  std::int64_t first_ms = 0; // Unix ms
  std::int64_t last_ms = 0;
};

// Any thread. Bounded: of more than kMost senders, those that came last are not kept.
class MisdirectedSenders {
 public:
  explicit MisdirectedSenders(const Clock& clock) : clock_(clock) {}

  // Logs the first time that this sender does this. peer: "127.0.0.1:53211". Quick.
  void note(std::string_view listener, std::string_view peer, std::string_view what);
  // Those of the last hour, the newest first.
  std::vector<MisdirectedSender> list() const;

  static constexpr std::size_t kMost = 200;

 private:
  const Clock& clock_;
  Guarded<std::vector<MisdirectedSender>> senders_;
};

} // namespace coalmine::net
