// OTLP/protobuf to BatchBuilder: a streaming visitor over the bytes, no generated code.
// Fields: opentelemetry-proto 1.x, trace.proto, metrics.proto, logs.proto, common.proto,
// resource.proto.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <protozero/pbf_reader.hpp>

#include <algorithm>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "receive/batch_builder.h"
#include "receive/text.h"

namespace coalmine::receive {

// What every reader of protobuf uses: the wire types under short names, and the bytes of a field.
using protozero::pbf_wire_type;
using protozero::tag_and_type;
inline constexpr auto kBytes = pbf_wire_type::length_delimited;
inline constexpr auto kVarint = pbf_wire_type::varint;
inline constexpr auto kFixed64 = pbf_wire_type::fixed64;
inline constexpr auto kFixed32 = pbf_wire_type::fixed32;

// The bytes of the field at hand. They live as long as the payload.
inline std::string_view view(protozero::pbf_reader& message) {
  const auto v = message.get_view();
  return {v.data(), v.size()};
}

// The id of a trace or span, whose length must be exact.
template <typename Id>
IdState read_id(std::string_view raw, Id& out) {
  if (raw.empty()) return IdState::missing;
  if (raw.size() != out.size()) return IdState::bad;
  std::ranges::copy(raw, reinterpret_cast<char*>(out.data()));
  return IdState::good;
}

// Cursor over nested messages that remembers where it is, for error messages. The first wrong field
// stops every loop: next() is false from then on. protozero throws for wrong lengths and varints;
// decode_protobuf catches that. One thread, one payload.
class ProtobufCursor {
 public:
  using Message = protozero::pbf_reader;
  explicit ProtobufCursor(std::string_view payload) : payload_(payload), at_(payload.data()) {}

  bool next(Message& message) {
    if (failed()) return false;
    at_ = message.data().data();
    return message.next();
  }
  // A field not read: skipped when the protocol may have added it, an error when it is one we know
  // in another wire type.
  void other(Message& message, std::string_view type, std::initializer_list<std::uint32_t> known);
  void stop() { stopped_ = true; }
  bool failed() const { return stopped_; }
  const std::string& fault() const { return fault_; }
  // Where the field that next() found begins, its tag included.
  const char* field() const { return at_; }
  std::size_t offset() const { return static_cast<std::size_t>(at_ - payload_.data()); }

 private:
  std::string_view payload_;
  const char* at_;
  bool stopped_ = false;
  std::string fault_;
};

// The attributes of a point as one range of the payload, while they are contiguous.
class AttributeBytes {
 public:
  void add(const char* begin, const char* end) {
    if (begin_ == nullptr) begin_ = begin;
    if (end_ != nullptr && end_ != begin) scattered_ = true;
    end_ = end;
  }
  bool scattered() const { return scattered_; }
  std::string_view view() const { return {begin_, static_cast<std::size_t>(end_ - begin_)}; }

 private:
  const char* begin_ = nullptr;
  const char* end_ = nullptr;
  bool scattered_ = false;
};

// The visitor. One decode call on one thread.
class ProtobufDecoder {
 public:
  using Message = protozero::pbf_reader;
  ProtobufDecoder(std::string_view payload, BatchBuilder& out)
      : payload_(payload), cursor_(payload), out_(out) {}

  // Reads the whole Export*ServiceRequest. May throw protozero::exception.
  void run(Signal signal);
  const ProtobufCursor& cursor() const { return cursor_; }

 private:
  void resource_items(Message message, Signal signal);
  void scope_items(Message message, Signal signal);
  void span(Message message);
  void event(Message message, std::uint32_t& count);
  void status(Message message, SpanTable::Row& row);
  void span_attribute(Message message);
  std::uint32_t span_text(Message& message);
  void log_record(Message message);

  void metric(Message message);
  struct DataMessage { // Gauge, Sum, Histogram …: the same fields where they have them
    std::optional<Temporality> temporality;
    bool monotonic = false;
  };
  DataMessage data_message(Message message);
  void data_points(Message message, Instrument instrument);
  void number_point(Message message);
  void histogram_point(Message message);
  void exponential_point(Message message);
  void buckets(Message message, ExponentialHistogram::Buckets& to);
  void summary_point(Message message);

  // The point's series by the bytes of its attributes (field number tag), else its attributes.
  void identify(PointHead& point, const Message& message, const AttributeBytes& bytes,
                std::uint32_t tag);
  Attributes attributes_of(Message message, std::string_view type);
  void key_value(Message message, Attributes& to);
  AttributeValue any_value(Message message);
  void nested_value(Message message, BoundedJson& json, int depth);
  void nested_array(Message message, BoundedJson& json, int depth);
  void nested_map(Message message, BoundedJson& json, int depth);

  std::string_view payload_;
  ProtobufCursor cursor_;
  BatchBuilder& out_;
};

} // namespace coalmine::receive
