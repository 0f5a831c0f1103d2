// SPDX-License-Identifier: Apache-2.0
#include "notify/webhook.h"

#include <gtest/gtest.h>

namespace coalmine::notify {
namespace {

TEST(HmacTest, KnownAnswer) { // RFC 4231, test case 2
  EXPECT_EQ(hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

} // namespace
} // namespace coalmine::notify
