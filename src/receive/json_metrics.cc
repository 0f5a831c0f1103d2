// SPDX-License-Identifier: Apache-2.0
#include <limits>

#include "receive/json_decoder.h"

namespace coalmine::receive {
namespace {

std::optional<Instrument> instrument_of(std::string_view key) {
  if (key == "gauge") return Instrument::gauge;
  if (key == "sum") return Instrument::counter;
  if (key == "histogram") return Instrument::histogram;
  if (is_key(key, "exponentialHistogram")) return Instrument::exponential;
  if (key == "summary") return Instrument::summary;
  return std::nullopt;
}

} // namespace

void JsonDecoder::metric(JsonElement item) {
  MetricHead head;
  std::optional<JsonElement> data;
  reader_.fields(item, "a metric", [&](std::string_view key, JsonElement value) {
    if (key == "name") {
      head.name = out_.text(reader_.text(value, key));
    } else if (key == "description") {
      head.help = out_.text(reader_.text(value, key));
    } else if (key == "unit") {
      head.unit = out_.text(reader_.text(value, key));
    } else if (const auto instrument = instrument_of(key); instrument && !value.is_null()) {
      head.instrument = *instrument;
      data = value;
    }
  });
  if (reader_.failed() || !data) return;
  bool monotonic = false;
  reader_.fields(*data, "a metric's data", [&](std::string_view key, JsonElement value) {
    if (is_key(key, "isMonotonic")) monotonic = reader_.boolean(value, key);
    if (!is_key(key, "aggregationTemporality")) return;
    const auto number = reader_.enumerator(value, key, "AGGREGATION_TEMPORALITY_",
                                           {"UNSPECIFIED", "DELTA", "CUMULATIVE"});
    if (number == 1) head.temporality = Temporality::delta;
    if (number == 2) head.temporality = Temporality::cumulative;
  });
  if (head.instrument == Instrument::counter && !monotonic)
    head.instrument = Instrument::up_down_counter;
  const auto instrument = head.instrument;
  out_.begin_metric(std::move(head));
  data_points(*data, instrument);
}

void JsonDecoder::data_points(JsonElement data, Instrument instrument) {
  const auto one = [&](JsonElement item) {
    switch (instrument) {
      case Instrument::counter:
      case Instrument::up_down_counter:
      case Instrument::gauge: number_point(item); break;
      case Instrument::histogram: histogram_point(item); break;
      case Instrument::exponential: exponential_point(item); break;
      case Instrument::summary: summary_point(item); break;
    }
    if (out_.over_budget()) reader_.stop();
  };
  reader_.fields(data, "a metric's data", [&](std::string_view key, JsonElement value) {
    if (is_key(key, "dataPoints")) reader_.each(value, "dataPoints", one);
  });
}

bool JsonDecoder::point_field(PointHead& point, std::string_view key, JsonElement value) {
  if (is_key(key, "startTimeUnixNano")) {
    point.start_ns = reader_.unsigned_integer(value, key);
  } else if (is_key(key, "timeUnixNano")) {
    point.time_ns = reader_.unsigned_integer(value, key);
  } else if (key == "attributes") {
    attributes(value, point.attributes);
  } else if (key == "flags") {
    point.no_recorded_value = (reader_.unsigned_integer(value, key) & kNoRecordedValue) != 0;
  } else {
    return false;
  }
  return true;
}

void JsonDecoder::number_point(JsonElement item) {
  PointHead point;
  std::optional<double> number;
  reader_.fields(item, "a data point", [&](std::string_view key, JsonElement value) {
    if (point_field(point, key, value)) return;
    if (is_key(key, "asDouble")) {
      number = reader_.number(value, key);
    } else if (is_key(key, "asInt") && !value.is_null()) {
      number = static_cast<double>(reader_.integer(value, key));
    }
  });
  if (!reader_.failed()) out_.add_number(std::move(point), number);
}

void JsonDecoder::counts(JsonElement value, std::string_view key, std::vector<std::uint64_t>& to) {
  reader_.each(value, key, [&](JsonElement item) {
    const auto n = reader_.unsigned_integer(item, key);
    if (to.size() < kEnoughBuckets) to.push_back(n);
  });
}

void JsonDecoder::histogram_point(JsonElement item) {
  PointHead point;
  RawHistogram raw;
  reader_.fields(item, "a data point", [&](std::string_view key, JsonElement value) {
    if (point_field(point, key, value)) return;
    if (key == "count") {
      raw.count = reader_.unsigned_integer(value, key);
    } else if (key == "sum") {
      raw.sum = reader_.number(value, key);
    } else if (is_key(key, "bucketCounts")) {
      counts(value, key, raw.counts);
    } else if (is_key(key, "explicitBounds")) {
      reader_.each(value, key, [&](JsonElement bound) {
        const auto x = reader_.number(bound, key);
        if (raw.bounds.size() < kEnoughBuckets) raw.bounds.push_back(x);
      });
    }
  });
  if (!reader_.failed()) out_.add_histogram(std::move(point), std::move(raw));
}

void JsonDecoder::buckets(JsonElement value, std::string_view key,
                          ExponentialHistogram::Buckets& to) {
  reader_.fields(value, key, [&](std::string_view inner, JsonElement part) {
    if (inner == "offset") {
      const auto offset = reader_.integer(part, inner);
      const bool fits = offset >= std::numeric_limits<std::int32_t>::min() &&
                        offset <= std::numeric_limits<std::int32_t>::max();
      if (!fits) return reader_.wrong(inner, "a 32-bit integer", part);
      to.offset = static_cast<std::int32_t>(offset);
    } else if (is_key(inner, "bucketCounts")) {
      counts(part, inner, to.counts);
    }
  });
}

void JsonDecoder::exponential_point(JsonElement item) {
  PointHead point;
  ExponentialHistogram histogram;
  histogram.sum = std::numeric_limits<double>::quiet_NaN(); // unknown until sent
  reader_.fields(item, "a data point", [&](std::string_view key, JsonElement value) {
    if (point_field(point, key, value)) return;
    if (key == "count") {
      histogram.count = reader_.unsigned_integer(value, key);
    } else if (key == "sum") {
      histogram.sum = reader_.number(value, key);
    } else if (key == "scale") {
      const auto scale = reader_.integer(value, key);
      if (scale < -1000 || scale > 1000) return reader_.wrong(key, "a scale", value);
      histogram.scale = static_cast<std::int32_t>(scale);
    } else if (is_key(key, "zeroCount")) {
      histogram.zero_count = reader_.unsigned_integer(value, key);
    } else if (is_key(key, "zeroThreshold")) {
      histogram.zero_threshold = reader_.number(value, key);
    } else if (key == "positive") {
      buckets(value, key, histogram.positive);
    } else if (key == "negative") {
      buckets(value, key, histogram.negative);
    }
  });
  if (!reader_.failed()) out_.add_exponential(std::move(point), std::move(histogram));
}

void JsonDecoder::summary_point(JsonElement item) {
  PointHead point;
  RawSummary raw;
  reader_.fields(item, "a data point", [&](std::string_view key, JsonElement value) {
    if (point_field(point, key, value)) return;
    if (key == "count") {
      raw.count = reader_.unsigned_integer(value, key);
    } else if (key == "sum") {
      raw.sum = reader_.number(value, key);
    } else if (is_key(key, "quantileValues")) {
      reader_.each(value, key, [&](JsonElement entry) {
        std::pair<double, double> quantile{0, 0};
        reader_.fields(entry, "a quantile", [&](std::string_view inner, JsonElement part) {
          if (inner == "quantile") quantile.first = reader_.number(part, inner);
          if (inner == "value") quantile.second = reader_.number(part, inner);
        });
        if (raw.quantiles.size() < kEnoughBuckets) raw.quantiles.push_back(quantile);
      });
    }
  });
  if (!reader_.failed()) out_.add_summary(std::move(point), raw);
}

} // namespace coalmine::receive
