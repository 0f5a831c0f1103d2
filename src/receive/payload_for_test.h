// Test support: one tree of fields that is written as OTLP/protobuf and as OTLP/JSON, so that both
// decoders can be held against each other. Only *_test.cc, fuzzers and benchmarks include it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <fmt/format.h>
#include <zlib.h>

#include <cmath>
#include <cstdint>
#include <memory>
#include <protozero/pbf_writer.hpp>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "receive/text.h"
#include "telemetry/resource.h"

namespace coalmine::receive::payload {

// How the JSON is written: senders differ.
struct JsonStyle {
  bool snake_case = false;
  bool ints_as_strings = true; // JavaScript sends numbers
};

struct Message;

struct Hex {
  std::string raw;
};
struct Base64 {
  std::string raw;
};
struct Varint {
  std::uint64_t value;
};
struct SignedVarint {
  std::int64_t value;
}; // int64: intValue
struct ZigZag {
  std::int32_t value;
};
struct Fixed32 {
  std::uint32_t value;
};
struct Fixed64 {
  std::uint64_t value;
};
struct SignedFixed64 {
  std::int64_t value;
};
struct PackedFixed64 {
  std::vector<std::uint64_t> values;
};
struct PackedVarint {
  std::vector<std::uint64_t> values;
};
struct PackedDouble {
  std::vector<double> values;
};
using Value = std::variant<std::string, bool, double, Hex, Base64, Varint, SignedVarint, ZigZag,
                           Fixed32, Fixed64, SignedFixed64, PackedFixed64, PackedVarint,
                           PackedDouble, std::vector<Message>>;

struct Field {
  std::uint32_t tag;
  std::string name; // lowerCamelCase
  Value value;
  bool repeated = false; // of messages: a JSON array
};

struct Message {
  std::vector<Field> fields;

  Message& set(std::uint32_t tag, std::string name, Value value) {
    fields.push_back({tag, std::move(name), std::move(value), false});
    return *this;
  }
  Message& one(std::uint32_t tag, std::string name, Message message) {
    std::vector<Message> list;
    list.push_back(std::move(message));
    fields.push_back({tag, std::move(name), std::move(list), false});
    return *this;
  }
  Message& many(std::uint32_t tag, std::string name, std::vector<Message> messages) {
    fields.push_back({tag, std::move(name), std::move(messages), true});
    return *this;
  }
};

inline std::string to_protobuf(const Message& message);

struct ProtobufWriter {
  protozero::pbf_writer& out;
  std::uint32_t tag;
  void operator()(const std::string& v) const { out.add_string(tag, v); }
  void operator()(bool v) const { out.add_bool(tag, v); }
  void operator()(double v) const { out.add_double(tag, v); }
  void operator()(const Hex& v) const { out.add_bytes(tag, v.raw); }
  void operator()(const Base64& v) const { out.add_bytes(tag, v.raw); }
  void operator()(Varint v) const { out.add_uint64(tag, v.value); }
  void operator()(SignedVarint v) const { out.add_int64(tag, v.value); }
  void operator()(ZigZag v) const { out.add_sint32(tag, v.value); }
  void operator()(Fixed32 v) const { out.add_fixed32(tag, v.value); }
  void operator()(Fixed64 v) const { out.add_fixed64(tag, v.value); }
  void operator()(SignedFixed64 v) const { out.add_sfixed64(tag, v.value); }
  void operator()(const PackedFixed64& v) const {
    out.add_packed_fixed64(tag, v.values.begin(), v.values.end());
  }
  void operator()(const PackedVarint& v) const {
    out.add_packed_uint64(tag, v.values.begin(), v.values.end());
  }
  void operator()(const PackedDouble& v) const {
    out.add_packed_double(tag, v.values.begin(), v.values.end());
  }
  void operator()(const std::vector<Message>& v) const {
    for (const auto& item : v) out.add_message(tag, to_protobuf(item));
  }
};

inline std::string to_protobuf(const Message& message) {
  std::string out;
  protozero::pbf_writer writer(out);
  for (const auto& field : message.fields)
    std::visit(ProtobufWriter{writer, field.tag}, field.value);
  return out;
}

inline std::string to_json(const Message& message, const JsonStyle& style);

struct JsonWriter {
  const JsonStyle& style;
  bool repeated;
  std::string number(const std::string& digits) const {
    return style.ints_as_strings ? "\"" + digits + "\"" : digits;
  }
  std::string operator()(const std::string& v) const {
    std::string out;
    append_json_string(out, v);
    return out;
  }
  std::string operator()(bool v) const { return v ? "true" : "false"; }
  std::string operator()(double v) const {
    if (std::isnan(v)) return style.ints_as_strings ? "\"NaN\"" : "null";
    if (std::isinf(v)) return v > 0 ? "\"Infinity\"" : "\"-Infinity\"";
    return fmt::format("{}", v);
  }
  std::string operator()(const Hex& v) const {
    std::string out = "\"";
    for (const char c : v.raw) out += fmt::format("{:02x}", static_cast<unsigned char>(c));
    return out + "\"";
  }
  std::string operator()(const Base64& v) const {
    return "\"" + to_text(AttributeValue(Bytes{v.raw})) + "\"";
  }
  std::string operator()(Varint v) const {
    return fmt::format("{}", v.value);
  } // enums and small integers
  std::string operator()(SignedVarint v) const { return number(fmt::format("{}", v.value)); }
  std::string operator()(ZigZag v) const { return fmt::format("{}", v.value); }
  std::string operator()(Fixed32 v) const { return fmt::format("{}", v.value); }
  std::string operator()(Fixed64 v) const { return number(fmt::format("{}", v.value)); }
  std::string operator()(SignedFixed64 v) const { return number(fmt::format("{}", v.value)); }
  std::string operator()(const PackedFixed64& v) const { return list(v.values); }
  std::string operator()(const PackedVarint& v) const { return list(v.values); }
  std::string operator()(const PackedDouble& v) const {
    std::string out;
    for (const double x : v.values) out += (out.empty() ? "" : ",") + (*this)(x);
    return "[" + out + "]";
  }
  std::string operator()(const std::vector<Message>& v) const {
    std::string out;
    for (const auto& item : v) out += (out.empty() ? "" : ",") + to_json(item, style);
    return repeated ? "[" + out + "]" : out;
  }
  std::string list(const std::vector<std::uint64_t>& values) const {
    std::string out;
    for (const auto n : values) out += (out.empty() ? "" : ",") + number(fmt::format("{}", n));
    return "[" + out + "]";
  }
};

inline std::string json_key(const std::string& camel, const JsonStyle& style) {
  std::string out;
  for (const char c : camel) {
    if (style.snake_case && c >= 'A' && c <= 'Z') {
      out += '_';
      out += static_cast<char>(c - 'A' + 'a');
    } else {
      out += c;
    }
  }
  return out;
}

inline std::string to_json(const Message& message, const JsonStyle& style) {
  std::string out;
  for (const auto& field : message.fields) {
    out += out.empty() ? "" : ",";
    out += "\"" + json_key(field.name, style) +
           "\":" + std::visit(JsonWriter{style, field.repeated}, field.value);
  }
  return "{" + out + "}";
}

// The messages of the protocol, as far as tests need them.
inline Message text_value(std::string text) {
  return Message().set(1, "stringValue", std::move(text));
}
inline Message int_value(std::int64_t n) { return Message().set(3, "intValue", SignedVarint{n}); }
inline Message key_value(std::string key, Message value) {
  return Message().set(1, "key", std::move(key)).one(2, "value", std::move(value));
}
inline Message resource(std::vector<Message> attributes) {
  return Message().many(1, "attributes", std::move(attributes));
}
inline Message canary_resource() {
  return resource({key_value("service.name", text_value("checkout-service")),
                   key_value("service.version", text_value("2.4.0")),
                   key_value("deployment.track", text_value("canary")),
                   key_value("service.instance.id", text_value("pod-1"))});
}

// items: spans, metrics or log records of one scope of one resource.
inline Message request(std::string_view signal, Message from, std::vector<Message> items,
                       std::string scope_name = "test-scope") {
  const std::string word = signal == "traces" ? "Spans" : signal == "metrics" ? "Metrics" : "Logs";
  const std::string list = signal == "traces"    ? "spans"
                           : signal == "metrics" ? "metrics"
                                                 : "logRecords";
  Message scope;
  scope.one(1, "scope", Message().set(1, "name", std::move(scope_name)))
      .many(2, list, std::move(items));
  Message wrapper;
  wrapper.one(1, "resource", std::move(from)).many(2, "scope" + word, {std::move(scope)});
  return Message().many(1, "resource" + word, {std::move(wrapper)});
}

inline Message span(std::string trace_id, std::string span_id, std::string name) {
  Message out;
  out.set(1, "traceId", Hex{std::move(trace_id)})
      .set(2, "spanId", Hex{std::move(span_id)})
      .set(5, "name", std::move(name));
  out.set(6, "kind", Varint{2}).set(7, "startTimeUnixNano", Fixed64{1'700'000'000'000'000'000});
  return std::move(out.set(8, "endTimeUnixNano", Fixed64{1'700'000'000'050'000'000}));
}

// data: the tag and JSON name of the oneof (7 "sum", 9 "histogram" …).
inline Message metric(std::string name, std::string unit, std::uint32_t tag, std::string data_name,
                      Message data) {
  Message out;
  out.set(1, "name", std::move(name)).set(3, "unit", std::move(unit));
  return std::move(out.one(tag, std::move(data_name), std::move(data)));
}
inline Message sum_data(std::vector<Message> points, std::uint64_t temporality, bool monotonic) {
  Message out;
  out.many(1, "dataPoints", std::move(points))
      .set(2, "aggregationTemporality", Varint{temporality});
  return std::move(out.set(3, "isMonotonic", monotonic));
}
inline Message histogram_data(std::vector<Message> points, std::uint64_t temporality) {
  Message out;
  return std::move(out.many(1, "dataPoints", std::move(points))
                       .set(2, "aggregationTemporality", Varint{temporality}));
}
inline Message number_point(Value value, std::vector<Message> attributes = {},
                            std::uint64_t time_ns = 1'700'000'010'000'000'000) {
  Message out;
  out.many(7, "attributes", std::move(attributes))
      .set(2, "startTimeUnixNano", Fixed64{1'700'000'000'000'000'000});
  out.set(3, "timeUnixNano", Fixed64{time_ns});
  const bool integer = std::holds_alternative<SignedFixed64>(value);
  return std::move(out.set(integer ? 6 : 4, integer ? "asInt" : "asDouble", std::move(value)));
}
inline Message histogram_point(std::vector<std::uint64_t> counts, std::vector<double> bounds,
                               std::vector<Message> attributes = {}) {
  std::uint64_t count = 0;
  for (const auto n : counts) count += n;
  Message out;
  out.many(9, "attributes", std::move(attributes))
      .set(2, "startTimeUnixNano", Fixed64{1'700'000'000'000'000'000});
  out.set(3, "timeUnixNano", Fixed64{1'700'000'010'000'000'000})
      .set(4, "count", Fixed64{count})
      .set(5, "sum", 12.5);
  return std::move(out.set(6, "bucketCounts", PackedFixed64{std::move(counts)})
                       .set(7, "explicitBounds", PackedDouble{std::move(bounds)}));
}

// Bodies as senders compress them. window_bits as deflateInit2 has them: 31 gzip, 15 zlib, -15 raw.
inline std::string deflated(std::string_view text, int window_bits) {
  z_stream stream{};
  deflateInit2(&stream, 6, Z_DEFLATED, window_bits, 8, Z_DEFAULT_STRATEGY);
  std::string out(deflateBound(&stream, text.size()) + 64, '\0');
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
  stream.avail_in = static_cast<uInt>(text.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  if (deflate(&stream, Z_FINISH) != Z_STREAM_END) throw std::runtime_error("deflate");
  out.resize(stream.total_out);
  deflateEnd(&stream);
  return out;
}

inline std::string gzipped(std::string_view text) { return deflated(text, 31); }

} // namespace coalmine::receive::payload
