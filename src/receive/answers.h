// Answers to OTLP clients: Export*ServiceResponse and google.rpc.Status, in both encodings. Pure;
// any thread.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "net/grpc_server.h"
#include "receive/otlp.h"

namespace coalmine::receive {

std::string_view signal_name(Signal signal);      // traces, metrics, logs
std::string_view content_type(Encoding encoding); // application/x-protobuf, application/json

// Export*ServiceResponse. Nothing rejected and no message: full success, which is an empty message.
std::string export_response(Signal signal, Encoding encoding, std::size_t rejected,
                            std::string_view message);

// google.rpc.Status. retry_after_s > 0 adds google.rpc.RetryInfo, which asks the client to try
// again (protobuf only; over HTTP the header Retry-After says it).
std::string rpc_status(Encoding encoding, net::GrpcStatus code, std::string_view message,
                       int retry_after_s = 0);

net::GrpcStatus grpc_code(ErrorCode code);
// A limit is 413 here and not 429: sending the same again cannot help.
int http_code(ErrorCode code);

// At most limit bytes, cut between characters: error texts go into headers, which clients bound.
std::string short_message(std::string_view message, std::size_t limit = 1024);

} // namespace coalmine::receive
