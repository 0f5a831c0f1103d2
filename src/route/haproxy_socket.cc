// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_socket.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <memory>
#include <utility>

#include "base/text.h"
#include "net/resolve.h"

namespace coalmine::route {
namespace {

// Far above `show stat` of a thousand servers; a peer that is no HAProxy may send for ever.
constexpr std::size_t kMaxAnswer = 8u << 20;
// HAProxy refuses lines beyond its buffer (16 KiB by default).
constexpr std::size_t kMaxLine = 4096;

class Socket {
 public:
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&&) = delete;
  ~Socket() {
    if (fd_ >= 0) ::close(fd_);
  }
  int fd() const { return fd_; }
  int release() { return std::exchange(fd_, -1); }

 private:
  int fd_;
};

std::string errno_text(int error) { return std::generic_category().message(error); }

std::unexpected<Error> unreachable(const std::string& address, const std::string& why) {
  return fail(
      ErrorCode::unavailable,
      fmt::format(
          "HAProxy does not answer on {}: {}; is it running, with \"stats socket {} level admin\" "
          "in its global section?",
          address, why, address));
}

// The system's own reason, and what to do about it.
std::unexpected<Error> unreachable(const std::string& address, int error) {
  if (error != EACCES) return unreachable(address, errno_text(error));
  return fail(ErrorCode::unavailable,
              fmt::format("this user may not use HAProxy's socket {}: Permission denied; add the "
                          "user that runs coalmine to the socket's group (haproxy on Debian; it "
                          "counts from the next login or restart on)",
                          address));
}

std::unexpected<Error> too_slow(const std::string& address) {
  return fail(ErrorCode::deadline_exceeded,
              fmt::format("HAProxy on {} did not answer in time", address));
}

// Waits until fd is ready for events; false at the deadline.
bool wait_for(int fd, short events, Deadline deadline) {
  for (;;) {
    const auto left =
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now())
            .count();
    pollfd entry{fd, events, 0};
    const int ready =
        ::poll(&entry, 1, static_cast<int>(std::clamp<std::int64_t>(left, 0, 60'000)));
    if (ready > 0) return true;
    if (ready == 0 && left <= 0) return false;
    if (ready < 0 && errno != EINTR) return false;
  }
}

Result<int> connect_to(const std::string& address, const sockaddr* target, socklen_t size,
                       Deadline deadline) {
  Socket socket(::socket(target->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (socket.fd() < 0) return unreachable(address, errno);
  if (::connect(socket.fd(), target, size) != 0) {
    // EAGAIN of a Unix socket: its backlog is full.
    if (errno != EINPROGRESS) return unreachable(address, errno);
    if (!wait_for(socket.fd(), POLLOUT, deadline)) return too_slow(address);
    int error = 0;
    socklen_t length = sizeof(error);
    ::getsockopt(socket.fd(), SOL_SOCKET, SO_ERROR, &error, &length);
    if (error != 0) return unreachable(address, error);
  }
  return socket.release();
}

} // namespace

bool is_plain_word(std::string_view text) {
  return !text.empty() && text.size() <= 512 && std::ranges::all_of(text, [](char c) {
    return static_cast<unsigned char>(c) > 0x20 && c != 0x7f && c != ';' && c != '\\' && c != '"' &&
           c != '\'' && c != '<';
  });
}

Result<RuntimeSocket> RuntimeSocket::parse(const std::string& address) {
  if (address.empty())
    return fail(ErrorCode::invalid_argument, "HAProxy's socket is empty; give a path or host:port");
  if (address.find('/') != std::string::npos) {
    if (address.size() >= sizeof(sockaddr_un::sun_path)) {
      return fail(
          ErrorCode::invalid_argument,
          fmt::format(
              "HAProxy's socket path {} is longer than the {} bytes that a Unix socket may have",
              address, sizeof(sockaddr_un::sun_path) - 1));
    }
    return RuntimeSocket(address, "", "");
  }
  const auto colon = address.rfind(':');
  const bool digits = colon != std::string::npos && colon + 1 < address.size() &&
                      address.size() - colon <= 6 &&
                      std::all_of(address.begin() + static_cast<std::ptrdiff_t>(colon) + 1,
                                  address.end(), [](char c) { return c >= '0' && c <= '9'; });
  if (!digits) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("HAProxy's socket \"{}\" is neither a path (/run/haproxy/admin.sock) "
                            "nor host:port (127.0.0.1:9999)",
                            address));
  }
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  if (host.empty()) host = "127.0.0.1";
  return RuntimeSocket(address, host, address.substr(colon + 1));
}

Result<int> RuntimeSocket::connect(Deadline deadline) const {
  if (host_.empty()) {
    sockaddr_un target{};
    target.sun_family = AF_UNIX;
    std::memcpy(target.sun_path, address_.data(), address_.size());
    return connect_to(address_, reinterpret_cast<const sockaddr*>(&target), sizeof(target),
                      deadline);
  }
  const auto found = net::resolve(host_, port_, deadline);
  if (!found) return unreachable(address_, found.error().message);
  Result<int> last = unreachable(address_, "no address");
  for (const auto& one : *found) {
    last = connect_to(address_, one.get(), one.size, deadline);
    if (last) return last;
  }
  return last;
}

Result<std::string> RuntimeSocket::ask(std::string_view line, Deadline deadline) const {
  TRY_ASSIGN(const int fd, connect(deadline));
  const Socket socket(fd);
  // What was asked too long ago (a name took its time) must not take effect now.
  if (std::chrono::steady_clock::now() >= deadline) return too_slow(address_);
  std::string request(line);
  request += '\n';
  for (std::size_t sent = 0; sent < request.size();) {
    const auto n = ::send(socket.fd(), request.data() + sent, request.size() - sent, MSG_NOSIGNAL);
    if (n >= 0) {
      sent += static_cast<std::size_t>(n);
    } else if (errno == EAGAIN) {
      if (!wait_for(socket.fd(), POLLOUT, deadline)) return too_slow(address_);
    } else if (errno != EINTR) {
      return unreachable(address_, errno_text(errno));
    }
  }
  std::string answer;
  char buffer[16384];
  for (;;) {
    const auto n = ::recv(socket.fd(), buffer, sizeof(buffer), 0);
    if (n == 0) break;
    if (n > 0) {
      answer.append(buffer, static_cast<std::size_t>(n));
      if (answer.size() > kMaxAnswer) {
        return fail(ErrorCode::resource_exhausted,
                    fmt::format("the answer of {} is longer than {} MiB; is it HAProxy?", address_,
                                kMaxAnswer >> 20));
      }
    } else if (errno == EAGAIN) {
      if (!wait_for(socket.fd(), POLLIN, deadline)) return too_slow(address_);
    } else if (errno != EINTR) {
      return unreachable(address_, errno_text(errno));
    }
  }
  if (answer.empty()) return unreachable(address_, "it closed the connection without an answer");
  if (answer.find("Permission denied") != std::string::npos) {
    return fail(
        ErrorCode::permission_denied,
        fmt::format(
            "HAProxy on {} refuses: Permission denied; its stats socket needs \"level admin\"",
            address_));
  }
  return answer;
}

Status RuntimeSocket::run(const std::vector<std::string>& commands, Deadline deadline) const {
  std::string complaint;
  for (std::size_t i = 0; i < commands.size();) {
    std::string line = commands[i++];
    while (i < commands.size() && line.size() + commands[i].size() + 2 <= kMaxLine)
      line += "; " + commands[i++];
    TRY_ASSIGN(const auto answer, ask(line, deadline));
    if (const auto text = trimmed(answer); !text.empty() && complaint.empty()) {
      // The first line says it; an unknown command is followed by pages of help.
      complaint = fmt::format("HAProxy on {} answers \"{}\" to \"{}\"", address_,
                              text.substr(0, text.find('\n')), line);
    }
  }
  if (!complaint.empty()) return fail(ErrorCode::failed_precondition, complaint);
  return {};
}

} // namespace coalmine::route
