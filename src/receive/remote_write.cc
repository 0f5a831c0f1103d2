// SPDX-License-Identifier: Apache-2.0
#include "receive/remote_write.h"

#include <fmt/format.h>
#include <snappy.h>

#include <algorithm>
#include <array>
#include <bit>
#include <exception>
#include <functional>
#include <new>
#include <optional>
#include <protozero/pbf_reader.hpp>

#include "receive/protobuf_decoder.h"
#include "receive/text.h"
#include "telemetry/stale.h"

namespace coalmine::receive {
namespace {

using Message = protozero::pbf_reader;

constexpr std::int64_t kNsPerMs = 1'000'000;
constexpr std::size_t kMaxFamilies = 20'000; // whose help is remembered
constexpr std::size_t kMaxHelp = 1024;

// The times that a point may have; all others are refused rather than wrapped.
std::optional<std::uint64_t> nanoseconds(std::int64_t ms) {
  if (ms <= 0 || ms > INT64_MAX / kNsPerMs) return std::nullopt;
  return static_cast<std::uint64_t>(ms) * kNsPerMs;
}

// "" when each name is there once. Senders sort labels, so mostly a look at neighbours is enough.
std::string label_given_twice(const std::vector<Labels::Pair>& labels) {
  const auto ascends = [](const Labels::Pair& a, const Labels::Pair& b) {
    return a.first < b.first;
  };
  if (std::ranges::adjacent_find(labels, std::not_fn(ascends)) == labels.end()) return "";
  std::vector<std::string_view> names;
  for (const auto& [name, value] : labels) names.push_back(name);
  std::ranges::sort(names);
  const auto twice = std::ranges::adjacent_find(names);
  return twice == names.end() ? "" : std::string(*twice);
}

struct Spans {
  std::vector<std::pair<std::int32_t, std::uint32_t>> all; // gap, length
  std::vector<std::int64_t> deltas;
};

// Integer histograms as Prometheus sends them: counts as differences from bucket to bucket, buckets
// numbered by their upper bound.
struct WireHistogram {
  std::uint64_t count = 0;
  std::uint64_t zero_count = 0;
  double sum = 0;
  double zero_threshold = 0;
  std::int32_t schema = 0;
  Spans positive;
  Spans negative;
  std::int64_t time_ms = 0;
  bool floats = false; // counts that are no whole numbers
};

void read_span(Message message, Spans& out) {
  std::pair<std::int32_t, std::uint32_t> span;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kVarint): span.first = message.get_sint32(); break;
      case tag_and_type(2, kVarint): span.second = message.get_uint32(); break;
      default: message.skip();
    }
  }
  if (out.all.size() <= kMaxBuckets) out.all.push_back(span);
}

void read_deltas(Message& message, Spans& out) {
  const auto range = message.get_packed_sint64();
  for (auto it = range.begin(); it != range.end() && out.deltas.size() <= kMaxBuckets; ++it)
    out.deltas.push_back(*it);
}

WireHistogram read_histogram(Message message) {
  WireHistogram out;
  while (message.next()) {
    switch (message.tag_and_type()) {
      case tag_and_type(1, kVarint): out.count = message.get_uint64(); break;
      case tag_and_type(3, kFixed64): out.sum = message.get_double(); break;
      case tag_and_type(4, kVarint): out.schema = message.get_sint32(); break;
      case tag_and_type(5, kFixed64): out.zero_threshold = message.get_double(); break;
      case tag_and_type(6, kVarint): out.zero_count = message.get_uint64(); break;
      case tag_and_type(8, kBytes): read_span(message.get_message(), out.negative); break;
      case tag_and_type(9, kBytes): read_deltas(message, out.negative); break;
      case tag_and_type(11, kBytes): read_span(message.get_message(), out.positive); break;
      case tag_and_type(12, kBytes): read_deltas(message, out.positive); break;
      case tag_and_type(15, kVarint): out.time_ms = message.get_int64(); break;
      case tag_and_type(2, kFixed64):
      case tag_and_type(7, kFixed64):
      case tag_and_type(10, kBytes):
      case tag_and_type(13, kBytes):
        out.floats = true;
        message.skip();
        break;
      default: message.skip();
    }
  }
  return out;
}

// False when spans and counts do not fit each other, or reach too far.
bool flatten(const Spans& from, ExponentialHistogram::Buckets& out) {
  std::int64_t index = 0;
  std::int64_t count = 0;
  std::size_t next = 0;
  bool first = true;
  for (const auto& [gap, length] : from.all) {
    index += gap;
    if (first) out.offset = gap - 1; // OpenTelemetry numbers by lower bound
    const auto gap_size = static_cast<std::size_t>(std::max(0, gap));
    if (!first && (gap < 0 || out.counts.size() + gap_size > kMaxBuckets)) return false;
    if (!first) out.counts.resize(out.counts.size() + gap_size, 0);
    first = false;
    if (out.counts.size() + length > kMaxBuckets || next + length > from.deltas.size())
      return false;
    for (std::uint32_t i = 0; i < length; ++i) {
      if (__builtin_add_overflow(count, from.deltas[next++], &count) || count < 0) return false;
      out.counts.push_back(static_cast<std::uint64_t>(count));
    }
    index += length;
  }
  return next == from.deltas.size() && index < INT32_MAX && index > INT32_MIN;
}

std::optional<ExponentialHistogram> to_exponential(const WireHistogram& wire) {
  ExponentialHistogram out;
  out.scale = wire.schema;
  out.count = wire.count;
  out.sum = wire.sum;
  out.zero_count = wire.zero_count;
  out.zero_threshold = wire.zero_threshold;
  if (wire.schema < -4 || wire.schema > 8 || !(wire.zero_threshold >= 0)) return std::nullopt;
  if (!flatten(wire.positive, out.positive) || !flatten(wire.negative, out.negative))
    return std::nullopt;
  return out;
}

// Reads one request. Series that share a resource share the object.
class WriteReader {
 public:
  WriteReader(std::int64_t now_ms, const Limits& limits) : limits_(limits) {
    out_.batch.received_ms = now_ms;
  }

  void request(Message message) {
    while (message.next()) {
      switch (message.tag_and_type()) {
        case tag_and_type(1, kBytes): series(message.get_message()); break;
        case tag_and_type(3, kBytes): metadata(message.get_message()); break;
        default: message.skip();
      }
    }
  }
  WriteDecoded take() { return std::move(out_); }

 private:
  struct Points {
    std::vector<std::pair<std::int64_t, double>> floats;
    std::vector<WireHistogram> histograms;
    std::size_t size() const { return floats.size() + histograms.size(); }
  };

  void reject(std::size_t samples, std::string why) {
    out_.rejected += samples;
    if (out_.reason.empty()) out_.reason = std::move(why);
  }

  void series(Message message) {
    std::vector<Labels::Pair> labels;
    Points points;
    bool cut = false;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case tag_and_type(1, kBytes): label(message.get_message(), labels, cut); break;
        case tag_and_type(2, kBytes): points.floats.push_back(sample(message.get_message())); break;
        case tag_and_type(3, kBytes):
          ++out_.exemplars;
          message.skip();
          break;
        case tag_and_type(4, kBytes):
          points.histograms.push_back(read_histogram(message.get_message()));
          break;
        default: message.skip();
      }
    }
    out_.samples += points.size();
    if (cut) {
      return reject(points.size(), fmt::format("a series has more than {} labels, or a value "
                                               "longer than {} bytes, or text that is not UTF-8",
                                               limits_.max_attributes, limits_.max_value_bytes));
    }
    if (const auto twice = label_given_twice(labels); !twice.empty()) {
      return reject(points.size(), fmt::format("a series has the label {} twice", twice));
    }
    Labels all(std::move(labels));
    if (all.metric_name().empty())
      return reject(points.size(), "a series has no metric name (label __name__)");
    floats(all, points.floats);
    histograms(all, points.histograms);
  }

  void label(Message message, std::vector<Labels::Pair>& out, bool& cut) const {
    Labels::Pair pair;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case tag_and_type(1, kBytes):
          pair.first = safe_text(view(message), limits_.max_value_bytes, cut);
          break;
        case tag_and_type(2, kBytes):
          pair.second = safe_text(view(message), limits_.max_value_bytes, cut);
          break;
        default: message.skip();
      }
    }
    if (out.size() >= limits_.max_attributes || pair.first.empty()) {
      cut = true;
    } else if (!pair.second.empty()) { // an empty value is no label
      out.push_back(std::move(pair));
    }
  }

  static std::pair<std::int64_t, double> sample(Message message) {
    std::pair<std::int64_t, double> out;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case tag_and_type(1, kFixed64): out.second = message.get_double(); break;
        case tag_and_type(2, kVarint): out.first = message.get_int64(); break;
        default: message.skip();
      }
    }
    return out;
  }

  void metadata(Message message) {
    std::string family;
    std::string help;
    bool cut = false;
    while (message.next()) {
      switch (message.tag_and_type()) {
        case tag_and_type(2, kBytes): family = safe_text(view(message), kMaxHelp, cut); break;
        case tag_and_type(4, kBytes): help = safe_text(view(message), kMaxHelp, cut); break;
        default: message.skip();
      }
    }
    if (!family.empty()) out_.help[family] = std::move(help);
  }

  void floats(const Labels& labels, const std::vector<std::pair<std::int64_t, double>>& samples) {
    if (samples.empty()) return;
    const auto series = identity(labels, float_kind(labels.metric_name()));
    for (const auto& [time_ms, value] : samples) {
      const auto time = nanoseconds(time_ms);
      if (!time) {
        reject(1, fmt::format("a sample of {} has the time {} ms", labels.metric_name(), time_ms));
        continue;
      }
      const bool stale = is_stale(value);
      out_.batch.points.push_back({series, 0, *time, stale, stale ? 0.0 : value});
    }
  }

  void histograms(const Labels& labels, const std::vector<WireHistogram>& samples) {
    if (samples.empty()) return;
    const auto series = identity(labels, MetricKind::exponential);
    for (const WireHistogram& wire : samples) {
      const auto time = nanoseconds(wire.time_ms);
      const bool stale = is_stale(wire.sum);
      auto value = stale ? std::optional(ExponentialHistogram{}) : to_exponential(wire);
      if (!time || wire.floats || !value) {
        reject(1,
               fmt::format(
                   "a histogram of {} cannot be kept: only whole counts in the schemas -4 to 8 are",
                   labels.metric_name()));
        continue;
      }
      out_.batch.points.push_back({series, 0, *time, stale, std::move(*value)});
    }
  }

  // The name alone decides: the kind is part of a series' identity, and metadata comes late or
  // never.
  static MetricKind float_kind(std::string_view name) {
    constexpr std::array<std::string_view, 3> kCounters = {"_total", "_bucket", "_count"};
    const bool counts = std::ranges::any_of(
        kCounters, [&](std::string_view suffix) { return name.ends_with(suffix); });
    return counts ? MetricKind::counter : MetricKind::gauge;
  }

  std::shared_ptr<const MetricSeries> identity(const Labels& labels, MetricKind kind) {
    MetricSeries out;
    out.resource = resource_of(labels);
    out.metric = std::make_shared<const MetricDescription>(
        MetricDescription{std::string(labels.metric_name()), "", ""});
    out.kind = kind;
    out.labels = labels;
    return std::make_shared<const MetricSeries>(std::move(out));
  }

  // The sender, from labels: those that OTLP resources become, else the scrape's job and instance.
  std::shared_ptr<const Resource> resource_of(const Labels& labels) {
    constexpr std::array<std::pair<std::string_view, std::string_view>, 5> kNames = {
        {{"service_name", "service.name"},
         {"service_version", "service.version"},
         {"deployment_track", "deployment.track"},
         {"deployment_environment", "deployment.environment"},
         {"instance", "service.instance.id"}}};
    Attributes attributes;
    std::string key;
    const auto add = [&](std::string_view name, std::string_view value) {
      for (const auto part : {name, value}) key.append(part).push_back('\0');
      attributes.emplace_back(name, std::string(value));
    };
    if (!labels.has("service_name") && labels.has("job")) add("service.name", labels.get("job"));
    for (const auto [label, value] : labels) {
      const auto* const known =
          std::ranges::find(kNames, label, &std::pair<std::string_view, std::string_view>::first);
      if (known != kNames.end()) {
        add(known->second, value);
      } else if (label != "job" && limits_.promoted.contains(label)) {
        add(label, value); // what tells the tracks apart, so that derived series have it too
      }
    }
    auto& resource = resources_[key];
    if (!resource)
      resource = make_resource(std::move(attributes), "remote-write", limits_.promoted);
    return resource;
  }

  const Limits& limits_;
  WriteDecoded out_;
  std::map<std::string, std::shared_ptr<const Resource>> resources_;
};

Result<std::string> unsnapped(std::string_view body, std::size_t limit) {
  std::size_t size = 0;
  if (!snappy::GetUncompressedLength(body.data(), body.size(), &size)) {
    return fail(ErrorCode::invalid_argument,
                "the body is not snappy (block format), as remote write has it");
  }
  if (size > limit) {
    return fail(
        ErrorCode::resource_exhausted,
        fmt::format("the body inflates to {} bytes, at most {} are read; send smaller batches",
                    size, limit));
  }
  std::string out(size, '\0');
  if (!snappy::RawUncompress(body.data(), body.size(), out.data())) {
    return fail(ErrorCode::invalid_argument, "the snappy body is damaged");
  }
  return out;
}

net::HttpResponse plain(int status, std::string text) {
  net::HttpResponse out;
  out.status = status;
  if (!text.empty()) {
    out.headers = {{"Content-Type", "text/plain; charset=utf-8"}};
    out.body = std::move(text) + "\n";
  }
  if (status == 503) out.headers.emplace_back("Retry-After", "5");
  return out;
}

} // namespace

Result<WriteDecoded> decode_remote_write(std::string_view payload, std::int64_t now_ms,
                                         const Limits& limits) {
  try {
    WriteReader reader(now_ms, limits);
    reader.request(Message(payload.data(), payload.size()));
    return reader.take();
  } catch (const protozero::exception& e) {
    return fail(ErrorCode::invalid_argument,
                fmt::format("the body is not a prometheus.WriteRequest: {}", e.what()));
  }
}

Result<WriteDecoded> RemoteWrite::read(const net::HttpRequest& request) {
  TRY_ASSIGN(const std::string payload, unsnapped(request.body, limits_.max_inflated_bytes));
  TRY_ASSIGN(WriteDecoded decoded, decode_remote_write(payload, clock_.wall_ms(), limits_));
  return decoded;
}

// Help texts come in requests of their own; a series made later carries them.
void RemoteWrite::remember(WriteDecoded& decoded) {
  const std::scoped_lock lock(mutex_);
  for (auto& [family, help] : decoded.help) {
    if (help_.size() < kMaxFamilies || help_.contains(family)) help_[family] = std::move(help);
  }
  if (help_.empty()) return;
  const MetricSeries* last = nullptr;
  for (MetricPoint& point : decoded.batch.points) {
    if (point.series.get() == last) continue;
    last = point.series.get();
    const auto known = help_.find(last->metric->otel_name);
    if (known == help_.end()) continue;
    // Nobody else sees the series yet: it was made for this batch.
    const_cast<MetricSeries&>(*last).metric = std::make_shared<const MetricDescription>(
        MetricDescription{last->metric->otel_name, "", known->second});
  }
}

net::HttpResponse RemoteWrite::answer(const net::HttpRequest& request) {
  const std::string_view type = net::header(request.headers, "Content-Type");
  if (!type.starts_with("application/x-protobuf") ||
      type.find("io.prometheus.write.v2") != std::string_view::npos) {
    return plain(
        415, "send remote write 1.0: Content-Type application/x-protobuf, Content-Encoding snappy");
  }
  if (const std::string_view encoding = net::header(request.headers, "Content-Encoding");
      !encoding.empty() && encoding != "snappy") {
    return plain(415, "the body must be compressed with snappy");
  }
  auto decoded = read(request);
  if (!decoded)
    return plain(decoded.error().code == ErrorCode::resource_exhausted ? 413 : 400,
                 decoded.error().message);
  remember(*decoded);
  store::AppendResult stored;
  if (!decoded->batch.empty()) {
    auto kept = store_.append(decoded->batch);
    if (!kept)
      return plain(kept.error().code == ErrorCode::unavailable ? 503 : 500, kept.error().message);
    stored = std::move(*kept);
  }
  const std::size_t rejected = decoded->rejected + stored.rejected_points;
  const auto count = [&](std::string_view name, std::string_view help, std::size_t n) {
    if (n > 0) metrics_.counter(name, help, {}).add(static_cast<double>(n));
  };
  count("coalmine_remote_write_samples_total", "Samples accepted by remote write.",
        decoded->samples - std::min(decoded->samples, rejected));
  count("coalmine_remote_write_rejected_total", "Samples of remote write answered as rejected.",
        rejected);
  count("coalmine_remote_write_exemplars_dropped_total",
        "Exemplars of remote write, which are not kept.", decoded->exemplars);
  if (rejected == 0) return plain(204, "");
  return plain(400, fmt::format("{} of {} samples were rejected, the others are kept: {}", rejected,
                                decoded->samples,
                                decoded->reason.empty() ? stored.reason : decoded->reason));
}

net::HttpResponse RemoteWrite::handle(const net::HttpRequest& request) {
  net::HttpResponse out;
  try {
    out = answer(request);
  } catch (const std::bad_alloc&) {
    out = plain(503, "no memory to read the request; send smaller batches");
  } catch (const std::exception& e) { // of a library
    out = plain(500, std::string("reading failed: ") + e.what());
  }
  metrics_
      .counter("coalmine_remote_write_requests_total", "Remote write requests by HTTP status.",
               {{"code", fmt::format("{}", out.status)}})
      .add();
  return out;
}

} // namespace coalmine::receive
