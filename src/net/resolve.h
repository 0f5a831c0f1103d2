// Addresses of a name, within a deadline.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sys/socket.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "base/result.h"

namespace coalmine::net {

struct SocketAddress {
  sockaddr_storage storage{};
  socklen_t size = 0;
  const sockaddr* get() const { return reinterpret_cast<const sockaddr*>(&storage); }
};
using SocketAddresses = std::vector<SocketAddress>;

// May take as long as it likes; called on a thread of its own, which may outlive the caller.
using NameLookup =
    std::function<Result<SocketAddresses>(const std::string& host, const std::string& port)>;

// The system's resolver, which has no deadline: getaddrinfo.
Result<SocketAddresses> look_up(const std::string& host, const std::string& port);

// Stream addresses of a host name or numeric address and a numeric port. Any thread. A number is
// read at once. deadline_exceeded when no answer comes in time: the lookup is left behind.
// resource_exhausted when many lookups were left behind and have not ended.
Result<SocketAddresses> resolve(const std::string& host, const std::string& port,
                                std::chrono::steady_clock::time_point deadline,
                                const NameLookup& lookup = look_up);

} // namespace coalmine::net
