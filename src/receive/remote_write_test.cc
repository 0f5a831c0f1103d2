// SPDX-License-Identifier: Apache-2.0
#include "receive/remote_write.h"

#include <gtest/gtest.h>

#include <bit>
#include <protozero/pbf_writer.hpp>

namespace coalmine::receive {
namespace {

constexpr std::int64_t kWritten = 1'795'000'000'000;
const double kStale = std::bit_cast<double>(std::uint64_t{0x7ff0000000000002});

std::string series(const std::vector<std::pair<std::string, std::string>>& labels,
                   const std::vector<std::pair<std::int64_t, double>>& samples,
                   const std::string& histogram = {}) {
  std::string out;
  protozero::pbf_writer writer(out);
  for (const auto& [name, value] : labels) {
    protozero::pbf_writer label(writer, 1);
    label.add_string(1, name);
    label.add_string(2, value);
  }
  for (const auto& [time_ms, value] : samples) {
    protozero::pbf_writer sample(writer, 2);
    sample.add_double(1, value);
    sample.add_int64(2, time_ms);
  }
  if (!histogram.empty()) writer.add_message(4, histogram);
  return out;
}

std::string request(const std::vector<std::string>& all) {
  std::string out;
  protozero::pbf_writer writer(out);
  for (const auto& one : all) writer.add_message(1, one);
  return out;
}

// Buckets 1: 2, 2: 3, 5: 1 (by their upper bound), 3 at zero.
std::string histogram() {
  std::string out;
  protozero::pbf_writer writer(out);
  writer.add_uint64(1, 9);
  writer.add_double(3, 12.5);
  writer.add_sint32(4, 1);
  writer.add_double(5, 0.001);
  writer.add_uint64(6, 3);
  for (const auto& [gap, length] :
       std::vector<std::pair<std::int32_t, std::uint32_t>>{{1, 2}, {2, 1}}) {
    protozero::pbf_writer span(writer, 11);
    span.add_sint32(1, gap);
    span.add_uint32(2, length);
  }
  const std::vector<std::int64_t> deltas = {2, 1, -2};
  writer.add_packed_sint64(12, deltas.begin(), deltas.end());
  writer.add_int64(15, kWritten);
  return out;
}

TEST(RemoteWrite, ReadsSamplesAndMarkers) {
  const auto decoded =
      decode_remote_write(request({series({{"__name__", "a_total"}, {"job", "shop"}, {"empty", ""}},
                                          {{kWritten - 1000, 1.5}, {kWritten, kStale}})}),
                          kWritten, {});
  ASSERT_TRUE(decoded) << decoded.error().message;
  ASSERT_EQ(decoded->batch.points.size(), 2U);
  const MetricPoint& first = decoded->batch.points[0];
  EXPECT_EQ(first.series->labels, Labels({{"__name__", "a_total"}, {"job", "shop"}}));
  EXPECT_EQ(first.series->kind, MetricKind::counter);
  EXPECT_EQ(first.series->resource->service, "shop");
  EXPECT_EQ(std::get<double>(first.value), 1.5);
  EXPECT_EQ(first.time_ns, static_cast<std::uint64_t>(kWritten - 1000) * 1'000'000);
  EXPECT_TRUE(decoded->batch.points[1].no_recorded_value);
}

TEST(RemoteWrite, TheResourceHasWhatTellsTheTracksApart) {
  Limits limits;
  limits.promoted = PromotedAttributes({"app.lane"});
  const auto decoded = decode_remote_write(request({series({{"__name__", "a_total"},
                                                            {"job", "shop"},
                                                            {"instance", "h:1"},
                                                            {"app_lane", "blue"},
                                                            {"k8s_pod_name", "p"},
                                                            {"code", "200"}},
                                                           {{kWritten, 1}}),
                                                    series({{"__name__", "a_total"},
                                                            {"job", "shop"},
                                                            {"instance", "h:1"},
                                                            {"app_lane", "green"}},
                                                           {{kWritten, 1}})}),
                                           kWritten, limits);
  ASSERT_TRUE(decoded);
  const auto labels = [&](std::size_t i) {
    return decoded->batch.points[i].series->resource->labels.to_string();
  };
  EXPECT_EQ(labels(0),
            "{app_lane=\"blue\", instance=\"h:1\", job=\"shop\", k8s_pod_name=\"p\", "
            "service_instance_id=\"h:1\", service_name=\"shop\"}");
  EXPECT_EQ(labels(1),
            "{app_lane=\"green\", instance=\"h:1\", job=\"shop\", "
            "service_instance_id=\"h:1\", service_name=\"shop\"}");
  EXPECT_FALSE(decoded->batch.tell_resources) << "Prometheus sends its own target_info";
}

TEST(RemoteWrite, ReadsNativeHistograms) {
  const auto decoded =
      decode_remote_write(request({series({{"__name__", "h"}}, {}, histogram())}), kWritten, {});
  ASSERT_TRUE(decoded);
  ASSERT_EQ(decoded->batch.points.size(), 1U) << decoded->reason;
  const auto& value = std::get<ExponentialHistogram>(decoded->batch.points[0].value);
  EXPECT_EQ(value.positive.offset, 0); // by its lower bound
  EXPECT_EQ(value.positive.counts, (std::vector<std::uint64_t>{2, 3, 0, 0, 1}));
  EXPECT_EQ(value.count, 9U);
  EXPECT_EQ(value.zero_count, 3U);
  EXPECT_EQ(value.scale, 1);
}

TEST(RemoteWrite, LeavesOutWhatCannotBeKept) {
  const auto decoded =
      decode_remote_write(request({series({{"job", "no name"}}, {{kWritten, 1}}),
                                   series({{"__name__", "x"}}, {{-5, 1}, {kWritten, 2}})}),
                          kWritten, {});
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->samples, 3U);
  EXPECT_EQ(decoded->rejected, 2U);
  EXPECT_EQ(decoded->reason, "a series has no metric name (label __name__)");
  EXPECT_EQ(decoded->batch.points.size(), 1U);
}

TEST(RemoteWrite, ALabelGivenTwiceIsTold) {
  const auto decoded = decode_remote_write(
      request(
          {series({{"__name__", "x"}, {"pod", "a"}, {"job", "j"}, {"pod", "b"}}, {{kWritten, 1}}),
           series({{"job", "j"}, {"__name__", "y"}}, {{kWritten, 1}})}),
      kWritten, {});
  ASSERT_TRUE(decoded);
  EXPECT_EQ(decoded->rejected, 1U);
  EXPECT_EQ(decoded->reason, "a series has the label pod twice");
  EXPECT_EQ(decoded->batch.points.size(), 1U) << "in any order";
}

TEST(RemoteWrite, RefusesDamagedMessages) {
  std::string whole = request({series({{"__name__", "h"}}, {{kWritten, 1}}, histogram())});
  for (std::size_t cut = 1; cut < whole.size(); ++cut) {
    (void)decode_remote_write(whole.substr(0, cut), kWritten, {}); // no crash, whatever it answers
  }
  EXPECT_FALSE(decode_remote_write("\x0a\xff\x01", kWritten, {}));
}

} // namespace
} // namespace coalmine::receive
