// SPDX-License-Identifier: Apache-2.0
#include "demo/demo_world.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/text.h"
#include "demo/demo_scenes.h"
#include "net/http_server.h"
#include "route/haproxy_socket.h"

namespace coalmine::demo {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr std::string_view kStableVersion = "2.3.0";
constexpr std::chrono::seconds kBalancerTimeout{5};

Result<std::string> read_file(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  if (!in) return fail(ErrorCode::not_found, "cannot read " + path);
  std::ostringstream text;
  text << in.rdbuf();
  return std::move(text).str();
}

// demo/ stands in the source tree, of which the binary is in build/<preset>/, or in
// ../share/coalmine/demo when installed.
Result<std::string> find_assets(const std::string& given) {
  if (!given.empty()) return given;
  std::error_code ignored;
  const auto binary = fs::read_symlink("/proc/self/exe", ignored).parent_path();
  for (const auto& candidate : {binary / "demo", binary / "../demo", binary / "../../demo",
                                binary / "../share/coalmine/demo"}) {
    if (fs::exists(candidate / "checkout-service.mjs", ignored))
      return fs::canonical(candidate, ignored).string();
  }
  return fail(
      ErrorCode::not_found,
      fmt::format(
          "the demo's services (checkout-service.mjs) are not beside {}: give --assets DIR, "
          "or start it as ./dev demo",
          binary.string()));
}

Result<json::value> parse_answer(const std::string& path, Result<net::HttpResponse> answer) {
  TRY_ASSIGN(const auto response, std::move(answer));
  boost::system::error_code bad;
  auto body = json::parse(response.body, bad);
  if (response.status >= 300 || bad)
    return fail(ErrorCode::internal,
                fmt::format("{}: HTTP {}: {}", path, response.status, response.body));
  return body;
}

} // namespace

DemoWorld::DemoWorld(const DemoOptions& options, std::string directory,
                     std::function<bool()> interrupted)
    : options_(options),
      directory_(std::move(directory)),
      interrupted_(std::move(interrupted)),
      http_(net::make_http_client()) {}

Status DemoWorld::wait(const std::string& waiting_for, double seconds,
                       const std::function<bool()>& ready) const {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::duration<double>(seconds);
  while (!ready()) {
    if (interrupted_()) return fail(ErrorCode::unavailable, "interrupted");
    if (std::chrono::steady_clock::now() > deadline) {
      return fail(ErrorCode::deadline_exceeded, fmt::format("waited {} s for {}; logs are in {}",
                                                            seconds, waiting_for, directory_));
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
  }
  return {};
}

bool DemoWorld::answers(std::uint16_t port, const std::string& where) const {
  const auto response = http_->fetch({.url = fmt::format("http://127.0.0.1:{}{}", port, where),
                                      .timeout = std::chrono::milliseconds(500)});
  return response && response->status == 200;
}

Status DemoWorld::start(const std::function<void(const std::string&)>& tell) {
  TRY_ASSIGN(assets_, find_assets(options_.assets_dir));
  TRY_ASSIGN(node_, find_program("node", "nodejs"));
  const auto port = [&](std::uint16_t usual, const char* what) {
    const auto got = free_port(usual);
    if (got != usual) {
      tell(fmt::format("  ! {} {}: using {} instead", usual,
                       net::describe_port_holder({"127.0.0.1", usual}), got) +
           fmt::format(" for {}", what));
    }
    return got;
  };
  api_port_ = port(7070, "the page");
  otlp_grpc_port_ = port(4317, "OTLP/gRPC");
  otlp_http_port_ = port(4318, "OTLP/HTTP");
  balancer_port_ = port(7080, "the balancer");
  shop_ports_ = {free_port(0), free_port(0), free_port(0)};

  const auto tell_part = [&tell](std::string_view name, const std::string& what,
                                 const std::string& pids) {
    tell(fmt::format("  ✔ {:<13} {} pid {}", name, pad(what, 50), pids));
  };
  const auto pid = [](const Child& child) { return fmt::to_string(child.pid()); };
  TRY(use_config(kScenes.front().config));
  tell_part("server",
            fmt::format("127.0.0.1:{:<6} OTLP {}/{}", api_port_, otlp_grpc_port_, otlp_http_port_),
            pid(server_[0]));
  TRY(start_balancer());
  tell_part("balancer", fmt::format("127.0.0.1:{:<6} HAProxy, 100% stable", balancer_port_),
            pid(balancer_[0]));
  TRY(start_stable());
  tell_part("checkout", fmt::format("v{} ×2 (stable)", kStableVersion),
            pid(stable_[0]) + ", " + pid(stable_[1]));
  TRY(start_load());
  tell_part("load", fmt::format("{:.0f} req/s over /api/cart, /api/quote, /api/pay", options_.rps),
            pid(load_[0]));
  return {};
}

Result<std::string> DemoWorld::fill_template(const std::string& name) const {
  TRY_ASSIGN(auto text, read_file(assets_ + "/" + name));
  const std::vector<std::pair<std::string, std::string>> values = {
      {"{SOCKET}", path("haproxy.sock")},
      {"{PORT}", std::to_string(balancer_port_)},
      {"{STABLE1}", std::to_string(shop_ports_[0])},
      {"{STABLE2}", std::to_string(shop_ports_[1])},
      {"{CANARY1}", std::to_string(shop_ports_[2])},
  };
  for (const auto& [key, value] : values) {
    for (auto at = text.find(key); at != std::string::npos; at = text.find(key, at + value.size()))
      text.replace(at, key.size(), value);
  }
  const auto target = path(name);
  std::ofstream(target) << text;
  return target;
}

Status DemoWorld::use_config(std::string_view name) {
  if (config_ == name) return {};
  TRY_ASSIGN(const auto config, fill_template(std::string(name)));
  server_.clear();
  std::vector<std::string> command = {"/proc/self/exe", "serve",
                                      "--config",       config,
                                      "--data",         path("data"),
                                      "--listen",       fmt::format(":{}", api_port_),
                                      "--otlp-grpc",    fmt::format(":{}", otlp_grpc_port_),
                                      "--otlp-http",    fmt::format(":{}", otlp_http_port_)};
  if (const auto panels = assets_ + "/canary-dashboard-panels.yaml"; fs::exists(panels)) {
    command.insert(command.end(), {"--dashboard", panels});
  }
  TRY_ASSIGN(auto child, Child::spawn(command, {}, path("server.log")));
  server_.push_back(std::move(child));
  config_ = name;
  return wait("the server to be ready", 20, [&] { return answers(api_port_, "/readyz"); });
}

Status DemoWorld::start_balancer() {
  TRY_ASSIGN(const auto haproxy, find_program("haproxy", "haproxy"));
  TRY_ASSIGN(const auto config, fill_template("haproxy.cfg"));
  TRY_ASSIGN(auto child, Child::spawn({haproxy, "-db", "-f", config}, {}, path("haproxy.log")));
  balancer_.push_back(std::move(child));
  return wait("HAProxy's admin socket", 10, [&] { return ask_balancer("show info").has_value(); });
}

Result<Child> DemoWorld::start_shop(const std::string& pod, const std::string& version,
                                    const std::string& track, std::string_view fault,
                                    std::uint16_t port) const {
  return Child::spawn(
      {node_, assets_ + "/checkout-service.mjs"},
      {{"PORT", std::to_string(port)},
       {"APP_VERSION", version},
       {"DEPLOYMENT_TRACK", track},
       {"POD_NAME", pod},
       {"FAULT", std::string(fault)},
       {"OTEL_EXPORTER_OTLP_ENDPOINT", fmt::format("http://127.0.0.1:{}", otlp_http_port_)}},
      path(pod + ".log"));
}

Status DemoWorld::start_stable() {
  for (std::size_t i = 0; i < 2; ++i) {
    TRY_ASSIGN(auto child,
               start_shop(fmt::format("checkout-stable-{}", i + 1), std::string(kStableVersion),
                          "stable", "none", shop_ports_[i]));
    stable_.push_back(std::move(child));
  }
  return wait("the stable shop to answer through the balancer", 20, [&] {
    return answers(shop_ports_[0], "/healthz") && answers(shop_ports_[1], "/healthz") &&
           answers(balancer_port_, "/api/cart");
  });
}

Status DemoWorld::start_load() {
  TRY_ASSIGN(auto child, Child::spawn({node_, assets_ + "/load.mjs",
                                       fmt::format("http://127.0.0.1:{}", balancer_port_),
                                       fmt::format("{}", options_.rps), "7200"},
                                      {}, path("load.log")));
  load_.push_back(std::move(child));
  return wait("stable telemetry to arrive", 20, [&] {
    const auto services = get("/v1/services");
    return services && json::serialize(*services).find("\"stable\"") != std::string::npos;
  });
}

Status DemoWorld::start_canary(const std::string& version, std::string_view fault) {
  canary_.clear();
  TRY_ASSIGN(auto child,
             start_shop("checkout-canary-" + version, version, "canary", fault, shop_ports_[2]));
  canary_.push_back(std::move(child));
  TRY(wait("the canary to answer", 20, [&] { return answers(shop_ports_[2], "/healthz"); }));
  // show servers state: fields 4 and 6 are the server's name and operational state, 2 is up.
  return wait("HAProxy to see the canary up", 20, [&] {
    const auto state = ask_balancer("show servers state checkout");
    if (!state) return false;
    const auto at = state->find(" canary1 ");
    if (at == std::string::npos) return false;
    std::istringstream rest(state->substr(at));
    std::string name, address, operational;
    rest >> name >> address >> operational;
    return operational == "2";
  });
}

Status DemoWorld::reset_weights() {
  TRY_ASSIGN(const auto socket, route::RuntimeSocket::parse(path("haproxy.sock")));
  return socket.run(
      {"set server checkout/stable1 weight 19", "set server checkout/stable2 weight 19",
       "set server checkout/canary1 weight 0"},
      std::chrono::steady_clock::now() + kBalancerTimeout);
}

Result<std::string> DemoWorld::ask_balancer(std::string_view line) const {
  TRY_ASSIGN(const auto socket, route::RuntimeSocket::parse(path("haproxy.sock")));
  return socket.ask(line, std::chrono::steady_clock::now() + kBalancerTimeout);
}

Result<json::value> DemoWorld::get(const std::string& where) const {
  return parse_answer(where, http_->fetch({.url = page_url() + where}));
}

Result<json::value> DemoWorld::post(const std::string& where, const json::value& body) const {
  return parse_answer(where, http_->fetch({.method = "POST",
                                           .url = page_url() + where,
                                           .headers = {{"Content-Type", "application/json"}},
                                           .body = json::serialize(body)}));
}

LoadCounts DemoWorld::answered(const std::string& version) const {
  std::ifstream log(path("load.log"));
  std::string line, last;
  while (std::getline(log, line)) {
    if (!line.empty() && line.front() == '{' && line.back() == '}') last = line;
  }
  boost::system::error_code bad;
  const auto report = json::parse(last, bad);
  if (bad) return {};
  const auto* row = report.at("answered").as_object().if_contains(version);
  if (row == nullptr) return {};
  return {row->at("requests").to_number<std::uint64_t>(),
          row->at("failed").to_number<std::uint64_t>()};
}

} // namespace coalmine::demo
