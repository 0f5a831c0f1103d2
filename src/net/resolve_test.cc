// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <gtest/gtest.h>

#include <memory>

#include "base/hang_for_test.h"

namespace coalmine::net {
namespace {

std::chrono::steady_clock::time_point in(std::chrono::milliseconds wait) {
  return std::chrono::steady_clock::now() + wait;
}

TEST(Resolve, ANumberNeedsNoNameServer) {
  const NameLookup never = [](const std::string&, const std::string&) -> Result<SocketAddresses> {
    ADD_FAILURE() << "a number was looked up";
    return SocketAddresses{};
  };
  for (const char* host : {"127.0.0.1", "::1"}) {
    const auto found = resolve(host, "9999", in(std::chrono::milliseconds(0)), never);
    ASSERT_TRUE(found) << found.error().message;
    EXPECT_EQ(found->size(), 1u);
  }
}

TEST(Resolve, ANameServerThatHangsIsGivenUp) {
  const auto hang = std::make_shared<Hang>();
  const NameLookup hangs = [hang](const std::string&,
                                  const std::string&) -> Result<SocketAddresses> {
    hang->wait();
    return SocketAddresses{};
  };
  const auto found = resolve("router.example", "9999", in(std::chrono::milliseconds(20)), hangs);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().code, ErrorCode::deadline_exceeded);
  EXPECT_NE(found.error().message.find("router.example was not resolved in time"),
            std::string::npos)
      << found.error().message;
  hang->let_go();
}

TEST(Resolve, TheAnswerOfTheNameServerIsTaken) {
  const NameLookup refuses = [](const std::string&, const std::string&) -> Result<SocketAddresses> {
    return fail(ErrorCode::unavailable, "Name or service not known");
  };
  const auto found = resolve("router.example", "9999", in(std::chrono::seconds(20)), refuses);
  ASSERT_FALSE(found);
  EXPECT_EQ(found.error().message, "Name or service not known");
}

} // namespace
} // namespace coalmine::net
