// SPDX-License-Identifier: Apache-2.0
#include "lab/vectors/vectors.h"

#include <fmt/core.h>
#include <gtest/gtest.h>

#include <string>

#include "config/config.h"
#include "lab/commands.h"

namespace coalmine::lab {
namespace {

std::string file_text(const std::string& name) {
  const auto text = config::read_file(fmt::format("{}/tests/judge/{}", COALMINE_SOURCE_DIR, name),
                                      kMaxVectorsBytes);
  EXPECT_TRUE(text) << name;
  return text.value_or("");
}

TEST(Vectors, AllGoldenVectorsOfTheSequentialJudgePass) {
  const auto report = check_vectors(file_text("statistics_vectors.json"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->failed, 0u) << report->mismatches;
  EXPECT_EQ(report->passed, 102u);
}

TEST(Vectors, AllCasesOfTheRankTestPass) {
  const auto report = check_vectors(file_text("kayenta_cases.json"));
  ASSERT_TRUE(report) << report.error().message;
  EXPECT_EQ(report->failed, 0u) << report->mismatches;
  EXPECT_EQ(report->passed, 90u);
}

struct Bad {
  const char* what;
  const char* text;
  std::size_t passed;
  const char* mismatch; // a part of the line; nullptr: the file is refused
};

TEST(Vectors, WhatDoesNotMatchIsToldAndWhatIsNoVectorsFileIsRefused) {
  const Bad cases[] = {
      {"wrong value",
       R"({"vectors":[{"id":"a","fn":"e_bh","input":{"e":[500],"alpha":0.05},)"
       R"("expect":[],"tol":1e-9}]})",
       0, "a: e_bh: [] expected, got [0]"},
      {"right value",
       R"({"vectors":[{"id":"a","fn":"e_bh","input":{"e":[500],"alpha":0.05},)"
       R"("expect":[0],"tol":1e-9}]})",
       1, ""},
      {"infinity",
       R"({"vectors":[{"fn":"ratio_cs","input":{"batches":[[0,0,0,0]],"alpha":0.05},)"
       R"("expect":[0,"inf"]}]})",
       1, ""},
      {"not a number",
       R"({"vectors":[{"fn":"prom_histogram_quantile","input":{"q":0.5,"bounds":[1],)"
       R"("counts":[0,0]},"expect":"NaN"}]})",
       1, ""},
      {"unknown function", R"({"vectors":[{"id":"b","fn":"tea","input":{},"expect":1}]})", 0,
       "b: unknown function \"tea\""},
      {"missing input",
       R"({"vectors":[{"id":"c","fn":"ratio_cs","input":{"alpha":0.05},"expect":1}]})", 0,
       "c: the member batches is not a list"},
      {"broken batch",
       R"({"vectors":[{"id":"d","fn":"diff_cs","input":{"batches":[[1,2]],"alpha":0.05},)"
       R"("expect":1}]})",
       0, "a batch is not"},
      {"not an object", R"({"vectors":[7]})", 0, "vector 1: is not an object"},
      {"name with a line break",
       "{\"vectors\":[{\"id\":\"x\\ny\",\"fn\":\"tea\",\"input\":{},\"expect\":1}]}", 0, "x y: "},
      {"empty list", R"({"vectors":[]})", 0, ""},
      {"empty arms",
       R"({"mann_whitney":[{"name":"e","x":[],"y":[1],"confidence_level":0.9,"expect":{}}]})", 0,
       "an array is empty"},
      {"unknown section", R"({"scoring":[],"poetry":[1]})", 0, "poetry"},
      {"no JSON", "{", 0, nullptr},
      {"other JSON", R"({"a":1})", 0, nullptr},
      {"a list", "[]", 0, nullptr},
      {"too deep", "[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", 0, nullptr},
  };
  for (const auto& c : cases) {
    const auto report = check_vectors(c.text);
    ASSERT_EQ(report.has_value(), c.mismatch != nullptr) << c.what;
    if (!report) continue;
    EXPECT_EQ(report->passed, c.passed) << c.what << report->mismatches;
    EXPECT_NE(report->mismatches.find(c.mismatch), std::string::npos)
        << c.what << ": " << report->mismatches;
  }
}

TEST(Vectors, ExitCodes) {
  const std::string folder = COALMINE_SOURCE_DIR "/tests/judge/";
  EXPECT_EQ(run_vectors({folder + "statistics_vectors.json", folder + "kayenta_cases.json"}, {}),
            0);
  EXPECT_EQ(run_vectors({folder + "no-such-file.json"}, {}), 2);
  EXPECT_EQ(run_vectors({folder + "threshold.table"}, {}), 2);
}

} // namespace
} // namespace coalmine::lab
