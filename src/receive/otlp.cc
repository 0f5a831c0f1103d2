// SPDX-License-Identifier: Apache-2.0
#include "receive/otlp.h"

#include <fmt/format.h>

#include "receive/batch_builder.h"
#include "receive/json_decoder.h"
#include "receive/misdirected.h"
#include "receive/protobuf_decoder.h"

namespace coalmine::receive {
namespace {

// The size of a data point with a few attributes. Reserving too much costs address space only.
constexpr std::size_t kUsualPointBytes = 100;

std::string_view request_name(Signal signal) {
  switch (signal) {
    case Signal::traces: return "ExportTraceServiceRequest";
    case Signal::metrics: return "ExportMetricsServiceRequest";
    case Signal::logs: return "ExportLogsServiceRequest";
  }
  return "request";
}

Status decode_protobuf(Signal signal, std::string_view payload, BatchBuilder& builder) {
  ProtobufDecoder decoder(payload, builder);
  std::string why;
  try {
    decoder.run(signal);
    why = decoder.cursor().fault();
  } catch (const protozero::exception& e) { // the library's way to say "malformed"
    why = e.what();
  }
  if (why.empty()) return {};
  return fail(ErrorCode::invalid_argument,
              fmt::format("the payload is not a valid protobuf {}: {} at byte {} of {}{}",
                          request_name(signal), why, decoder.cursor().offset(), payload.size(),
                          looks_like(payload, Encoding::protobuf)));
}

} // namespace

Result<Decoded> decode(Signal signal, Encoding encoding, std::string_view payload,
                       std::string_view sender, std::int64_t now_ms, const Limits& limits,
                       SeriesCache* cache) {
  BatchBuilder builder(sender, now_ms, limits, cache);
  if (encoding == Encoding::protobuf) {
    if (signal == Signal::metrics) builder.expect_points(payload.size() / kUsualPointBytes);
    TRY(decode_protobuf(signal, payload, builder));
  } else {
    TRY(JsonDecoder(builder).run(signal, payload));
  }
  return builder.finish(signal);
}

} // namespace coalmine::receive
