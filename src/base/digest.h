// SHA-256 and HMAC, and the only place that calls the library behind them. Any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace coalmine {

// SHA-256 of what is added piece by piece. One thread.
class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;

  void add(std::string_view bytes);
  // In lower-case hex. Once; nothing may be added afterwards.
  std::string hex();

 private:
  struct Context;
  const std::unique_ptr<Context> context_;
};

// In lower-case hex.
std::string sha256_hex(std::string_view bytes);
// HMAC-SHA256 in lower-case hex.
std::string hmac_sha256_hex(std::string_view key, std::string_view message);

} // namespace coalmine
