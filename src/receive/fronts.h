// The two faces of the receiver: OTLP/HTTP and OTLP/gRPC requests to Intake and back. They know the protocols' rules about paths,
// content types, statuses and retries; the servers behind them know none of it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <string>

#include "base/executor.h"
#include "net/grpc_server.h"
#include "net/http_server.h"
#include "receive/intake.h"

namespace coalmine::receive {

// handle runs on the HTTP server's I/O thread and only checks headers; the work is done on the pool. Borrows intake and pool.
class HttpFront {
 public:
  HttpFront(Intake& intake, Executor& pool, std::string bearer_token)
      : intake_(intake), pool_(pool), bearer_token_(std::move(bearer_token)) {}

  void handle(net::HttpRequest request, std::unique_ptr<net::Responder> responder);
  // The body for errors the server itself finds (bad request line, too large …).
  net::HttpResponse transport_error(int status, std::string_view message);

 private:
  struct Job;
  Intake& intake_;
  Executor& pool_;
  const std::string bearer_token_;
};

// As HttpFront, for gRPC: the three Export methods and grpc.health.v1.Health/Check.
class GrpcFront {
 public:
  GrpcFront(Intake& intake, Executor& pool, std::string bearer_token)
      : intake_(intake), pool_(pool), bearer_token_(std::move(bearer_token)) {}

  void handle(net::GrpcRequest request, net::GrpcServer::Reply reply);

 private:
  struct Job;
  Intake& intake_;
  Executor& pool_;
  const std::string bearer_token_;
};

} // namespace coalmine::receive
