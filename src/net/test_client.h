// A raw TCP client for the server tests: bytes out, bytes in, everything with a deadline.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "net/http_server.h"

namespace coalmine::net::test {

inline constexpr std::chrono::seconds kPatience{10};

// Single thread.
class RawClient {
 public:
  explicit RawClient(const Endpoint& endpoint, int receive_buffer = 0)
      : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
    if (receive_buffer > 0)
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer, sizeof(receive_buffer));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(endpoint.port);
    inet_pton(AF_INET, endpoint.host.c_str(), &address.sin_addr);
    connected_ = ::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0;
  }
  RawClient(RawClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)),
        connected_(other.connected_),
        in_(std::move(other.in_)) {}
  ~RawClient() { close(); }

  bool connected() const { return connected_; }
  int fd() const { return fd_; }
  void close() {
    if (fd_ >= 0) ::close(std::exchange(fd_, -1));
  }
  void shutdown_send() { ::shutdown(fd_, SHUT_WR); }

  // False when the server has closed.
  bool send(std::string_view bytes) {
    while (!bytes.empty()) {
      const auto size = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (size <= 0) return false;
      bytes.remove_prefix(static_cast<std::size_t>(size));
    }
    return true;
  }

  // Some bytes, "" at the end of the connection or when patience runs out.
  std::string receive(std::chrono::milliseconds patience = kPatience) {
    pollfd waiting{fd_, POLLIN, 0};
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) {
      timed_out_ = true;
      return {};
    }
    std::string buffer(64u << 10, '\0');
    const auto size = ::recv(fd_, buffer.data(), buffer.size(), 0);
    buffer.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
    return buffer;
  }
  bool timed_out() const { return timed_out_; }

  // Everything until the text has been seen (or the end); what lies behind it stays for the next
  // call.
  std::string read_until(std::string_view text) {
    for (;;) {
      if (const auto at = in_.find(text); at != std::string::npos) return take(at + text.size());
      const auto more = receive();
      if (more.empty()) return take(in_.size());
      in_ += more;
    }
  }
  std::string read_exactly(std::size_t size) {
    while (in_.size() < size) {
      const auto more = receive();
      if (more.empty()) break;
      in_ += more;
    }
    return take(std::min(size, in_.size()));
  }
  std::string read_to_end() {
    for (std::string more = receive(); !more.empty(); more = receive()) in_ += more;
    return take(in_.size());
  }

  // One answer with a Content-Length: head and body.
  std::pair<std::string, std::string> read_answer() {
    const auto head = read_until("\r\n\r\n");
    const auto at = head.find("Content-Length: ");
    return {head, at == std::string::npos ? "" : read_exactly(std::stoul(head.substr(at + 16)))};
  }

 private:
  std::string take(std::size_t size) {
    auto out = in_.substr(0, size);
    in_.erase(0, size);
    return out;
  }

  int fd_;
  bool connected_ = false;
  bool timed_out_ = false;
  std::string in_;
};

// Waits, with a deadline, until the condition holds.
inline bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    ::poll(nullptr, 0, 2);
  }
  return true;
}

} // namespace coalmine::net::test
