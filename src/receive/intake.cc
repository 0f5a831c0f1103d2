// SPDX-License-Identifier: Apache-2.0
#include "receive/intake.h"

#include <algorithm>
#include <exception>
#include <new>

#include "receive/answers.h"

namespace coalmine::receive {

bool looks_gzipped(std::string_view body) { return body.starts_with("\x1f\x8b"); }

std::string_view host_of(std::string_view peer) {
  const auto colon = peer.rfind(':');
  const bool bare_v6 = peer.find(':') != colon && !peer.starts_with('[');
  if (colon != std::string_view::npos && !bare_v6) peer = peer.substr(0, colon);
  if (peer.starts_with('[') && peer.ends_with(']')) peer = peer.substr(1, peer.size() - 2);
  return peer;
}

bool authorized(std::string_view authorization, std::string_view token) {
  if (token.empty()) return true;
  constexpr std::string_view kScheme = "bearer ";
  if (authorization.size() != kScheme.size() + token.size()) return false;
  unsigned difference = 0;
  for (std::size_t i = 0; i < kScheme.size(); ++i) {
    const char c = authorization[i];
    difference |=
        static_cast<unsigned char>((c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c) ^ kScheme[i]);
  }
  for (std::size_t i = 0; i < token.size(); ++i) {
    difference |= static_cast<unsigned char>(authorization[kScheme.size() + i] ^ token[i]);
  }
  return difference == 0;
}

Result<Accepted> Intake::take(const Delivery& delivery) {
  try {
    return decode_and_append(delivery);
  } catch (const std::bad_alloc&) {
    return fail(ErrorCode::resource_exhausted,
                "no memory to decode the request; send smaller batches");
  } catch (const std::exception& e) {
    return fail(ErrorCode::internal, std::string("decoding failed: ") + e.what());
  }
}

Result<Accepted> Intake::decode_and_append(const Delivery& delivery) {
  const auto signal = std::string(signal_name(delivery.signal));
  metrics_
      .counter("coalmine_otlp_received_bytes_total",
               "Bytes of OTLP bodies as they came over the wire.", {{"signal", signal}})
      .add(static_cast<double>(delivery.body.size()));
  auto compression = delivery.compression;
  if ((compression.empty() || compression == "identity") && looks_gzipped(delivery.body))
    compression = "gzip";
  std::string inflated;
  std::string_view payload = delivery.body;
  if (!compression.empty() && compression != "identity") {
    TRY_ASSIGN(inflated, inflate(delivery.body, compression, limits_));
    payload = inflated;
  } else if (payload.size() > limits_.max_inflated_bytes) {
    return std::unexpected<Error>(inflate(payload, "", limits_).error());
  }
  cache_.forget_now_and_then(clock_.steady_ms());
  TRY_ASSIGN(const Decoded decoded,
             decode(delivery.signal, delivery.encoding, payload, host_of(delivery.peer),
                    clock_.wall_ms(), limits_, &cache_));
  store::AppendResult stored;
  if (!decoded.batch.empty()) {
    TRY_ASSIGN(stored, store_.append(decoded.batch));
  }
  const std::size_t by_store =
      stored.rejected_points + stored.rejected_spans + stored.rejected_logs;
  count(delivery.signal, decoded, by_store);
  Accepted out{decoded.rejected + by_store, decoded.reason};
  if (!stored.reason.empty()) {
    if (!out.message.empty()) out.message += "; ";
    out.message += stored.reason;
  }
  return out;
}

void Intake::count(Signal signal, const Decoded& decoded, std::size_t rejected_by_store) {
  const std::string name(signal_name(signal));
  const auto add = [&](std::string_view counter, std::string_view help, std::size_t n) {
    if (n > 0) metrics_.counter(counter, help, {{"signal", name}}).add(static_cast<double>(n));
  };
  const auto reject = [&](const std::string& reason, std::size_t n) {
    if (n == 0) return;
    metrics_
        .counter("coalmine_otlp_rejected_total",
                 "Spans, data points and log records answered as rejected.",
                 {{"signal", name}, {"reason", reason}})
        .add(static_cast<double>(n));
  };
  const std::size_t rejected = decoded.rejected + rejected_by_store;
  add("coalmine_otlp_items_total", "Spans, data points and log records accepted.",
      decoded.items - std::min(decoded.items, rejected));
  add("coalmine_otlp_logs_not_kept_total",
      "Log records accepted and not kept: neither an exception nor an error of a trace.",
      decoded.logs_not_kept);
  add("coalmine_otlp_dropped_attributes_total",
      "Attributes and events beyond the limit, or without a key.", decoded.dropped_attributes);
  add("coalmine_otlp_cut_values_total",
      "Values cut because they were too long or nested too deeply.", decoded.cut_values);
  for (const auto& [reason, n] : decoded.rejected_by) reject(reason, n);
  reject("store", rejected_by_store);
}

void Intake::count_request(std::string_view protocol, std::string_view signal,
                           std::string_view code) {
  metrics_
      .counter("coalmine_otlp_requests_total", "OTLP requests by how they were answered.",
               {{"protocol", std::string(protocol)},
                {"signal", std::string(signal)},
                {"code", std::string(code)}})
      .add();
}

} // namespace coalmine::receive
