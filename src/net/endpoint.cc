// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <dirent.h>
#include <netinet/in.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <memory>
#include <optional>
#include <sstream>

#include <fmt/format.h>

#include "net/http_server.h"
#include "net/percent.h"

namespace coalmine::net {
namespace {

constexpr std::string_view kForms =
    "write PORT, :PORT, HOST:PORT or [IPV6]:PORT, such as :7070 or 0.0.0.0:4317";

using Address = std::array<unsigned char, 16>; // IPv4 as ::ffff:a.b.c.d

std::optional<Address> numeric_address(const std::string& host) {
  Address address{};
  if (inet_pton(AF_INET6, host.c_str(), address.data()) == 1) return address;
  address = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
  if (inet_pton(AF_INET, host.c_str(), address.data() + 12) == 1) return address;
  return std::nullopt;
}

bool is_v4(const Address& a) {
  return std::all_of(a.begin(), a.begin() + 10, [](unsigned char b) { return b == 0; }) &&
         a[10] == 0xff && a[11] == 0xff;
}

bool is_any(const Address& a) {
  return std::all_of(a.begin() + (is_v4(a) ? 12 : 0), a.end(),
                     [](unsigned char b) { return b == 0; });
}

bool host_name(std::string_view host) {
  const bool known = std::all_of(host.begin(), host.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_';
  });
  const bool only_digits = host.find_first_not_of("0123456789.") == std::string_view::npos;
  return known && !only_digits && !host.empty() && host.size() <= 253;
}

Status check_host(std::string_view whole, const std::string& host, bool brackets) {
  const bool colons = host.find(':') != std::string::npos;
  const bool number = numeric_address(host).has_value();
  if (colons && !brackets) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("'{}' is not an address: an IPv6 host stands in brackets, such as [::1]:7070",
                    whole));
  }
  if (brackets ? colons && number : number || host_name(host)) return {};
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("'{}' is not an address: the host '{}' is not valid; {}", whole, host, kForms));
}

// /proc/net/tcp: sl local_address rem_address st … inode; addresses as hex of 32-bit words in host
// order, state 0A is LISTEN.
struct Listening {
  Address address{};
  std::uint16_t port = 0;
  std::string inode;
};

std::optional<Listening> parse_listening(const std::string& line) {
  std::istringstream words(line);
  std::array<std::string, 10> word;
  for (auto& w : word) {
    if (!(words >> w)) return std::nullopt;
  }
  const auto& local = word[1];
  const auto colon = local.find(':');
  if (word[3] != "0A" || (colon != 8 && colon != 32)) return std::nullopt;
  Listening found;
  found.inode = word[9];
  if (colon == 8) found.address[10] = found.address[11] = 0xff;
  for (std::size_t i = 0; i < colon / 8; ++i) {
    const auto value =
        static_cast<std::uint32_t>(std::strtoul(local.substr(i * 8, 8).c_str(), nullptr, 16));
    std::memcpy(found.address.data() + (colon == 8 ? 12 : 4 * i), &value, 4);
  }
  found.port = static_cast<std::uint16_t>(std::strtoul(local.c_str() + colon + 1, nullptr, 16));
  return found;
}

bool collides(const Listening& other, const std::optional<Address>& wanted, std::uint16_t port) {
  return other.port == port &&
         (!wanted || is_any(*wanted) || is_any(other.address) || other.address == *wanted);
}

using Directory = std::unique_ptr<DIR, decltype([](DIR* d) { closedir(d); })>;

bool holds_socket(const std::string& pid, const std::string& link) {
  const auto folder = "/proc/" + pid + "/fd";
  const Directory fds(opendir(folder.c_str()));
  if (!fds) return false;
  while (const auto* entry = readdir(fds.get())) {
    std::array<char, 64> target{};
    const auto size =
        readlink((folder + "/" + entry->d_name).c_str(), target.data(), target.size());
    if (size > 0 && std::string_view(target.data(), static_cast<std::size_t>(size)) == link)
      return true;
  }
  return false;
}

// The process that has the socket open. "" when it belongs to another user, whose descriptors we
// may not read.
std::string process_of_socket(const std::string& inode) {
  const Directory processes(opendir("/proc"));
  if (!processes) return {};
  while (const auto* entry = readdir(processes.get())) {
    const std::string pid = entry->d_name;
    if (pid.find_first_not_of("0123456789") != std::string::npos ||
        !holds_socket(pid, "socket:[" + inode + "]"))
      continue;
    std::string name;
    std::getline(std::ifstream("/proc/" + pid + "/comm"), name);
    return fmt::format("{} (pid {})", name.empty() ? "a process" : name, pid);
  }
  return {};
}

} // namespace

bool Endpoint::loopback() const {
  if (same_text(host, "localhost")) return true;
  const auto address = numeric_address(host);
  if (!address) return false;
  if (is_v4(*address)) return (*address)[12] == 127;
  Address one{};
  one[15] = 1;
  return *address == one;
}

std::string Endpoint::to_string() const {
  return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                             : fmt::format("[{}]:{}", host, port);
}

Result<Endpoint> parse_endpoint(std::string_view text) {
  if (text.empty())
    return fail(ErrorCode::invalid_argument, fmt::format("an address is empty; {}", kForms));
  if (const auto scheme = text.find("://"); scheme != std::string_view::npos) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("'{}' is a URL, not an address to listen on: leave '{}' out; {}", text,
                            text.substr(0, scheme + 3), kForms));
  }
  const auto colon = text.rfind(':');
  const auto port_text = colon == std::string_view::npos ? text : text.substr(colon + 1);
  unsigned port = 0;
  const auto parsed = std::from_chars(port_text.data(), port_text.data() + port_text.size(), port);
  if (port_text.empty() || parsed.ec != std::errc{} ||
      parsed.ptr != port_text.data() + port_text.size() || port > 65535) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("'{}' is not an address: the port '{}' is not a number from 0 to 65535; {}",
                    text, port_text, kForms));
  }
  Endpoint endpoint;
  endpoint.port = static_cast<std::uint16_t>(port);
  if (colon == std::string_view::npos || colon == 0) return endpoint;
  auto host = text.substr(0, colon);
  const bool brackets = host.size() > 1 && host.front() == '[' && host.back() == ']';
  if (brackets) host = host.substr(1, host.size() - 2);
  endpoint.host = std::string(host);
  if (endpoint.host.find('\0') != std::string::npos) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("an address has a zero byte in it; {}", kForms));
  }
  TRY(check_host(text, endpoint.host, brackets));
  return endpoint;
}

std::string describe_port_holder(const Endpoint& endpoint) {
  const auto wanted =
      numeric_address(same_text(endpoint.host, "localhost") ? "127.0.0.1" : endpoint.host);
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ifstream table(file);
    for (std::string line; std::getline(table, line);) {
      const auto other = parse_listening(line);
      if (!other || !collides(*other, wanted, endpoint.port)) continue;
      const auto process = process_of_socket(other->inode);
      return process.empty() ? "in use by a process of another user" : "in use by " + process;
    }
  }
  return "in use by a process that /proc does not show";
}

} // namespace coalmine::net
