// Requests, spans and logs. The metric half is in json_metrics.cc.
// SPDX-License-Identifier: Apache-2.0
#include "receive/json_decoder.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/base64.h"
#include "receive/misdirected.h"

namespace coalmine::receive {
namespace {

// The deepest JSON that AnyValues of max_depth levels give: four brackets a level (kvlistValue,
// values, pair, value), and the way to the first of them.
std::size_t json_depth(const Limits& limits) {
  return static_cast<std::size_t>(std::max(limits.max_depth, 1)) * 4 + 24;
}

std::string_view items_key(Signal signal, std::string_view of_traces, std::string_view of_metrics,
                           std::string_view of_logs) {
  return signal == Signal::traces ? of_traces : signal == Signal::metrics ? of_metrics : of_logs;
}

} // namespace

Status JsonDecoder::run(Signal signal, std::string_view payload) {
  simdjson::dom::parser parser;
  // The parser would otherwise allow its own default depth.
  if (parser.allocate(std::max<std::size_t>(payload.size(), 64), json_depth(out_.limits())) !=
      simdjson::SUCCESS) {
    return fail(ErrorCode::resource_exhausted,
                "no memory to parse the JSON payload; send smaller batches");
  }
  JsonElement root;
  if (const auto error = parser.parse(payload.data(), payload.size()).get(root);
      error != simdjson::SUCCESS) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the payload of {} bytes is not valid JSON: {}{}", payload.size(),
                            simdjson::error_message(error), looks_like(payload, Encoding::json)));
  }
  if (!root.is_object()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the JSON payload is not OTLP: it is {}not an object",
                            root.is_array() ? "a list (as Zipkin sends spans), " : ""));
  }
  reader_.fields(root, "the payload", [&](std::string_view key, JsonElement value) {
    const auto wanted = items_key(signal, "resourceSpans", "resourceMetrics", "resourceLogs");
    if (is_key(key, wanted))
      reader_.each(value, wanted, [&](JsonElement item) { resource_items(item, signal); });
  });
  if (!reader_.fault().empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the JSON payload is not OTLP: {}", reader_.fault()));
  }
  if (out_.items() > 0) return {};
  // Unknown keys are ignored, as the protocol asks; but where nothing else was sent, to say "all is
  // well" would lose it without a word.
  if (const auto stranger = find_stranger(root, signal); !stranger.empty()) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the JSON payload is not OTLP: {}", stranger));
  }
  return {};
}

void JsonDecoder::resource_items(JsonElement item, Signal signal) {
  Attributes resource;
  reader_.fields(item, "a resource's items", [&](std::string_view key, JsonElement value) {
    if (key != "resource") return;
    reader_.fields(value, "resource", [&](std::string_view inner, JsonElement list) {
      if (inner == "attributes") attributes(list, resource);
    });
  });
  if (reader_.failed()) return;
  out_.begin_resource(std::move(resource));
  reader_.fields(item, "a resource's items", [&](std::string_view key, JsonElement value) {
    const auto wanted = items_key(signal, "scopeSpans", "scopeMetrics", "scopeLogs");
    if (is_key(key, wanted))
      reader_.each(value, wanted, [&](JsonElement scope) { scope_items(scope, signal); });
  });
}

void JsonDecoder::scope_items(JsonElement item, Signal signal) {
  ScopeHead head;
  reader_.fields(item, "a scope's items", [&](std::string_view key, JsonElement value) {
    if (key != "scope") return;
    reader_.fields(value, "scope", [&](std::string_view inner, JsonElement text) {
      if (inner == "name") head.name = out_.text(reader_.text(text, "scope.name"));
      if (inner == "version") head.version = out_.text(reader_.text(text, "scope.version"));
      if (inner == "attributes") attributes(text, head.attributes);
    });
  });
  if (reader_.failed()) return;
  out_.begin_scope(std::move(head));
  const auto wanted = items_key(signal, "spans", "metrics", "logRecords");
  const auto one = [&](JsonElement entry) {
    switch (signal) {
      case Signal::traces: span(entry); break;
      case Signal::metrics: metric(entry); break;
      case Signal::logs: log_record(entry); break;
    }
    if (out_.over_budget()) reader_.stop();
  };
  reader_.fields(item, "a scope's items", [&](std::string_view key, JsonElement value) {
    if (is_key(key, wanted)) reader_.each(value, wanted, one);
  });
}

template <typename Id>
IdState JsonDecoder::id(JsonElement value, std::string_view key, Id& out) {
  const auto text = reader_.text(value, key);
  if (text.empty()) return IdState::missing;
  Id parsed{};
  if (!parse_hex(text, parsed)) {
    const auto raw = decode_base64(text); // as protobuf's own JSON mapping would have it
    return raw && raw->size() == parsed.size() ? IdState::base64 : IdState::bad;
  }
  out = parsed;
  return IdState::good;
}

void JsonDecoder::span(JsonElement item) {
  Span span;
  IdState trace = IdState::missing;
  IdState span_id = IdState::missing;
  IdState parent = IdState::missing;
  reader_.fields(item, "a span", [&](std::string_view key, JsonElement value) {
    if (is_key(key, "traceId")) {
      trace = id(value, key, span.trace_id);
    } else if (is_key(key, "spanId")) {
      span_id = id(value, key, span.span_id);
    } else if (is_key(key, "parentSpanId")) {
      parent = id(value, key, span.parent_span_id);
    } else if (key == "name") {
      span.name = out_.text(reader_.text(value, key));
    } else if (key == "kind") {
      const auto kind = reader_.enumerator(
          value, key, "SPAN_KIND_",
          {"UNSPECIFIED", "INTERNAL", "SERVER", "CLIENT", "PRODUCER", "CONSUMER"});
      span.kind = kind >= 0 && kind <= 5 ? static_cast<SpanKind>(kind) : SpanKind::unspecified;
    } else if (is_key(key, "startTimeUnixNano")) {
      span.start_ns = reader_.unsigned_integer(value, key);
    } else if (is_key(key, "endTimeUnixNano")) {
      span.end_ns = reader_.unsigned_integer(value, key);
    } else if (key == "attributes") {
      attributes(value, span.attributes);
    } else if (key == "events") {
      reader_.each(value, key, [&](JsonElement entry) { event(entry, span.events); });
    } else if (key == "status") {
      reader_.fields(value, key, [&](std::string_view inner, JsonElement part) {
        if (inner == "message")
          span.status_message = out_.text(reader_.text(part, "status.message"));
        if (inner != "code") return;
        const auto code =
            reader_.enumerator(part, "status.code", "STATUS_CODE_", {"UNSET", "OK", "ERROR"});
        span.status = code >= 0 && code <= 2 ? static_cast<StatusCode>(code) : StatusCode::unset;
      });
    } else if (is_key(key, "traceState")) {
      span.trace_state = out_.text(reader_.text(value, key));
    } else if (key == "flags") {
      span.flags = static_cast<std::uint32_t>(reader_.unsigned_integer(value, key));
    }
  });
  if (reader_.failed()) return;
  for (const auto& [key, value] : out_.sampling_marks()) {
    if (out_.has_room(span.attributes, key)) out_.push(span.attributes, key, value);
  }
  out_.add(std::move(span), trace, span_id, parent);
}

void JsonDecoder::event(JsonElement item, std::vector<SpanEvent>& events) {
  if (!out_.has_room(events)) return;
  SpanEvent event;
  reader_.fields(item, "an event", [&](std::string_view key, JsonElement value) {
    if (is_key(key, "timeUnixNano")) {
      event.time_ns = reader_.unsigned_integer(value, key);
    } else if (key == "name") {
      event.name = out_.text(reader_.text(value, key));
    } else if (key == "attributes") {
      attributes(value, event.attributes);
    }
  });
  events.push_back(std::move(event));
}

void JsonDecoder::log_record(JsonElement item) {
  LogRecord record;
  std::uint64_t observed_ns = 0;
  reader_.fields(item, "a log record", [&](std::string_view key, JsonElement value) {
    if (is_key(key, "timeUnixNano")) {
      record.time_ns = reader_.unsigned_integer(value, key);
    } else if (is_key(key, "observedTimeUnixNano")) {
      observed_ns = reader_.unsigned_integer(value, key);
    } else if (is_key(key, "severityNumber")) {
      record.severity = reader_.severity(value, key);
    } else if (key == "body") {
      record.body = to_text(any_value(value));
    } else if (key == "attributes") {
      attributes(value, record.attributes);
    } else if (is_key(key, "traceId")) {
      id(value, key,
         record.trace_id); // a wrong id means "of no trace" for a log record, so it is left zero
    } else if (is_key(key, "spanId")) {
      id(value, key, record.span_id);
    } else if (is_key(key, "eventName")) {
      record.event_name = out_.text(reader_.text(value, key));
    }
  });
  if (record.time_ns == 0) record.time_ns = observed_ns;
  if (!reader_.failed()) out_.add(std::move(record));
}

void JsonDecoder::attributes(JsonElement value, Attributes& to) {
  reader_.each(value, "attributes", [&](JsonElement pair) {
    std::string_view name;
    std::optional<JsonElement> content;
    reader_.fields(pair, "an attribute", [&](std::string_view key, JsonElement part) {
      if (key == "key") name = reader_.text(part, key);
      if (key == "value") content = part;
    });
    if (reader_.failed() || !out_.has_room(to, name)) return;
    out_.push(to, name, content ? any_value(*content) : AttributeValue());
  });
}

std::string JsonDecoder::bytes(JsonElement value) {
  auto raw = decode_base64(reader_.text(value, "bytesValue"));
  if (!raw) {
    reader_.wrong("bytesValue", "base64", value);
    return "";
  }
  return std::move(*raw);
}

AttributeValue JsonDecoder::any_value(JsonElement value) {
  AttributeValue out;
  reader_.fields(value, "value", [&](std::string_view key, JsonElement part) {
    if (is_key(key, "doubleValue"))
      out = reader_.number(part, key); // null: NaN, as JavaScript writes it
    if (part.is_null()) return;
    if (is_key(key, "stringValue")) {
      out = out_.text(reader_.text(part, key));
    } else if (is_key(key, "boolValue")) {
      out = reader_.boolean(part, key);
    } else if (is_key(key, "intValue")) {
      out = reader_.integer(part, key);
    } else if (is_key(key, "arrayValue") || is_key(key, "kvlistValue")) {
      BoundedJson json(out_.limits().max_value_bytes);
      if (is_key(key, "arrayValue")) {
        nested_array(part, json, 1);
      } else {
        nested_map(part, json, 1);
      }
      if (json.cut()) out_.count_cut();
      out = JsonText{json.take()};
    } else if (is_key(key, "bytesValue")) {
      auto raw = bytes(part);
      if (raw.size() > out_.limits().max_value_bytes) {
        out_.count_cut();
        raw.resize(out_.limits().max_value_bytes);
      }
      out = Bytes{std::move(raw)};
    }
  });
  return out;
}

// An AnyValue inside an array or map. If several members are set, the last counts, as in protobuf.
void JsonDecoder::nested_value(JsonElement value, BoundedJson& json, int depth) {
  std::string_view kind;
  JsonElement content;
  reader_.fields(value, "value", [&](std::string_view key, JsonElement part) {
    if (part.is_null()) return; // doubleValue null is NaN, which this text writes as null
    for (const std::string_view known : {"stringValue", "boolValue", "intValue", "doubleValue",
                                         "arrayValue", "kvlistValue", "bytesValue"}) {
      if (!is_key(key, known)) continue;
      kind = known;
      content = part;
    }
  });
  if (reader_.failed() || kind.empty()) return json.raw("null");
  if (kind == "stringValue") return json.string(reader_.text(content, kind));
  if (kind == "boolValue") return json.boolean(reader_.boolean(content, kind));
  if (kind == "intValue") return json.integer(reader_.integer(content, kind));
  if (kind == "doubleValue") return json.number(reader_.number(content, kind));
  if (kind == "arrayValue") return nested_array(content, json, depth + 1);
  if (kind == "kvlistValue") return nested_map(content, json, depth + 1);
  json.string(to_text(AttributeValue(Bytes{bytes(content)})));
}

void JsonDecoder::nested_array(JsonElement value, BoundedJson& json, int depth) {
  if (depth > out_.limits().max_depth) {
    json.set_cut();
    return json.raw("null");
  }
  json.raw("[");
  bool first = true;
  reader_.fields(value, "arrayValue", [&](std::string_view key, JsonElement list) {
    if (key != "values") return;
    reader_.each(list, key, [&](JsonElement item) {
      if (json.full()) return json.set_cut();
      if (!first) json.raw(",");
      first = false;
      nested_value(item, json, depth);
    });
  });
  json.raw("]");
}

void JsonDecoder::nested_map(JsonElement value, BoundedJson& json, int depth) {
  if (depth > out_.limits().max_depth) {
    json.set_cut();
    return json.raw("null");
  }
  json.raw("{");
  bool first = true;
  const auto pair = [&](JsonElement item) {
    if (json.full()) return json.set_cut();
    if (!first) json.raw(",");
    first = false;
    std::string_view name;
    std::optional<JsonElement> content;
    reader_.fields(item, "a pair", [&](std::string_view key, JsonElement part) {
      if (key == "key") name = reader_.text(part, key);
      if (key == "value") content = part;
    });
    json.string(name);
    json.raw(":");
    if (content) {
      nested_value(*content, json, depth);
    } else {
      json.raw("null");
    }
  };
  reader_.fields(value, "kvlistValue", [&](std::string_view key, JsonElement list) {
    if (key == "values") reader_.each(list, key, pair);
  });
  json.raw("}");
}

} // namespace coalmine::receive
