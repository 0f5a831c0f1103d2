// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_discovery.h"

#include <gtest/gtest.h>
#include <poll.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstring>
#include <filesystem>
#include <map>
#include <thread>

namespace coalmine::route {
namespace {

constexpr std::string_view kState =
    "1\n# be_id be_name srv_id srv_name srv_addr srv_op_state\n"
    "3 checkout 1 stable1 127.0.0.1 2\n3 checkout 2 stable2 127.0.0.1 2\n3 checkout 3 canary1 "
    "127.0.0.1 2\n3 checkout 4 spare "
    "127.0.0.1 2\n\n";

HaproxyOptions patterns() {
  HaproxyOptions options;
  options.backend = "checkout";
  options.stable_servers = {"stable*"};
  options.canary_servers = {"canary*"};
  return options;
}

// HAProxy's admin socket as far as these tests go: one command a connection, answers by the
// command.
class FakeHaproxy {
 public:
  FakeHaproxy()
      : path_(std::filesystem::temp_directory_path() /
              ("coalmine-haproxy-" + std::to_string(::getpid()) + ".sock")) {
    std::filesystem::remove(path_);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, path_.c_str(), sizeof(address.sun_path) - 1);
    listener_ = ::socket(AF_UNIX, SOCK_STREAM, 0);
    EXPECT_EQ(::bind(listener_, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
    EXPECT_EQ(::listen(listener_, 8), 0);
    thread_ = std::thread([this] { run(); });
  }
  ~FakeHaproxy() {
    stop_ = true;
    thread_.join();
    ::close(listener_);
    std::filesystem::remove(path_);
  }
  std::string path() const { return path_.string(); }
  int questions() const { return questions_; }

 private:
  void run() {
    while (!stop_) {
      pollfd waiting{listener_, POLLIN, 0};
      if (::poll(&waiting, 1, 20) != 1) continue;
      const int client = ::accept(listener_, nullptr, nullptr);
      char buffer[512];
      const auto size = ::recv(client, buffer, sizeof(buffer), 0);
      const std::string command(buffer, size > 0 ? static_cast<std::size_t>(size) : 0);
      ++questions_;
      const std::string answer = command == "show servers state checkout\n"
                                     ? std::string(kState)
                                     : "Can't find backend.\n\n";
      ::send(client, answer.data(), answer.size(), MSG_NOSIGNAL);
      ::close(client);
    }
  }
  std::filesystem::path path_;
  int listener_ = -1;
  std::atomic<bool> stop_{false};
  std::atomic<int> questions_{0};
  std::thread thread_;
};

TEST(HaproxyServers, ReadsTheNames) {
  const auto names = parse_server_names(kState);
  ASSERT_TRUE(names);
  EXPECT_EQ(*names, (std::vector<std::string>{"stable1", "stable2", "canary1", "spare"}));
  EXPECT_EQ(parse_server_names("Can't find backend.\n\n").error().message,
            "HAProxy does not list the servers: Can't find backend.");
  EXPECT_FALSE(parse_server_names(""));
}

TEST(HaproxyServers, PatternsBecomeNames) {
  const auto resolved = resolve_servers(patterns(), {"stable1", "stable2", "canary1", "spare"});
  ASSERT_TRUE(resolved);
  EXPECT_EQ(resolved->stable_servers, (std::vector<std::string>{"stable1", "stable2"}));
  EXPECT_EQ(resolved->canary_servers, (std::vector<std::string>{"canary1"}));
}

TEST(HaproxyServers, NothingFoundSaysWhatThereIs) {
  const auto resolved = resolve_servers(patterns(), {"app1", "app2"});
  ASSERT_FALSE(resolved);
  EXPECT_EQ(resolved.error().code, ErrorCode::failed_precondition);
  EXPECT_NE(resolved.error().message.find("has no server stable* (it has: app1, app2)"),
            std::string::npos);
}

TEST(HaproxyServers, AServerIsOnOneSide) {
  auto options = patterns();
  options.canary_servers = {"stable2"};
  EXPECT_FALSE(resolve_servers(options, {"stable1", "stable2"}));
}

TEST(HaproxyServers, UnreachableIsUnavailableAndSaysWhere) {
  auto options = patterns();
  for (const auto* socket : {"/no/such.sock", "127.0.0.1:1"}) {
    options.socket = socket;
    const auto router = make_router(options);
    ASSERT_TRUE(router);
    const auto applied = (*router)->panic();
    ASSERT_FALSE(applied);
    EXPECT_EQ(applied.error().code, ErrorCode::unavailable);
    EXPECT_NE(applied.error().message.find(socket), std::string::npos);
  }
}

TEST(HaproxyServers, AnUnknownBackendIsToldInHaproxysWords) {
  FakeHaproxy haproxy;
  auto options = patterns();
  options.socket = haproxy.path();
  options.backend = "nope";
  const auto router = make_router(options);
  ASSERT_TRUE(router);
  EXPECT_EQ((*router)->describe(), "haproxy " + haproxy.path() + " nope");
  const auto applied = (*router)->set({0.05});
  ASSERT_FALSE(applied);
  EXPECT_NE(applied.error().message.find("Can't find backend."), std::string::npos);
  EXPECT_EQ(haproxy.questions(), 1);
}

TEST(HaproxyServers, ObserveNeedsNoHaproxy) {
  const auto router = make_router({});
  ASSERT_TRUE(router);
  EXPECT_TRUE((*router)->panic());
}

TEST(HaproxyServers, ASocketThatThisUserMayNotUseIsNotTakenForAHaproxyThatIsAway) {
  const FakeHaproxy haproxy;
  ASSERT_EQ(::chmod(haproxy.path().c_str(), 0), 0);
  auto options = patterns();
  options.socket = haproxy.path();
  const auto router = std::move(make_haproxy_router(options).value());
  // root may use every socket.
  const auto user = ::geteuid();
  if (user == 0) {
    ASSERT_EQ(::seteuid(65534), 0);
  }
  const auto answer = router->read();
  ASSERT_EQ(::seteuid(user), 0);
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().code, ErrorCode::unavailable);
  EXPECT_NE(answer.error().message.find("add the user that runs coalmine to the socket's group"),
            std::string::npos)
      << answer.error().message;
}

TEST(HaproxyServers, ASilentPeerRunsIntoTheTimeout) {
  const auto path = std::filesystem::temp_directory_path() /
                    ("coalmine-silent-" + std::to_string(::getpid()) + ".sock");
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  std::strncpy(address.sun_path, path.c_str(), sizeof(address.sun_path) - 1);
  const int fd = ::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  ASSERT_EQ(::bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(::listen(fd, 4), 0);
  auto options = patterns();
  options.socket = path;
  options.timeout_ms = 50;
  const auto router = std::move(make_haproxy_router(options).value());
  EXPECT_EQ(router->set({0.5}).error().code, ErrorCode::deadline_exceeded);
  EXPECT_EQ(router->panic().error().code, ErrorCode::deadline_exceeded);
  ::close(fd);
  std::filesystem::remove(path);
}

} // namespace
} // namespace coalmine::route
