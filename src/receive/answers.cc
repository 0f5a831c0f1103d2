// SPDX-License-Identifier: Apache-2.0
#include "receive/answers.h"

#include <fmt/format.h>

#include <protozero/pbf_writer.hpp>

#include "receive/text.h"

namespace coalmine::receive {
namespace {

std::string_view rejected_key(Signal signal) {
  switch (signal) {
    case Signal::traces: return "rejectedSpans";
    case Signal::metrics: return "rejectedDataPoints";
    case Signal::logs: return "rejectedLogRecords";
  }
  return "";
}

// google.protobuf.Any holding google.rpc.RetryInfo{retry_delay = 1:
// google.protobuf.Duration{seconds = 1}}.
std::string retry_info(int seconds) {
  std::string duration;
  protozero::pbf_writer(duration).add_int64(1, seconds);
  std::string info;
  protozero::pbf_writer(info).add_message(1, duration);
  std::string any;
  protozero::pbf_writer writer(any);
  writer.add_string(1, "type.googleapis.com/google.rpc.RetryInfo");
  writer.add_bytes(2, info);
  return any;
}

} // namespace

std::string_view signal_name(Signal signal) {
  switch (signal) {
    case Signal::traces: return "traces";
    case Signal::metrics: return "metrics";
    case Signal::logs: return "logs";
  }
  return "";
}

std::string_view content_type(Encoding encoding) {
  return encoding == Encoding::json ? "application/json" : "application/x-protobuf";
}

std::string export_response(Signal signal, Encoding encoding, std::size_t rejected,
                            std::string_view message) {
  const bool full_success = rejected == 0 && message.empty();
  const auto text = short_message(message);
  if (encoding == Encoding::json) {
    if (full_success) return "{}";
    std::string out = fmt::format(R"({{"partialSuccess":{{"{}":"{}","errorMessage":)",
                                  rejected_key(signal), rejected);
    append_json_string(out, text);
    return out + "}}";
  }
  std::string out;
  if (full_success) return out;
  std::string partial;
  protozero::pbf_writer writer(partial);
  writer.add_int64(1, static_cast<std::int64_t>(rejected));
  writer.add_string(2, text);
  protozero::pbf_writer(out).add_message(1, partial);
  return out;
}

std::string rpc_status(Encoding encoding, net::GrpcStatus code, std::string_view message,
                       int retry_after_s) {
  const auto text = short_message(message);
  std::string out;
  if (encoding == Encoding::json) {
    out = fmt::format(R"({{"code":{},"message":)", static_cast<int>(code));
    append_json_string(out, text);
    return out + "}";
  }
  protozero::pbf_writer writer(out);
  writer.add_int32(1, static_cast<std::int32_t>(code));
  writer.add_string(2, text);
  if (retry_after_s > 0) writer.add_message(3, retry_info(retry_after_s));
  return out;
}

net::GrpcStatus grpc_code(ErrorCode code) {
  // OTLP clients send again after DATA_LOSS, but not after the INTERNAL that to_grpc() makes of it.
  return code == ErrorCode::data_loss ? net::GrpcStatus::data_loss : net::to_grpc(code);
}

int http_code(ErrorCode code) {
  switch (code) {
    case ErrorCode::invalid_argument: return 400;
    case ErrorCode::not_found: return 404;
    case ErrorCode::resource_exhausted: return 413;
    case ErrorCode::unavailable:
    case ErrorCode::deadline_exceeded: return 503;
    case ErrorCode::permission_denied: return 403;
    case ErrorCode::unauthenticated: return 401;
    default: return 500;
  }
}

std::string short_message(std::string_view message, std::size_t limit) {
  bool cut = false;
  return safe_text(message, limit, cut);
}

} // namespace coalmine::receive
