// What moves traffic. A router knows no rollouts: a weight goes in, a weight that was read back
// comes out.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"

namespace coalmine::route {

// The canary's share of traffic, 0 to 1, as asked for or read back.
struct Weight {
  double canary = 0;
  // Read back: what the router itself knows that keeps the shares of requests from being those of
  // the weights, as a clause ("server stable2 is DOWN"); "" when it knows of nothing.
  std::string split_cause{};
  // Read back: why stable could not take the traffic now, as a clause ("no stable server is up");
  // "" when it could, or the router does not tell.
  std::string stable_down{};
};

// What the router said. applied is read back from it after the change.
struct Applied {
  Weight asked;
  Weight applied; // what integer weights allow may differ by up to the tolerance
  double elapsed_ms = 0;
  std::string detail; // for the log: "canary1 weight 3, stable1 weight 19"
  // panic: not empty when the canary was left its weight, and why; to be tried again.
  std::string kept{};
};

// Blocking, with its own timeouts (default 2 s a call); called on effect threads; implementations
// are thread-safe.
class Router {
 public:
  virtual ~Router() = default;
  virtual std::string describe() const = 0; // "haproxy /run/haproxy/admin.sock checkout"
  // Idempotent: sets the value, never adds. failed_precondition when the weight cannot be expressed
  // within tolerance.
  virtual Result<Applied> set(Weight weight) = 0;
  // All traffic to stable with the least machinery, retried by the caller until it succeeds.
  virtual Result<Applied> panic() = 0;
  virtual Result<Weight> read() = 0;
  // Whether what the options name is there: backend, servers, map. Changes nothing. The code says
  // whether asking again may help (unavailable, deadline_exceeded) or the options are wrong.
  virtual Status check() {
    TRY(read());
    return {};
  }
  // False: nothing that could give the canary traffic has been sent since this object was made, so
  // a way back to 0 is not needed. When in doubt, true.
  virtual bool may_have_raised() const { return true; }
};

// Traffic is watched, not moved.
struct ObserveOptions {};

struct HaproxyOptions {
  std::string socket; // unix socket path, or host:port of a TCP stats socket
  // Layout A: server weights in one backend.
  std::string backend;
  std::vector<std::string> stable_servers;
  std::vector<std::string> canary_servers;
  // Layout B: two backends and a map key (value 0..10000). Used when map is set.
  std::string map; // file name of the map as HAProxy knows it
  std::string map_key;
  // panic() leaves the canary its weight while every stable server is DOWN and it answers: with it
  // gone nobody would.
  bool keep_serving = true;
  double tolerance = 0.0025; // from kSmallShare up; in proportion to a smaller weight
  int timeout_ms = 2000;
};

// What moves the traffic of one rollout, and how it is reached. A plain value.
using RouterOptions = std::variant<ObserveOptions, HaproxyOptions>;

// False for a router that only watches.
bool moves_traffic(const RouterOptions& options);
// By how much a weight that was read back may differ from the one that was set; a share. Below
// kSmallShare it shrinks with the weight: a quarter of a point is nothing of 25 % and all of 0.25
// %.
inline constexpr double kSmallShare = 0.025;
double tolerance(const RouterOptions& options, double weight);
double tolerance(const HaproxyOptions& options, double weight);

// What the router is reached at, in words ("HAProxy at /run/haproxy/admin.sock"): routers with the
// same endpoint hang together. "": nothing is reached.
std::string endpoint(const RouterOptions& options);
// A call that takes longer than this, in ms, hangs in something that has no timeout of its own.
std::int64_t longest_call_ms(const RouterOptions& options);

// Does not talk to the router yet. invalid_argument when the options cannot be meant.
Result<std::unique_ptr<Router>> make_router(const RouterOptions& options);
// The servers are named. make_router also takes patterns (haproxy_discovery.h).
Result<std::unique_ptr<Router>> make_haproxy_router(HaproxyOptions options);
// Moves nothing: watching only. read() gives what was last set.
std::unique_ptr<Router> make_observe_router();

} // namespace coalmine::route
