// A server that answers what a test queued, and a terminal that keeps what is printed.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <deque>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "cli/cli.h"
#include "net/unkind_client_for_test.h"

namespace coalmine::cli {

// Answers calls with what a test queued, in order; the last answer stays. Keeps what was asked.
class FakeServer final : public net::HttpClient {
 public:
  Result<net::HttpResponse> fetch(const net::ClientRequest& request) override {
    requests.push_back(request);
    if (answers.empty()) return fail(ErrorCode::unavailable, "connection refused");
    auto answer = answers.front();
    if (answers.size() > 1) answers.pop_front();
    if (!answer) return net::unkind_failure(request, answer.error().message);
    return answer;
  }
  Status stream(const net::ClientRequest&, const std::function<bool(std::string_view)>&) override {
    return fail(ErrorCode::unimplemented, "not used");
  }
  void say(int status, std::string body) {
    net::HttpResponse response;
    response.status = status;
    response.body = std::move(body);
    answers.push_back(std::move(response));
  }
  void refuse() { answers.push_back(fail(ErrorCode::unavailable, "connection refused")); }

  std::deque<Result<net::HttpResponse>> answers;
  std::vector<net::ClientRequest> requests;
};

class Cli : public testing::Test {
 protected:
  Terminal terminal() {
    Terminal t{.http = server,
               .clock = clock,
               .out = out,
               .err = err,
               .sleep = [this](std::chrono::milliseconds d) { clock.advance_ms(d.count()); }};
    t.utc = true;
    return t;
  }
  FakeServer server;
  ManualClock clock{1'795'354'927'000};
  std::ostringstream out;
  std::ostringstream err;
};

} // namespace coalmine::cli
