// For tests of decoding: one payload in, what it decodes to or the error out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <string>
#include <string_view>
#include <utility>

#include "receive/dump_for_test.h"
#include "receive/otlp.h"
#include "receive/payload_for_test.h"
#include "receive/series_cache.h"

namespace coalmine::receive {

namespace p = payload;
inline constexpr std::int64_t kNow = 1'700'000'020'000;
inline const std::string kTrace(16, '\x11');
inline const std::string kSpan(8, '\x22');

inline Decoded decoded(Signal signal, const p::Message& message, const Limits& limits = {}) {
  const auto payload = p::to_protobuf(message);
  auto out = decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  // A cache filled by earlier payloads changes nothing.
  SeriesCache cache;
  for (int pass = 0; pass < 3 && out; ++pass) {
    const auto again =
        decode(signal, Encoding::protobuf, payload, "10.1.2.3", kNow, limits, &cache);
    EXPECT_TRUE(again);
    if (again) {
      EXPECT_EQ(dump(*again), dump(*out)) << "pass " << pass;
    }
  }
  return out ? std::move(*out) : Decoded{};
}

inline Decoded from_json(Signal signal, std::string_view text, const Limits& limits = {}) {
  auto out = decode(signal, Encoding::json, text, "10.1.2.3", kNow, limits);
  EXPECT_TRUE(out) << (out ? "" : out.error().message);
  return out ? std::move(*out) : Decoded{};
}

inline std::string error_of(Signal signal, Encoding encoding, std::string_view payload) {
  auto out = decode(signal, encoding, payload, "10.1.2.3", kNow, {});
  EXPECT_FALSE(out);
  if (out) return "";
  EXPECT_EQ(out.error().code, ErrorCode::invalid_argument);
  return out.error().message;
}

} // namespace coalmine::receive
