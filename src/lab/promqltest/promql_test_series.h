// The series lines of PromQL test files: metric{labels} and its points.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "promql/queryable.h"

namespace coalmine::lab {

// What a test file has wrong.
inline std::unexpected<Error> wrong(std::string message) {
  return fail(ErrorCode::invalid_argument, std::move(message));
}

// A point of a series line; or the absence of one.
struct TestPoint {
  bool omitted = false;
  double value = 0;
  std::shared_ptr<const promql::NativeHistogram> histogram; // null: a float
  bool hint_given = false;                                  // counter_reset_hint was written
};

struct TestSeriesLine {
  Labels labels;
  std::vector<TestPoint> points;
};

// points  = *( SP item )
// item    = "_" [ "x" n ] / "stale" / number [ "x" n / sign number "x" n ]
//         / "{{" *( key ":" value ) "}}" [ "x" n / sign "{{" … "}}" "x" n ]
Result<TestSeriesLine> parse_test_series(std::string_view line);

// metric{labels}@st <offsets>: offsets from each sample's own time, in ms; nullopt where there is
// none.
struct TestStartLine {
  Labels labels;
  std::vector<std::optional<std::int64_t>> offsets_ms;
};
bool is_test_start_line(std::string_view line);
Result<TestStartLine> parse_test_start_line(std::string_view line);

} // namespace coalmine::lab
