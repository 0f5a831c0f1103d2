// Any query over a small store of floats and histograms: it answers or fails within its limits, as
// an instant and as a range query.
// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string_view>

#include "lab/promqltest/promql_test_series.h"
#include "promql/engine.h"
#include "promql/eval/memory_queryable.h"

namespace {

coalmine::promql::MemoryQueryable make_data() {
  using namespace coalmine::promql;
  using namespace coalmine::lab;
  MemoryQueryable out;
  for (const std::string_view line :
       {"a{x=\"1\",job=\"j\",instance=\"i\"} 0+1x9 stale 0+2x9",
        "a{x=\"2\"} 5 NaN Inf -Inf 3 _ _ 1", "b{le=\"1\"} 0+1x20", "b{le=\"+Inf\"} 0+2x20",
        "h {{schema:2 count:4 sum:5 buckets:[1 2 1] n_buckets:[1 1] z_bucket:1 z_bucket_w:0.01}}x5 "
        "{{schema:0 count:3 sum:1 buckets:[3]}}x5",
        "n {{schema:-53 count:3 sum:3 buckets:[1 1 1] custom_values:[1 2]}}x9 {{schema:-53 count:3 "
        "sum:3 buckets:[1 2] custom_values:[2]}}x9",
        "target_info{job=\"j\",instance=\"i\",data=\"d\"} 1x20"}) {
    const auto series = parse_test_series(line);
    if (!series) __builtin_trap();
    std::int64_t t = 0;
    for (const TestPoint& point : series->points) {
      t += 30'000;
      if (point.omitted) continue;
      if (point.histogram) {
        out.append(series->labels, HistogramSample{t, point.histogram, t - 45'000});
      } else {
        out.append(series->labels, Sample{t, point.value, t - 45'000});
      }
    }
  }
  return out;
}

} // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coalmine::promql;
  using namespace coalmine::lab;
  static const MemoryQueryable kData = make_data();
  if (size < 1 || size > 400) return 0;
  EvalOptions options;
  options.max_samples = 5000;
  options.experimental = true;
  options.delayed_name_removal = (data[0] & 1) != 0;
  options.use_start_timestamps = (data[0] & 2) != 0;
  const std::string_view text(reinterpret_cast<const char*>(data) + 1, size - 1);
  const coalmine::SystemClock clock;
  options.deadline_steady_ms = clock.steady_ms() + 2000;
  (void)instant(kData, text, 330'000, options, clock);
  (void)range(kData, text, 60'000, 600'000, 45'000, options, clock);
  return 0;
}
