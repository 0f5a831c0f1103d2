// SPDX-License-Identifier: Apache-2.0
#include "base/rfc3339.h"

#include <fmt/format.h>

#include <ctime>

namespace coalmine {

std::string rfc3339(std::int64_t unix_ms) {
  std::int64_t seconds = unix_ms / 1000;
  std::int64_t fraction = unix_ms % 1000;
  if (fraction < 0) {
    fraction += 1000;
    --seconds;
  }
  const std::time_t time = seconds;
  std::tm utc{};
  if (gmtime_r(&time, &utc) == nullptr) return "1970-01-01T00:00:00Z";
  const auto date = fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}", utc.tm_year + 1900,
                                utc.tm_mon + 1, utc.tm_mday, utc.tm_hour, utc.tm_min, utc.tm_sec);
  return fraction == 0 ? date + "Z" : fmt::format("{}.{:03}Z", date, fraction);
}

} // namespace coalmine
