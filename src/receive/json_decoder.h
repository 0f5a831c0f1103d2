// OTLP/JSON to BatchBuilder.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "base/result.h"
#include "receive/batch_builder.h"
#include "receive/json_reader.h"
#include "receive/text.h"

namespace coalmine::receive {

// Walks the parsed document. One decode call on one thread.
class JsonDecoder {
 public:
  explicit JsonDecoder(BatchBuilder& out) : out_(out) {}

  // Reads the whole Export*ServiceRequest. invalid_argument: not JSON, or a key of a wrong type.
  Status run(Signal signal, std::string_view payload);

 private:
  void resource_items(JsonElement item, Signal signal);
  void scope_items(JsonElement item, Signal signal);
  void span(JsonElement item);
  void event(JsonElement item, std::vector<SpanEvent>& events);
  void log_record(JsonElement item);

  void metric(JsonElement item);
  void data_points(JsonElement data, Instrument instrument);
  // A field that all kinds of points have; false: not one of them.
  bool point_field(PointHead& point, std::string_view key, JsonElement value);
  void number_point(JsonElement item);
  void histogram_point(JsonElement item);
  void exponential_point(JsonElement item);
  void summary_point(JsonElement item);
  void buckets(JsonElement value, std::string_view key, ExponentialHistogram::Buckets& to);
  void counts(JsonElement value, std::string_view key, std::vector<std::uint64_t>& to);

  template <typename Id>
  IdState id(JsonElement value, std::string_view key, Id& out);
  void attributes(JsonElement value, Attributes& to);
  AttributeValue any_value(JsonElement value);
  void nested_value(JsonElement value, BoundedJson& json, int depth);
  void nested_array(JsonElement value, BoundedJson& json, int depth);
  void nested_map(JsonElement value, BoundedJson& json, int depth);
  // bytesValue: base64, as protobuf's own JSON has it.
  std::string bytes(JsonElement value);

  JsonReader reader_;
  BatchBuilder& out_;
};

} // namespace coalmine::receive
