// The two faces of the receiver: OTLP/HTTP and OTLP/gRPC requests to Intake and back. They know the
// protocols' rules about paths, content types, statuses and retries; the servers behind them do not
// know these.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "base/clock.h"
#include "base/executor.h"
#include "net/grpc_server.h"
#include "net/http_server.h"
#include "net/misdirected_senders.h"
#include "receive/intake.h"

namespace coalmine::receive {

// What a refused sender is told to wait, in seconds: a full pool drains at once, a disk that
// refuses takes a while.
inline constexpr int kRetryBusy = 1;
inline constexpr int kRetryStore = 5;

// Decides on which thread a request is decoded and stored. A small uncompressed request runs at
// once, on the I/O thread: waking another thread would cost more than the request. Every other
// request goes to the pool, so that nobody waits behind a large one. After a request that took long
// all go to the pool for some seconds, because the disk is slow then.
// One per I/O thread, used on that thread only. Borrows pool and clock.
class InlineOrPool {
 public:
  static constexpr std::size_t kAtOnceBytes = 64 << 10;
  static constexpr std::int64_t kLongMs = 50;
  static constexpr std::int64_t kPoolMs = 5'000;

  InlineOrPool(Executor& pool, const Clock& clock) : pool_(pool), clock_(clock) {}
  // False: the pool is full, and the work was not done.
  template <typename Work>
  bool run(std::size_t bytes, bool compressed, Work work) {
    if (compressed || bytes > kAtOnceBytes || clock_.steady_ms() < pool_until_ms_)
      return pool_.try_submit(std::move(work));
    const auto begun = clock_.steady_ms();
    work();
    const auto ended = clock_.steady_ms();
    if (ended - begun >= kLongMs) pool_until_ms_ = ended + kPoolMs;
    return true;
  }

 private:
  Executor& pool_;
  const Clock& clock_;
  std::int64_t pool_until_ms_ = INT64_MIN;
};

// handle runs on the HTTP server's I/O thread. Borrows intake, pool and clock.
class HttpFront {
 public:
  HttpFront(Intake& intake, Executor& pool, const Clock& clock, std::string bearer_token,
            std::shared_ptr<net::MisdirectedSenders> misdirected = nullptr)
      : intake_(intake),
        runner_(pool, clock),
        bearer_token_(std::move(bearer_token)),
        misdirected_(std::move(misdirected)) {}

  void handle(net::HttpRequest request, std::unique_ptr<net::Responder> responder);
  // The body for errors the server itself finds (bad request line, too large …).
  net::HttpResponse transport_error(int status, std::string_view message);

 private:
  struct Job;
  Intake& intake_;
  InlineOrPool runner_;
  const std::string bearer_token_;
  const std::shared_ptr<net::MisdirectedSenders> misdirected_; // null: nobody is told
};

// As HttpFront, for gRPC: the three Export methods and grpc.health.v1.Health/Check.
class GrpcFront {
 public:
  GrpcFront(Intake& intake, Executor& pool, const Clock& clock, std::string bearer_token,
            std::shared_ptr<net::MisdirectedSenders> misdirected = nullptr)
      : intake_(intake),
        runner_(pool, clock),
        bearer_token_(std::move(bearer_token)),
        misdirected_(std::move(misdirected)) {}

  void handle(net::GrpcRequest request, net::GrpcServer::Reply reply);

 private:
  struct Job;
  Intake& intake_;
  InlineOrPool runner_;
  const std::string bearer_token_;
  const std::shared_ptr<net::MisdirectedSenders> misdirected_; // null: nobody is told
};

} // namespace coalmine::receive
