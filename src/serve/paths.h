// The table of the paths that this server answers.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "net/http.h"

namespace coalmine::serve {

// The pool that answers. What people look at (query, search) takes no thread from verdicts that are
// asked for (analysis), nor from commands. Commands that wait for the journal take none from health
// checks. Incoming telemetry waits for none of these. Looks of rollouts have a pool of their own.
enum class Lane {
  quick,
  query,    // PromQL, one trace
  search,   // for failures, through all spans
  analysis, // POST /v1/analyze
  start,    // of a rollout: asks its router, which may hang
  command,
  ingest,
  backup,
};

// The segments of the path at the places where the pattern has '*', in order.
using Segments = std::vector<std::string>;
using Handler =
    std::function<net::HttpResponse(const net::HttpRequest& request, const Segments& segments)>;

struct Route {
  std::string_view method; // GET (HEAD arrives as GET), POST
  std::string_view path;   // "/v1/rollouts/*": each * is one segment, never empty
  Lane lane = Lane::quick;
  Handler handler;
};

// Immutable after construction; any thread.
class Paths {
 public:
  explicit Paths(std::vector<Route> routes) : routes_(std::move(routes)) {}

  struct Found {
    const Route* route = nullptr; // null: no such path, or not with this method
    Segments segments;
    std::string allow; // methods that the path does have, "GET, POST"; "": there is no such path
  };
  Found find(std::string_view method, std::string_view path) const;

 private:
  const std::vector<Route> routes_;
};

} // namespace coalmine::serve
