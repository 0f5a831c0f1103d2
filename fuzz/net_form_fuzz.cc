// Forms, percent coding and addresses: they never crash, encoded text decodes unchanged, and
// accepted text prints to text that is accepted.
// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "base/check.h"
#include "net/http.h"
#include "net/http_server.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  using namespace coalmine::net;
  const std::string_view text(reinterpret_cast<const char*>(bytes), size);
  const auto pairs = parse_form(text);
  CHECK(pairs.size() <= size);
  const auto back = parse_form("k=" + percent_encode(text));
  CHECK(back.size() == 1 && back[0].second == text);
  if (const auto endpoint = parse_endpoint(text)) {
    const auto again = parse_endpoint(endpoint->to_string());
    CHECK(again && again->host == endpoint->host && again->port == endpoint->port);
    CHECK(again->loopback() == endpoint->loopback());
  }
  return 0;
}
