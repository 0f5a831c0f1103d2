// Metrics. A Metric's name may come after its data, and a Sum's temporality comes after its points,
// so both are read in two passes; the first skips over the points.
// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cstring>
#include <limits>

#include "receive/protobuf_decoder.h"

namespace coalmine::receive {
namespace {

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();

std::optional<Temporality> to_temporality(std::int32_t value) {
  if (value == 1) return Temporality::delta;
  if (value == 2) return Temporality::cumulative;
  return std::nullopt;
}

template <typename T, typename Range>
void append(std::vector<T>& to, const Range& range) {
  for (auto it = range.begin(); it != range.end(); ++it) {
    if (to.size() >= kEnoughBuckets) return;
    to.push_back(*it);
  }
}

// The usual case, one packed field, stays packed: the bounds mostly equal those of the point
// before.
void packed_bounds(protozero::pbf_reader& message, RawHistogram& raw) {
  protozero::pbf_reader again = message;
  const auto bytes = view(message);
  const bool only = raw.bounds.empty() && raw.packed_bounds.empty();
  if (only && !bytes.empty() && bytes.size() % sizeof(double) == 0 &&
      bytes.size() / sizeof(double) < kEnoughBuckets) {
    raw.packed_bounds = bytes;
    return;
  }
  unpack_bounds(raw);
  append(raw.bounds, again.get_packed_double());
}

void packed_counts(protozero::pbf_reader& message, RawHistogram& raw) {
  protozero::pbf_reader again = message;
  const auto bytes = view(message);
  const std::size_t count = bytes.size() / sizeof(std::uint64_t);
  if (!raw.counts.empty() || bytes.size() % sizeof(std::uint64_t) != 0 || count >= kEnoughBuckets) {
    append(raw.counts, again.get_packed_fixed64());
    return;
  }
  raw.counts.resize(count);
  std::memcpy(raw.counts.data(), bytes.data(), bytes.size());
}

} // namespace

void ProtobufDecoder::metric(Message message) {
  MetricBytes head;
  std::optional<Message> data;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes): head.name = view(message); break;
      case tag_and_type(2, kBytes): head.help = view(message); break;
      case tag_and_type(3, kBytes): head.unit = view(message); break;
      case tag_and_type(5, kBytes):
        head.instrument = Instrument::gauge;
        data = message.get_message();
        break;
      case tag_and_type(7, kBytes):
        head.instrument = Instrument::counter;
        data = message.get_message();
        break;
      case tag_and_type(9, kBytes):
        head.instrument = Instrument::histogram;
        data = message.get_message();
        break;
      case tag_and_type(10, kBytes):
        head.instrument = Instrument::exponential;
        data = message.get_message();
        break;
      case tag_and_type(11, kBytes):
        head.instrument = Instrument::summary;
        data = message.get_message();
        break;
      default: cursor_.other(message, "Metric", {1, 2, 3, 5, 7, 9, 10, 11});
    }
  }
  if (cursor_.failed() || !data) return;
  const auto about = data_message(*data);
  head.temporality = about.temporality;
  if (head.instrument == Instrument::counter && !about.monotonic)
    head.instrument = Instrument::up_down_counter;
  out_.begin_metric(head);
  data_points(*data, head.instrument);
}

ProtobufDecoder::DataMessage ProtobufDecoder::data_message(Message message) {
  DataMessage out;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(2, kVarint): out.temporality = to_temporality(message.get_enum()); break;
      case tag_and_type(3, kVarint): out.monotonic = message.get_bool(); break;
      case tag_and_type(1, kBytes): message.skip(); break;
      default: cursor_.other(message, "a metric's data", {1, 2, 3});
    }
  }
  return out;
}

void ProtobufDecoder::data_points(Message message, Instrument instrument) {
  while (cursor_.next(message)) {
    if (message.tag_and_type() != tag_and_type(1, kBytes)) {
      message.skip();
      continue;
    }
    switch (instrument) {
      case Instrument::counter:
      case Instrument::up_down_counter:
      case Instrument::gauge: number_point(message.get_message()); break;
      case Instrument::histogram: histogram_point(message.get_message()); break;
      case Instrument::exponential: exponential_point(message.get_message()); break;
      case Instrument::summary: summary_point(message.get_message()); break;
    }
    if (out_.over_budget()) cursor_.stop();
  }
}

void ProtobufDecoder::identify(PointHead& point, const Message& message,
                               const AttributeBytes& bytes, std::uint32_t tag) {
  if (cursor_.failed() || (!bytes.scattered() && out_.find_series(point, bytes.view()))) return;
  Message again = message;
  while (cursor_.next(again)) {
    if (again.tag_and_type() == tag_and_type(static_cast<protozero::pbf_tag_type>(tag), kBytes)) {
      key_value(again.get_message(), point.attributes);
    } else {
      again.skip();
    }
  }
}

void ProtobufDecoder::number_point(Message message) {
  const Message whole = message;
  AttributeBytes attributes;
  PointHead point;
  std::optional<double> value;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(2, kFixed64): point.start_ns = message.get_fixed64(); break;
      case tag_and_type(3, kFixed64): point.time_ns = message.get_fixed64(); break;
      case tag_and_type(4, kFixed64): value = message.get_double(); break;
      case tag_and_type(6, kFixed64): value = static_cast<double>(message.get_sfixed64()); break;
      case tag_and_type(7, kBytes):
        message.skip();
        attributes.add(cursor_.field(), message.data().data());
        break;
      case tag_and_type(8, kVarint):
        point.no_recorded_value = (message.get_uint32() & kNoRecordedValue) != 0;
        break;
      default: cursor_.other(message, "NumberDataPoint", {2, 3, 4, 6, 7, 8});
    }
  }
  identify(point, whole, attributes, 7);
  if (!cursor_.failed()) out_.add_number(std::move(point), value);
}

void ProtobufDecoder::histogram_point(Message message) {
  const Message whole = message;
  AttributeBytes attributes;
  PointHead point;
  RawHistogram raw;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(2, kFixed64): point.start_ns = message.get_fixed64(); break;
      case tag_and_type(3, kFixed64): point.time_ns = message.get_fixed64(); break;
      case tag_and_type(4, kFixed64): raw.count = message.get_fixed64(); break;
      case tag_and_type(5, kFixed64): raw.sum = message.get_double(); break;
      case tag_and_type(6, kBytes): packed_counts(message, raw); break;
      case tag_and_type(6, kFixed64):
        if (const auto n = message.get_fixed64(); raw.counts.size() < kEnoughBuckets)
          raw.counts.push_back(n);
        break;
      case tag_and_type(7, kBytes): packed_bounds(message, raw); break;
      case tag_and_type(7, kFixed64):
        unpack_bounds(raw);
        if (const auto bound = message.get_double(); raw.bounds.size() < kEnoughBuckets)
          raw.bounds.push_back(bound);
        break;
      case tag_and_type(9, kBytes):
        message.skip();
        attributes.add(cursor_.field(), message.data().data());
        break;
      case tag_and_type(10, kVarint):
        point.no_recorded_value = (message.get_uint32() & kNoRecordedValue) != 0;
        break;
      default: cursor_.other(message, "HistogramDataPoint", {2, 3, 4, 5, 6, 7, 9, 10});
    }
  }
  identify(point, whole, attributes, 9);
  if (!cursor_.failed()) out_.add_histogram(std::move(point), std::move(raw));
}

void ProtobufDecoder::exponential_point(Message message) {
  const Message whole = message;
  AttributeBytes attributes;
  PointHead point;
  ExponentialHistogram value;
  value.sum = kNan; // unknown until sent
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kBytes):
        message.skip();
        attributes.add(cursor_.field(), message.data().data());
        break;
      case tag_and_type(2, kFixed64): point.start_ns = message.get_fixed64(); break;
      case tag_and_type(3, kFixed64): point.time_ns = message.get_fixed64(); break;
      case tag_and_type(4, kFixed64): value.count = message.get_fixed64(); break;
      case tag_and_type(5, kFixed64): value.sum = message.get_double(); break;
      case tag_and_type(6, kVarint): value.scale = message.get_sint32(); break;
      case tag_and_type(7, kFixed64): value.zero_count = message.get_fixed64(); break;
      case tag_and_type(8, kBytes): buckets(message.get_message(), value.positive); break;
      case tag_and_type(9, kBytes): buckets(message.get_message(), value.negative); break;
      case tag_and_type(10, kVarint):
        point.no_recorded_value = (message.get_uint32() & kNoRecordedValue) != 0;
        break;
      case tag_and_type(14, kFixed64): value.zero_threshold = message.get_double(); break;
      default:
        cursor_.other(message, "ExponentialHistogramDataPoint",
                      {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 14});
    }
  }
  identify(point, whole, attributes, 1);
  if (!cursor_.failed()) out_.add_exponential(std::move(point), std::move(value));
}

void ProtobufDecoder::buckets(Message message, ExponentialHistogram::Buckets& to) {
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kVarint): to.offset = message.get_sint32(); break;
      case tag_and_type(2, kBytes): append(to.counts, message.get_packed_uint64()); break;
      case tag_and_type(2, kVarint):
        if (const auto n = message.get_uint64(); to.counts.size() < kEnoughBuckets)
          to.counts.push_back(n);
        break;
      default: cursor_.other(message, "Buckets", {1, 2});
    }
  }
}

void ProtobufDecoder::summary_point(Message message) {
  PointHead point;
  RawSummary raw;
  while (cursor_.next(message)) {
    switch (message.tag_and_type()) {
      case tag_and_type(2, kFixed64): point.start_ns = message.get_fixed64(); break;
      case tag_and_type(3, kFixed64): point.time_ns = message.get_fixed64(); break;
      case tag_and_type(4, kFixed64): raw.count = message.get_fixed64(); break;
      case tag_and_type(5, kFixed64): raw.sum = message.get_double(); break;
      case tag_and_type(6, kBytes): {
        std::pair<double, double> quantile{0, 0};
        Message pair = message.get_message();
        while (cursor_.next(pair)) {
          switch (pair.tag_and_type()) {
            case tag_and_type(1, kFixed64): quantile.first = pair.get_double(); break;
            case tag_and_type(2, kFixed64): quantile.second = pair.get_double(); break;
            default: cursor_.other(pair, "ValueAtQuantile", {1, 2});
          }
        }
        if (raw.quantiles.size() < kEnoughBuckets) raw.quantiles.push_back(quantile);
        break;
      }
      case tag_and_type(7, kBytes): key_value(message.get_message(), point.attributes); break;
      case tag_and_type(8, kVarint):
        point.no_recorded_value = (message.get_uint32() & kNoRecordedValue) != 0;
        break;
      default: cursor_.other(message, "SummaryDataPoint", {2, 3, 4, 5, 6, 7, 8});
    }
  }
  if (!cursor_.failed()) out_.add_summary(std::move(point), raw);
}

} // namespace coalmine::receive
