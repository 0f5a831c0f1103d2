// Error codes at the edge: gRPC and HTTP statuses.
// SPDX-License-Identifier: Apache-2.0
#include "net/grpc_server.h"

namespace coalmine::net {

GrpcStatus to_grpc(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return GrpcStatus::invalid_argument;
    case ErrorCode::not_found: return GrpcStatus::not_found;
    case ErrorCode::already_exists: return GrpcStatus::already_exists;
    case ErrorCode::failed_precondition: return GrpcStatus::failed_precondition;
    case ErrorCode::resource_exhausted: return GrpcStatus::resource_exhausted;
    case ErrorCode::unavailable: return GrpcStatus::unavailable;
    case ErrorCode::deadline_exceeded: return GrpcStatus::deadline_exceeded;
    case ErrorCode::permission_denied: return GrpcStatus::permission_denied;
    case ErrorCode::unauthenticated: return GrpcStatus::unauthenticated;
    case ErrorCode::unimplemented: return GrpcStatus::unimplemented;
    // Clients retry DATA_LOSS, but a retry does not mend bytes damaged on our disk.
    case ErrorCode::data_loss: return GrpcStatus::internal;
    case ErrorCode::internal: return GrpcStatus::internal;
  }
  return GrpcStatus::unknown;
}

std::string_view to_string(GrpcStatus code) {
  switch (code) {
    case GrpcStatus::ok: return "OK";
    case GrpcStatus::cancelled: return "CANCELLED";
    case GrpcStatus::unknown: return "UNKNOWN";
    case GrpcStatus::invalid_argument: return "INVALID_ARGUMENT";
    case GrpcStatus::deadline_exceeded: return "DEADLINE_EXCEEDED";
    case GrpcStatus::not_found: return "NOT_FOUND";
    case GrpcStatus::already_exists: return "ALREADY_EXISTS";
    case GrpcStatus::permission_denied: return "PERMISSION_DENIED";
    case GrpcStatus::resource_exhausted: return "RESOURCE_EXHAUSTED";
    case GrpcStatus::failed_precondition: return "FAILED_PRECONDITION";
    case GrpcStatus::aborted: return "ABORTED";
    case GrpcStatus::out_of_range: return "OUT_OF_RANGE";
    case GrpcStatus::unimplemented: return "UNIMPLEMENTED";
    case GrpcStatus::internal: return "INTERNAL";
    case GrpcStatus::unavailable: return "UNAVAILABLE";
    case GrpcStatus::data_loss: return "DATA_LOSS";
    case GrpcStatus::unauthenticated: return "UNAUTHENTICATED";
  }
  return "UNKNOWN";
}

int to_http(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::not_found: return 404;
    case ErrorCode::already_exists: return 409;
    case ErrorCode::failed_precondition: return 412;
    case ErrorCode::resource_exhausted:
      return 413; // a limit that a retry does not change; "later" is unavailable
    case ErrorCode::unavailable: return 503;
    case ErrorCode::deadline_exceeded: return 504;
    case ErrorCode::permission_denied: return 403;
    case ErrorCode::unauthenticated: return 401;
    case ErrorCode::unimplemented: return 501;
    case ErrorCode::data_loss: return 500;
    case ErrorCode::internal: return 500;
  }
  return 500;
}

} // namespace coalmine::net
