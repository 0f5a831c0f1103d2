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

bool is_among(const std::vector<std::string>& names, const std::string& name) {
  return std::ranges::find(names, name) != names.end();
}

std::vector<std::string> with_more(std::vector<std::string> known,
                                   const std::vector<std::string>& more) {
  for (const auto& name : more) {
    if (!is_among(known, name)) known.push_back(name);
  }
  return known;
}

bool stands_for(const std::string& want, const std::string& name) {
  return is_pattern(want) ? name.starts_with(std::string_view(want).substr(0, want.size() - 1))
                          : name == want;
}

std::vector<std::string> matching(const std::vector<std::string>& wanted,
                                  const std::vector<std::string>& names) {
  std::vector<std::string> out;
  for (const auto& want : wanted) {
    for (const auto& name : names) {
      if (stands_for(want, name) && !is_among(out, name)) out.push_back(name);
    }
  }
  return out;
}

Result<std::vector<std::string>> expand(const std::vector<std::string>& wanted,
                                        const std::vector<std::string>& names,
                                        const std::string& backend) {
  for (const auto& want : wanted) {
    if (matching({want}, names).empty()) {
      return fail(
          ErrorCode::failed_precondition,
          fmt::format(
              "HAProxy backend {} has no server {} (it has: {}); name the servers in the config: "
              "router: {{ haproxy: {{ stable: […], canary: […] }} }}",
              backend, want, fmt::join(names, ", ")));
    }
  }
  return matching(wanted, names);
}

// A HAProxy router whose servers are looked up. Thread-safe; see make_discovering_router.
class DiscoveringRouter final : public Router {
 public:
  explicit DiscoveringRouter(HaproxyOptions options) : options_(std::move(options)) {}

  std::string describe() const override {
    return fmt::format("haproxy {} {}", options_.socket, options_.backend);
  }

  Result<Applied> set(Weight weight) override {
    TRY_ASSIGN(const auto router, found());
    return router->set(weight);
  }
  Result<Applied> panic() override {
    TRY_ASSIGN(const auto router, found_for_panic());
    return router->panic();
  }
  // What is new counts as what it is, not as a stranger's; where no names come, what is known does.
  Result<Weight> read() override {
    auto router = found();
    if (!router) {
      const std::lock_guard lock(mutex_);
      if (!router_) return std::unexpected(std::move(router).error());
      router = router_;
    }
    return (*router)->read();
  }
  Status check() override {
    TRY_ASSIGN(const auto router, found());
    return router->check();
  }
  bool may_have_raised() const override {
    const std::lock_guard lock(mutex_);
    return raised_ || (router_ && router_->may_have_raised());
  }

 private:
  Result<std::shared_ptr<Router>> found() {
    const std::lock_guard lock(mutex_);
    TRY_ASSIGN(const auto answer, ask(options_, "show servers state " + options_.backend));
    TRY_ASSIGN(const auto names, parse_server_names(answer));
    TRY_ASSIGN(auto resolved, resolve_servers(options_, names));
    return use(std::move(resolved));
  }

  // The union of what is known and what is there now. A pattern that stands for nothing any more is
  // no obstacle, nor is an answer that does not come.
  Result<std::shared_ptr<Router>> found_for_panic() {
    const std::lock_guard lock(mutex_);
    auto names = [&]() -> Result<std::vector<std::string>> {
      TRY_ASSIGN(const auto answer, ask(options_, "show servers state " + options_.backend));
      return parse_server_names(answer);
    }();
    if (!names) {
      if (router_) return router_;
      return std::unexpected(std::move(names).error());
    }
    auto resolved = options_;
    resolved.stable_servers = with_more(stable_, matching(options_.stable_servers, *names));
    resolved.canary_servers = with_more(known_canary_, matching(options_.canary_servers, *names));
    if (resolved.stable_servers.empty() || resolved.canary_servers.empty()) {
      TRY_ASSIGN(resolved, resolve_servers(options_, *names)); // says what is missing
    }
    std::erase_if(resolved.stable_servers,
                  [&](const std::string& name) { return is_among(resolved.canary_servers, name); });
    return use(std::move(resolved));
  }

  // Under mutex_.
  Result<std::shared_ptr<Router>> use(HaproxyOptions resolved) {
    if (router_ && resolved.stable_servers == stable_ && resolved.canary_servers == canary_)
      return router_;
    auto stable = resolved.stable_servers;
    auto canary = resolved.canary_servers;
    TRY_ASSIGN(auto made, make_haproxy_router(std::move(resolved)));
    raised_ = raised_ || (router_ && router_->may_have_raised());
    router_ = std::move(made);
    stable_ = std::move(stable);
    canary_ = std::move(canary);
    known_canary_ = with_more(known_canary_, canary_);
    return router_;
  }

  const HaproxyOptions options_;
  mutable std::mutex mutex_; // held over the question to HAProxy: two changes at once are no use
  std::shared_ptr<Router> router_;
  bool raised_ = false; // by a router before router_
  std::vector<std::string> stable_;
  std::vector<std::string> canary_;
  std::vector<std::string> known_canary_; // every canary_ there was
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
