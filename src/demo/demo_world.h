// The demo's processes: server, balancer, shop and load, started in order and stopped in reverse.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <boost/json/value.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "demo/demo.h"
#include "demo/demo_process.h"
#include "net/http_client.h"

namespace coalmine::demo {

struct LoadCounts {
  std::uint64_t requests = 0;
  std::uint64_t failed = 0;
};

// Lives on the demo's one thread. Every wait ends early, with an error, once interrupted() is true.
class DemoWorld {
 public:
  // directory: an empty one for sockets, data and logs; it stays the caller's.
  DemoWorld(const DemoOptions& options, std::string directory, std::function<bool()> interrupted);

  // Starts everything but a canary. Calls tell with a line for each step.
  Status start(const std::function<void(const std::string&)>& tell);
  // Restarts the server if it runs with another config, a file of demo/.
  Status use_config(std::string_view name);
  // Replaces the canary process; ready when the balancer sees it up.
  Status start_canary(const std::string& version, std::string_view fault);
  void stop_canary() { canary_.clear(); }
  // Gives all traffic back to stable, as the balancer's own config would at a restart.
  Status reset_weights();

  Result<boost::json::value> get(const std::string& path) const;
  Result<boost::json::value> post(const std::string& path, const boost::json::value& body) const;
  // The clients' view of one version, from the load generator's own count.
  LoadCounts answered(const std::string& version) const;

  std::string page_url() const { return "http://127.0.0.1:" + std::to_string(api_port_); }
  // Polls until ready() is true. deadline_exceeded names waiting_for.
  Status wait(const std::string& waiting_for, double seconds,
              const std::function<bool()>& ready) const;

 private:
  Status start_balancer();
  Status start_stable();
  Status start_load();
  Result<Child> start_shop(const std::string& pod, const std::string& version,
                           const std::string& track, std::string_view fault,
                           std::uint16_t port) const;
  bool answers(std::uint16_t port, const std::string& path) const;
  // One line of HAProxy's Runtime API.
  Result<std::string> ask_balancer(std::string_view line) const;
  std::string path(const std::string& name) const { return directory_ + "/" + name; }
  Result<std::string> fill_template(const std::string& name) const;

  const DemoOptions options_;
  const std::string directory_;
  const std::function<bool()> interrupted_;
  std::unique_ptr<net::HttpClient> http_;
  std::string assets_;
  std::string node_;
  std::string config_; // the server runs with
  std::uint16_t api_port_ = 0, otlp_grpc_port_ = 0, otlp_http_port_ = 0, balancer_port_ = 0;
  std::vector<std::uint16_t> shop_ports_; // stable1, stable2, canary1
  // Destroyed in reverse: the load first, the server last.
  std::vector<Child> server_, balancer_, stable_, canary_, load_;
};

} // namespace coalmine::demo
