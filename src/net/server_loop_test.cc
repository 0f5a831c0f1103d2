#include "net/server_loop.h"

#include <gtest/gtest.h>

#include "base/self_metrics.h"

namespace coalmine::net {
namespace {

// With a tick that is always due, one is nearly always on its way when the loop ends.
TEST(ServerLoop, StopsWhateverIsDue) {
  SelfMetrics metrics;
  for (int i = 0; i < 300; ++i) {
    ServerLoop loop({.listen = *parse_endpoint("127.0.0.1:0"),
                     .tick = std::chrono::milliseconds(0),
                     .name = "busy"},
                    metrics);
    ASSERT_TRUE(loop.start([](Socket) { return nullptr; }));
    loop.stop();
  }
}

} // namespace
} // namespace coalmine::net
