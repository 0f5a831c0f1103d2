// HAProxy's Runtime API: a line of commands in, text out, on a Unix socket or a TCP stats socket.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace coalmine::route {

using Deadline = std::chrono::steady_clock::time_point;

// One HAProxy's admin socket. Connects anew for every line, since HAProxy closes after answering
// one. Immutable; any thread.
class RuntimeSocket {
 public:
  // "/run/haproxy/admin.sock" or "host:port" ("[::1]:9999" for IPv6). invalid_argument when it is
  // neither.
  static Result<RuntimeSocket> parse(const std::string& address);

  // Sends one line (commands separated by ';') and reads the answer to its end. unavailable when
  // nobody answers, deadline_exceeded when it takes longer, permission_denied when the socket is
  // not of level admin.
  Result<std::string> ask(std::string_view line, Deadline deadline) const;

  // Runs commands that answer nothing when they succeed, in order, with as few connections as fit.
  // All are tried; the first complaint is the error.
  Status run(const std::vector<std::string>& commands, Deadline deadline) const;

  const std::string& address() const { return address_; }

 private:
  RuntimeSocket(std::string address, std::string host, std::string port)
      : address_(std::move(address)), host_(std::move(host)), port_(std::move(port)) {}
  Result<int> connect(Deadline deadline) const;

  std::string address_;
  std::string host_; // "": a Unix socket at address_
  std::string port_;
};

// A name as it may stand in a command: no spaces, quotes, backslashes or ';', which would make two
// commands of one.
bool is_plain_word(std::string_view text);

} // namespace coalmine::route
