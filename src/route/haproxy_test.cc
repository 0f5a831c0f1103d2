// Against a real HAProxy on loopback, with two tiny HTTP servers behind it.
// SPDX-License-Identifier: Apache-2.0
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <functional>
#include <thread>

#include "route/haproxy_socket.h"
#include "route/haproxy_state.h"
#include "route/router.h"

namespace coalmine::route {
namespace {
using namespace std::chrono_literals;
int listen_on_loopback(std::uint16_t& port) {
  const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof(address);
  if (::bind(fd, reinterpret_cast<sockaddr*>(&address), size) != 0 || ::listen(fd, 64) != 0)
    std::abort();
  ::getsockname(fd, reinterpret_cast<sockaddr*>(&address), &size);
  port = ntohs(address.sin_port);
  return fd;
}

std::uint16_t free_port() {
  std::uint16_t port = 0;
  ::close(listen_on_loopback(port));
  return port;
}

// Answers every connection with 200 and counts them.
class TinyServer {
 public:
  TinyServer() : fd_(listen_on_loopback(port_)), thread_([this] { serve(); }) {}
  ~TinyServer() {
    ::shutdown(fd_, SHUT_RDWR);
    thread_.join();
    ::close(fd_);
  }
  std::uint16_t port() const { return port_; }
  int take() { return served_.exchange(0); }

 private:
  void serve() {
    for (;;) {
      const int client = ::accept(fd_, nullptr, nullptr);
      if (client < 0) return;
      char buffer[4096];
      if (::recv(client, buffer, sizeof(buffer), 0) > 0) {
        ++served_;
        static constexpr std::string_view kAnswer =
            "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        ::send(client, kAnswer.data(), kAnswer.size(), MSG_NOSIGNAL);
      }
      ::close(client);
    }
  }
  std::uint16_t port_ = 0;
  int fd_;
  std::atomic<int> served_{0};
  std::thread thread_;
};

bool eventually(const std::function<bool()>& condition) {
  const auto deadline = std::chrono::steady_clock::now() + 10s;
  while (!condition()) {
    if (std::chrono::steady_clock::now() > deadline) return false;
    std::this_thread::sleep_for(5ms);
  }
  return true;
}

class RealHaproxy : public ::testing::Test {
 protected:
  void SetUp() override {
    ASSERT_TRUE(std::filesystem::exists("/usr/sbin/haproxy"))
        << "install Debian's haproxy (./dev does)";
    char name[] = "/tmp/coalmine-haproxy-XXXXXX";
    directory_ = ::mkdtemp(name);
    port_ = free_port();
    admin_port_ = free_port();
  }
  void TearDown() override {
    stop();
    std::filesystem::remove_all(directory_);
  }

  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  std::string socket() const { return path("admin.sock"); }

  void start(const std::string& backends, const std::string& level = "admin") {
    std::ofstream(path("weights.map"), std::ios::app);
    std::ofstream(path("haproxy.cfg")) << fmt::format(
        "global\n  stats socket {0}/admin.sock mode 600 level {1}\n  stats socket "
        "ipv4@127.0.0.1:{2} level {1}\n  maxconn 200\n"
        "defaults\n  mode http\n  timeout connect 2s\n  timeout client 5s\n  timeout server 5s\n"
        "frontend shop\n  bind 127.0.0.1:{3}\n{4}",
        directory_, level, admin_port_, port_, backends);
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGTERM);
      const int log = ::open(path("log").c_str(), O_CREAT | O_WRONLY, 0600);
      ::dup2(log, 1);
      ::dup2(log, 2);
      ::execl("/usr/sbin/haproxy", "haproxy", "-W", "-f", path("haproxy.cfg").c_str(), nullptr);
      ::_exit(127);
    }
    // The worker answers before its master is ready to take signals.
    ASSERT_TRUE(eventually([&] {
      return ask("show info").has_value() && log().find("Loading success") != std::string::npos;
    })) << log();
  }
  void stop() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGTERM);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  std::string log() const {
    std::ifstream in(path("log"));
    return {std::istreambuf_iterator<char>(in), {}};
  }

  Result<std::string> ask(const std::string& line) const {
    return RuntimeSocket::parse(socket())->ask(line, std::chrono::steady_clock::now() + 2s);
  }

  // Layout A: two stable servers and one canary, weight 0 in the config.
  void start_layout_a(const std::string& extra = "", const std::string& server_extra = "") {
    start(fmt::format(
        "  default_backend checkout\nbackend checkout\n  balance roundrobin\n{}"
        "  server stable1 127.0.0.1:{} weight 19 {}\n  server stable2 127.0.0.1:{} weight 19 {}\n"
        "  server canary1 127.0.0.1:{} weight 0 {}\n",
        extra, stable_.port(), server_extra.empty() ? "" : "cookie s1", stable_.port(),
        server_extra.empty() ? "" : "cookie s2", canary_.port(),
        server_extra.empty() ? "" : "cookie c1"));
  }
  HaproxyOptions layout_a() const {
    return {.socket = socket(),
            .backend = "checkout",
            .stable_servers = {"stable1", "stable2"},
            .canary_servers = {"canary1"},
            .map = {},
            .map_key = {}};
  }
  void start_layout_b() {
    start(fmt::format(
        "  http-request set-var(txn.w) str(checkout),map({},0)\n"
        "  use_backend canary if {{ rand(10000),sub(txn.w) lt 0 }}\n  default_backend stable\n"
        "backend stable\n  server s1 127.0.0.1:{}\nbackend canary\n  server c1 127.0.0.1:{}\n",
        path("weights.map"), stable_.port(), canary_.port()));
  }
  HaproxyOptions layout_b() const {
    HaproxyOptions out;
    out.socket = socket();
    out.map = path("weights.map");
    out.map_key = "checkout";
    return out;
  }

  // Sends requests one after the other; the canary's number of them.
  int canary_of(int requests) {
    stable_.take();
    canary_.take();
    for (int i = 0; i < requests; ++i) request();
    const int canary = canary_.take();
    EXPECT_EQ(canary + stable_.take(), requests) << "some request was lost";
    return canary;
  }

  void request() const {
    const int fd = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port_);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)) == 0) {
      static constexpr std::string_view kRequest =
          "GET / HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n";
      ::send(fd, kRequest.data(), kRequest.size(), MSG_NOSIGNAL);
      char buffer[4096];
      while (::recv(fd, buffer, sizeof(buffer), 0) > 0) {
      }
    }
    ::close(fd);
  }

  TinyServer stable_;
  TinyServer canary_;
  std::string directory_;
  std::uint16_t port_ = 0;
  std::uint16_t admin_port_ = 0;
  pid_t pid_ = 0;
};

TEST_F(RealHaproxy, ServerWeightsSplitTrafficExactly) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  EXPECT_EQ(router->describe(), "haproxy " + socket() + " checkout");
  EXPECT_EQ(router->read()->canary, 0);
  for (const double share : {0.05, 0.25, 0.5, 1.0, 0.25, 0.05, 0.0, 1.0, 0.0}) {
    const auto applied = router->set({share});
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_DOUBLE_EQ(applied->asked.canary, share);
    EXPECT_NEAR(applied->applied.canary, share, 1e-9);
    EXPECT_NEAR(router->read()->canary, share, 1e-9);
    EXPECT_GT(applied->elapsed_ms, 0);
    canary_of(100); // the round that was under way when the weights changed
    EXPECT_NEAR(canary_of(200), share * 200, 1.01)
        << share; // round robin: exact but for where the round begins
  }
}

TEST_F(RealHaproxy, SetIsIdempotentAndTellsTheWeights) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  for (int i = 0; i < 3; ++i) {
    const auto applied = router->set({0.05});
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_EQ(applied->detail, "stable1 weight 247, stable2 weight 247, canary1 weight 26");
  }
}

TEST_F(RealHaproxy, WhatSpoilsTheSplitIsToldWithTheWeight) {
  start(
      fmt::format("  default_backend checkout\nbackend checkout\n  balance leastconn\n"
                  "  server stable1 127.0.0.1:{} weight 19\n"
                  "  server stable2 127.0.0.1:{} weight 19 check inter 100ms fall 1\n"
                  "  server canary1 127.0.0.1:{} weight 0\n",
                  stable_.port(), free_port(), canary_.port()));
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  EXPECT_TRUE(eventually([&] {
    const auto cause = router->read()->split_cause;
    return cause.find("server stable2 of backend checkout DOWN") != std::string::npos &&
           cause.find("`balance leastconn`") != std::string::npos;
  })) << router->read()->split_cause;
  const auto applied = router->set({0.25});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_NE(applied->applied.split_cause, "");
}

TEST_F(RealHaproxy, ASplitThatNothingSpoilsHasNoCause) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->set({0.25}));
  EXPECT_EQ(router->read()->split_cause, "");
}

TEST_F(RealHaproxy, PanicBringsStableBack) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->set({1}));
  const auto panic = router->panic();
  ASSERT_TRUE(panic) << panic.error().message;
  EXPECT_EQ(panic->applied.canary, 0);
  EXPECT_EQ(canary_of(50), 0);
  // Without persistence the canary stays in rotation at weight 0, so its health can be seen.
  EXPECT_EQ(panic->detail, "stable1 weight 256, stable2 weight 256, canary1 weight 0");
  // Even when somebody took all of stable out.
  ASSERT_TRUE(router->set({0.5}));
  ASSERT_TRUE(
      ask("set server checkout/stable1 state maint; set server checkout/stable2 state drain"));
  ASSERT_TRUE(router->panic());
  EXPECT_EQ(canary_of(20), 0);
}

// With every stable server DOWN the canary alone answers: it keeps its weight until one is up.
TEST_F(RealHaproxy, PanicKeepsServingWhileStableIsDown) {
  start(
      fmt::format("  default_backend checkout\nbackend checkout\n  balance roundrobin\n"
                  "  server stable1 127.0.0.1:{0} weight 100 check inter 50ms fall 1 rise 1\n"
                  "  server stable2 127.0.0.1:{0} weight 100 check inter 50ms fall 1 rise 1\n"
                  "  server canary1 127.0.0.1:{1} weight 0 check inter 50ms fall 1 rise 1\n",
                  stable_.port(), canary_.port()));
  auto options = layout_a();
  const auto router = std::move(make_haproxy_router(options).value());
  ASSERT_TRUE(router->set({0.25}));
  const auto all_down = [&](const std::string& state) {
    ASSERT_TRUE(ask("set server checkout/stable1 health " + state +
                    "; set server checkout/stable2 health " + state));
  };
  ASSERT_TRUE(ask("disable health checkout/stable1; disable health checkout/stable2"));
  all_down("down");
  EXPECT_EQ(
      router->read()->stable_down,
      "no stable server is up: HAProxy reports stable1 DOWN, stable2 DOWN in backend checkout");
  const auto kept = router->panic();
  ASSERT_TRUE(kept) << kept.error().message;
  EXPECT_TRUE(kept->kept.starts_with(
      "no stable server is up: HAProxy reports stable1, stable2 of backend checkout DOWN"))
      << kept->kept;
  EXPECT_NEAR(kept->applied.canary, 0.25, 0.0025);
  EXPECT_EQ(canary_of(20), 20);
  options.keep_serving = false;
  const auto strict = std::move(make_haproxy_router(options).value());
  const auto zero = strict->panic();
  ASSERT_TRUE(zero) << zero.error().message;
  EXPECT_EQ(zero->applied.canary, 0);
  EXPECT_TRUE(zero->applied.split_cause.ends_with("DOWN; clients get 503"))
      << zero->applied.split_cause;
  all_down("up");
  ASSERT_TRUE(router->set({0.25}));
  ASSERT_TRUE(ask("set server checkout/stable1 health down"));
  EXPECT_EQ(router->read()->stable_down, "") << "one is enough";
  const auto back = router->panic();
  ASSERT_TRUE(back) << back.error().message;
  EXPECT_EQ(back->kept, "");
  EXPECT_EQ(back->applied.canary, 0);
}

// Servers come and go while a rollout runs: the way back knows those of before and those of now.
TEST_F(RealHaproxy, PanicTakesTheWeightFromServersAddedSince) {
  start(
      fmt::format("  default_backend checkout\nbackend checkout\n  balance roundrobin\n"
                  "  server stable1 127.0.0.1:{0} weight 100\n"
                  "  server canary1 127.0.0.1:{1} weight 0\n",
                  stable_.port(), canary_.port()));
  auto options = layout_a();
  options.stable_servers = {"stable*"};
  options.canary_servers = {"canary*"};
  const auto router = std::move(make_router(options).value());
  ASSERT_TRUE(router->set({0.25}));
  const auto add =
      fmt::format("add server checkout/canary2 127.0.0.1:{} weight 50", canary_.port());
  const auto added = ask("experimental-mode on; " + add);
  ASSERT_TRUE(added) << added.error().message;
  ASSERT_TRUE(ask("enable server checkout/canary2"));
  EXPECT_GT(router->read()->canary, 0.3) << "it counts as what it is";
  const auto panic = router->panic();
  ASSERT_TRUE(panic) << panic.error().message;
  EXPECT_EQ(panic->applied.canary, 0);
  EXPECT_EQ(canary_of(30), 0);
}

TEST_F(RealHaproxy, PanicWorksWithAServerGone) {
  start_layout_a();
  auto options = layout_a();
  options.stable_servers.push_back("stable9");
  const auto router = std::move(make_haproxy_router(options).value());
  EXPECT_EQ(router->set({0.5}).error().message,
            "backend checkout has no server stable9; it has stable1, stable2, canary1");
  ASSERT_TRUE(ask("set server checkout/canary1 weight 50"));
  const auto panic = router->panic();
  ASSERT_TRUE(panic) << panic.error().message;
  EXPECT_EQ(router->read()->canary, 0);
}

TEST_F(RealHaproxy, ACheckFindsWhatIsNotThereAndChangesNothing) {
  start_layout_a();
  EXPECT_TRUE(make_haproxy_router(layout_a()).value()->check());
  auto options = layout_a();
  options.canary_servers = {"canary9"};
  EXPECT_EQ(make_haproxy_router(options).value()->check().error().message,
            "backend checkout has no server canary9; it has stable1, stable2, canary1");
  options = layout_a();
  options.backend = "nope";
  EXPECT_EQ(make_haproxy_router(options).value()->check().error().code, ErrorCode::not_found);
  options = layout_a();
  options.canary_servers = {"new*"};
  EXPECT_EQ(make_router(options).value()->check().error().code, ErrorCode::failed_precondition);
}

// What was refused was not sent: nothing has to be taken back.
TEST_F(RealHaproxy, KnowsWhetherItEverRaisedTheCanary) {
  start_layout_a();
  for (const bool patterns : {false, true}) {
    auto options = layout_a();
    if (patterns) options.canary_servers = {"canary*"};
    options.stable_servers.push_back("stable9");
    const auto wrong = std::move(make_router(options).value());
    EXPECT_FALSE(wrong->set({0.5}));
    EXPECT_TRUE(wrong->panic());
    EXPECT_FALSE(wrong->may_have_raised());
    options.stable_servers.pop_back();
    const auto router = std::move(make_router(options).value());
    EXPECT_TRUE(router->set({0}));
    EXPECT_FALSE(router->may_have_raised());
    EXPECT_TRUE(router->set({0.5}));
    EXPECT_TRUE(router->set({0}));
    EXPECT_TRUE(router->may_have_raised());
  }
}

TEST_F(RealHaproxy, StickyClientsAreTakenOffTheCanary) {
  start_layout_a("  cookie SRV insert indirect nocache\n", "cookie");
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->set({0.5}));
  const auto panic = router->panic();
  ASSERT_TRUE(panic) << panic.error().message;
  EXPECT_NE(panic->detail.find("canary1 weight 0 (maintenance)"), std::string::npos)
      << panic->detail;
  EXPECT_EQ(canary_of(20), 0);
  // The next rollout ends the maintenance.
  const auto applied = router->set({0.25});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->detail.find("maintenance"), std::string::npos);
  EXPECT_NEAR(canary_of(200), 50, 10);
}

TEST_F(RealHaproxy, StickTableCountsAsPersistence) {
  start_layout_a("  stick-table type ip size 1k\n  stick on src\n");
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->set({1}));
  EXPECT_EQ(canary_of(5), 5); // this client sticks to the canary now
  ASSERT_TRUE(router->panic());
  EXPECT_EQ(canary_of(5), 0);
}

TEST_F(RealHaproxy, DrainedServersDoNotCount) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(
      ask("set server checkout/stable2 state maint; set server checkout/canary1 state drain"));
  EXPECT_EQ(router->read()->canary, 0);
  const auto applied = router->set({0.5});
  ASSERT_TRUE(applied) << applied.error().message;
  EXPECT_EQ(applied->detail,
            "stable1 weight 256, stable2 weight 256 (maintenance), canary1 weight 256");
  EXPECT_NEAR(canary_of(100), 50, 5);
  ASSERT_TRUE(ask("set server checkout/stable1 state drain"));
  EXPECT_EQ(router->set({0.5}).error().code, ErrorCode::failed_precondition);
}

TEST_F(RealHaproxy, UnlistedServersAreRefused) {
  start_layout_a();
  auto options = layout_a();
  options.stable_servers = {"stable1"};
  const auto router = std::move(make_haproxy_router(options).value());
  const auto refused = router->set({0.05});
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("server stable2 of backend checkout takes traffic"),
            std::string::npos);
  EXPECT_TRUE(router->set({0})); // down is always possible
}

TEST_F(RealHaproxy, RefusesWhatIntegersCannotExpress) {
  start_layout_a();
  auto options = layout_a();
  options.tolerance = 0.0001;
  const auto router = std::move(make_haproxy_router(options).value());
  ASSERT_TRUE(router->set({0.05}));
  const auto refused = router->set({0.001});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::failed_precondition);
  EXPECT_EQ(refused.error().message,
            "0.1% cannot be expressed with 2 stable and 1 canary servers of weights up to 256; the "
            "nearest is 0.1949%");
  EXPECT_NEAR(router->read()->canary, 0.05, 1e-9); // nothing was changed
  EXPECT_EQ(router->set({1.2}).error().code, ErrorCode::invalid_argument);
  EXPECT_EQ(router->set({std::nan("")}).error().code, ErrorCode::invalid_argument);
}

TEST_F(RealHaproxy, ReloadResetsAndReadSeesIt) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->set({0.25}));
  // A signal that arrives before the master waits for signals is forgotten until the next one.
  int polls = 0;
  EXPECT_TRUE(eventually([&] {
    if (polls++ % 100 == 0 && log().find("Reloading") == std::string::npos) ::kill(pid_, SIGUSR2);
    const auto weight = router->read();
    return weight && weight->canary == 0;
  })) << log();
  EXPECT_TRUE(eventually([&] {
    return router->set({0.25}).has_value();
  })); // idempotent, so it can be put back blindly
}

TEST_F(RealHaproxy, StoppedIsUnavailable) {
  start_layout_a();
  const auto router = std::move(make_haproxy_router(layout_a()).value());
  ASSERT_TRUE(router->read());
  stop();
  for (const auto& error :
       {router->read().error(), router->set({0.5}).error(), router->panic().error()}) {
    EXPECT_EQ(error.code, ErrorCode::unavailable) << error.message;
    EXPECT_NE(error.message.find(socket()), std::string::npos);
  }
}

TEST_F(RealHaproxy, TcpSocketAndWrongBackend) {
  start_layout_a();
  auto options = layout_a();
  options.socket = fmt::format("127.0.0.1:{}", admin_port_);
  const auto router = std::move(make_haproxy_router(options).value());
  ASSERT_TRUE(router->set({0.25}));
  EXPECT_NEAR(canary_of(200), 50, 10);
  options.backend = "shopp";
  const auto wrong = std::move(make_haproxy_router(options).value());
  EXPECT_EQ(wrong->read().error().code, ErrorCode::not_found);
  EXPECT_FALSE(wrong->panic());
}

TEST_F(RealHaproxy, SocketWithoutAdminLevel) {
  start(fmt::format("  default_backend checkout\nbackend checkout\n  server stable1 "
                    "127.0.0.1:{0}\n  server canary1 "
                    "127.0.0.1:{0} weight 0\n",
                    stable_.port()),
        "user");
  auto options = layout_a();
  options.stable_servers = {"stable1"};
  const auto router = std::move(make_haproxy_router(options).value());
  const auto refused = router->set({0.5});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, ErrorCode::permission_denied) << refused.error().message;
}

TEST_F(RealHaproxy, MapLayout) {
  start_layout_b();
  const auto router = std::move(make_haproxy_router(layout_b()).value());
  EXPECT_EQ(router->read()->canary, 0); // the key is not there yet
  for (const double share : {0.05, 0.25, 0.5, 1.0, 0.0, 0.1234}) {
    const auto applied = router->set({share});
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_DOUBLE_EQ(applied->applied.canary, share);
    EXPECT_DOUBLE_EQ(router->read()->canary, share);
    const double requests = 300;
    // rand(): binomial; five standard deviations.
    EXPECT_NEAR(canary_of(300), share * requests,
                5 * std::sqrt(requests * share * (1 - share)) + 1e-9)
        << share;
  }
  ASSERT_TRUE(router->set({1}) && router->panic());
  EXPECT_EQ(canary_of(50), 0);
  EXPECT_EQ(router->set({0.00001}).error().code, ErrorCode::failed_precondition);
  ASSERT_TRUE(ask("set server canary/c1 state maint"));
  for (const auto& cause : {router->set({0.5})->applied.split_cause, router->read()->split_cause})
    EXPECT_EQ(cause, "HAProxy reports backend canary DOWN, no server of it is up");
  ASSERT_TRUE(ask("set server canary/c1 state ready"));
  EXPECT_EQ(router->read()->split_cause, "");
}

TEST_F(RealHaproxy, ASmallWeightIsExact) {
  start_layout_b();
  const auto router = std::move(make_haproxy_router(layout_b()).value());
  for (const double share : {0.0001, 0.001, 0.003}) {
    const auto applied = router->set({share});
    ASSERT_TRUE(applied) << applied.error().message;
    EXPECT_DOUBLE_EQ(applied->applied.canary, share);
  }
  // The nearest of 0.015% is a third more.
  EXPECT_EQ(router->set({0.00015}).error().code, ErrorCode::failed_precondition);
  stop();
  start_layout_a();
  const auto weights = std::move(make_haproxy_router(layout_a()).value());
  EXPECT_EQ(weights->set({0.001}).error().code, ErrorCode::failed_precondition)
      << "0.19% is the nearest";
  EXPECT_TRUE(weights->set({0.003}));
}

TEST_F(RealHaproxy, MapLayoutMistakes) {
  start_layout_b();
  auto options = layout_b();
  const auto router = std::move(make_haproxy_router(options).value());
  ASSERT_TRUE(ask("add map " + options.map + " checkout lots"));
  EXPECT_EQ(router->read().error().code, ErrorCode::failed_precondition);
  ASSERT_TRUE(router->set({0.1})); // setting heals it
  EXPECT_EQ(router->read()->canary, 0.1);
  options.map = path("other.map");
  const auto wrong = std::move(make_haproxy_router(options).value());
  EXPECT_EQ(wrong->read().error().code, ErrorCode::not_found);
  EXPECT_FALSE(wrong->set({0.1}));
  stop();
  EXPECT_EQ(router->panic().error().code, ErrorCode::unavailable);
}

} // namespace
} // namespace coalmine::route
