// SPDX-License-Identifier: Apache-2.0
#include "route/haproxy_discovery.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <mutex>
#include <sstream>

#include "route/haproxy_socket.h"

namespace coalmine::route {
namespace {

// One line out, the whole answer back.
Result<std::string> ask(const HaproxyOptions& options, const std::string& command) {
  TRY_ASSIGN(const auto socket, RuntimeSocket::parse(options.socket));
  return socket.ask(
      command, std::chrono::steady_clock::now() + std::chrono::milliseconds(options.timeout_ms));
}

bool is_pattern(const std::string& name) { return name.ends_with('*'); }

Result<std::vector<std::string>> expand(const std::vector<std::string>& wanted,
                                        const std::vector<std::string>& names,
                                        const std::string& backend) {
  std::vector<std::string> out;
  for (const auto& want : wanted) {
    const std::size_t before = out.size();
    for (const auto& name : names) {
      const bool fits = is_pattern(want)
                            ? name.starts_with(std::string_view(want).substr(0, want.size() - 1))
                            : name == want;
      if (fits && std::ranges::find(out, name) == out.end()) out.push_back(name);
    }
    if (out.size() == before && std::ranges::find(out, want) == out.end()) {
      return fail(
          ErrorCode::failed_precondition,
          fmt::format(
              "HAProxy backend {} has no server {} (it has: {}); name the servers in the config: "
              "router: {{ haproxy: {{ stable: […], canary: […] }} }}",
              backend, want, fmt::join(names, ", ")));
    }
  }
  return out;
}

// A HAProxy router whose servers are looked up. Thread-safe; see make_discovering_router.
class DiscoveringRouter final : public Router {
 public:
  explicit DiscoveringRouter(HaproxyOptions options) : options_(std::move(options)) {}

  std::string describe() const override {
    return fmt::format("haproxy {} {}", options_.socket, options_.backend);
  }

  Result<Applied> set(Weight weight) override {
    TRY_ASSIGN(const auto router, found(true));
    return router->set(weight);
  }
  Result<Applied> panic() override {
    TRY_ASSIGN(const auto router, found(false));
    return router->panic();
  }
  Result<Weight> read() override {
    TRY_ASSIGN(const auto router, found(false));
    return router->read();
  }
  Status check() override {
    TRY_ASSIGN(const auto router, found(true));
    return router->check();
  }
  bool may_have_raised() const override {
    std::lock_guard lock(mutex_);
    return raised_ || (router_ && router_->may_have_raised());
  }

 private:
  // A change asks anew (servers come and go); reading and the way back use what is known, if
  // anything is.
  Result<std::shared_ptr<Router>> found(bool fresh) {
    std::lock_guard lock(mutex_);
    if (router_ && !fresh) return router_;
    TRY_ASSIGN(const auto answer, ask(options_, "show servers state " + options_.backend));
    TRY_ASSIGN(const auto names, parse_server_names(answer));
    TRY_ASSIGN(auto resolved, resolve_servers(options_, names));
    if (router_ && resolved.stable_servers == stable_ && resolved.canary_servers == canary_)
      return router_;
    stable_ = resolved.stable_servers;
    canary_ = resolved.canary_servers;
    TRY_ASSIGN(auto made, make_haproxy_router(std::move(resolved)));
    raised_ = raised_ || (router_ && router_->may_have_raised());
    router_ = std::move(made);
    return router_;
  }

  const HaproxyOptions options_;
  mutable std::mutex mutex_; // held over the question to HAProxy: two changes at once are no use
  std::shared_ptr<Router> router_;
  bool raised_ = false; // by a router before router_
  std::vector<std::string> stable_;
  std::vector<std::string> canary_;
};

} // namespace

Result<std::vector<std::string>> parse_server_names(std::string_view answer) {
  std::istringstream lines{std::string(answer)};
  std::vector<std::string> names;
  bool header = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("# be_id be_name srv_id srv_name")) {
      header = true;
      continue;
    }
    std::istringstream words(line);
    std::string backend_id, backend, server_id, server;
    if (header && words >> backend_id >> backend >> server_id >> server) names.push_back(server);
  }
  if (!header) {
    while (!answer.empty() && (answer.back() == '\n' || answer.back() == ' '))
      answer.remove_suffix(1);
    return fail(ErrorCode::not_found,
                fmt::format("HAProxy does not list the servers: {}",
                            answer.empty() ? "an empty answer" : answer.substr(0, 200)));
  }
  return names;
}

Result<HaproxyOptions> resolve_servers(const HaproxyOptions& options,
                                       const std::vector<std::string>& names) {
  HaproxyOptions out = options;
  TRY_ASSIGN(out.stable_servers, expand(options.stable_servers, names, options.backend));
  TRY_ASSIGN(out.canary_servers, expand(options.canary_servers, names, options.backend));
  for (const auto& name : out.stable_servers) {
    if (std::ranges::find(out.canary_servers, name) != out.canary_servers.end()) {
      return fail(ErrorCode::failed_precondition,
                  fmt::format("server {} of HAProxy backend {} is both stable and canary; make the "
                              "patterns exclude each other",
                              name, options.backend));
    }
  }
  return out;
}

bool has_patterns(const HaproxyOptions& options) {
  return options.map.empty() && (std::ranges::any_of(options.stable_servers, is_pattern) ||
                                 std::ranges::any_of(options.canary_servers, is_pattern));
}

std::unique_ptr<Router> make_discovering_router(HaproxyOptions options) {
  return std::make_unique<DiscoveringRouter>(std::move(options));
}

} // namespace coalmine::route
