// SPDX-License-Identifier: Apache-2.0
#include "net/resolve.h"

#include <fmt/format.h>
#include <netdb.h>

#include <atomic>
#include <cstring>
#include <future>
#include <memory>
#include <thread>
#include <utility>

namespace coalmine::net {
namespace {

constexpr int kMostLookups = 32;

Result<SocketAddresses> addresses(const std::string& host, const std::string& port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_NUMERICSERV | flags;
  addrinfo* found = nullptr;
  if (const int error = ::getaddrinfo(host.c_str(), port.c_str(), &hints, &found); error != 0)
    return fail(ErrorCode::unavailable, ::gai_strerror(error));
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owned(found, &::freeaddrinfo);
  SocketAddresses out;
  for (const auto* one = found; one != nullptr; one = one->ai_next) {
    auto& address = out.emplace_back();
    address.size = one->ai_addrlen;
    std::memcpy(&address.storage, one->ai_addr, one->ai_addrlen);
  }
  return out;
}

} // namespace

Result<SocketAddresses> look_up(const std::string& host, const std::string& port) {
  return addresses(host, port, 0);
}

Result<SocketAddresses> resolve(const std::string& host, const std::string& port,
                                std::chrono::steady_clock::time_point deadline,
                                const NameLookup& lookup) {
  if (auto numeric = addresses(host, port, AI_NUMERICHOST)) return numeric;
  // Shared with the thread, which may be left behind.
  struct Lookup {
    explicit Lookup(std::shared_ptr<std::atomic<int>> counter) : running(std::move(counter)) {}
    std::shared_ptr<std::atomic<int>> running;
    std::promise<Result<SocketAddresses>> answer;
  };
  static const auto running = std::make_shared<std::atomic<int>>(0);
  if (++*running > kMostLookups) {
    --*running;
    return fail(ErrorCode::resource_exhausted,
                fmt::format("{} lookups of names have not been answered; is the name server down?",
                            kMostLookups));
  }
  const auto shared = std::make_shared<Lookup>(running);
  auto answer = shared->answer.get_future();
  std::thread([shared, host, port, lookup] {
    shared->answer.set_value(lookup(host, port));
    --*shared->running;
  }).detach();
  if (answer.wait_until(deadline) == std::future_status::ready) return answer.get();
  return fail(ErrorCode::deadline_exceeded,
              fmt::format("the name {} was not resolved in time; is the name server down?", host));
}

} // namespace coalmine::net
