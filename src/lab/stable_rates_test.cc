// What `check --source` says, from a recording.
// SPDX-License-Identifier: Apache-2.0
#include "lab/stable_rates.h"
#include "lab/short_spec_for_test.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <boost/json/serialize.hpp>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "base/temp_dir_for_test.h"
#include "rollout/spec.h"

namespace coalmine::lab {
namespace {

constexpr int kReleases = 4;

// Processes of stable, each with 10 requests a second of which 1 % fail, exported every 30 s.
std::string record_stable(const TempDir& directory, int processes, int minutes) {
  std::filesystem::create_directories(directory.path());
  const auto path = directory.path() + "/stable.om";
  std::ofstream out(path);
  std::mt19937_64 random(5);
  for (int process = 0; process < processes; ++process) {
    const auto labels = fmt::format(
        R"({{service_name="checkout",deployment_track="stable",service_version="1",instance="s{}"}})",
        process);
    double errors = 0;
    for (int i = 0; i <= minutes * 2; ++i) {
      const int at = 1'700'000'000 + i * 30 + process;
      errors += std::binomial_distribution<int>(300, 0.01)(random);
      out << fmt::format("http_server_request_total{} {} {}\n", labels, (i + 1) * 300, at)
          << fmt::format("http_server_request_errors_total{} {} {}\n", labels, errors, at);
    }
  }
  out << "# EOF\n";
  return path;
}

config::Config config_of_checkout() {
  config::Config out;
  out.specs.push_back(short_spec(5, 5));
  return out;
}

TEST(StableRates, AreThoseOfTheSourcesNewestTraffic) {
  const TempDir directory;
  const auto path = record_stable(directory, 3, 90);
  const auto found = rates_of_services(config_of_checkout(), path, kReleases, 1);
  ASSERT_EQ(found.size(), 1u);
  ASSERT_TRUE(found[0].rates) << found[0].rates.error().message;
  EXPECT_EQ(found[0].service, "checkout");
  ASSERT_EQ(found[0].rates->by_request.size(), 1u) << "A/A alone";
  EXPECT_EQ(found[0].rates->by_request[0].runs, kReleases);
  EXPECT_EQ(found[0].rates->by_process.known, ProcessesKnown::yes);
  EXPECT_EQ(found[0].rates->by_process.processes, 3u);
  EXPECT_NEAR(found[0].rates->by_request[0].minutes_with_data, 90, 3);
  const auto text = text_of(found[0]);
  EXPECT_TRUE(text.starts_with("checkout on its own traffic in " + path + "\nA/A: ")) << text;
  EXPECT_NE(text.find("  by request: 0 of 4 rolled back, 0.0% ("), std::string::npos) << text;
  EXPECT_NE(text.find("  by process: 0 of 4 rolled back, 0.0% ("), std::string::npos) << text;
  EXPECT_NE(text.find("min with telemetry"), std::string::npos) << text;
  EXPECT_EQ(injected_rates_text(*found[0].rates), "");
  const auto object = json_of(found[0]);
  EXPECT_EQ(object.at("by_process").at("processes").to_number<int>(), 3);
  EXPECT_FALSE(object.contains("unknown"));
}

TEST(StableRates, SayWhyThereAreNone) {
  const TempDir directory;
  const auto config = config_of_checkout();
  auto found = rates_of_services(config, record_stable(directory, 3, 20), kReleases, 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_NE(text_of(found[0]).find("No rates: stable's telemetry does not cover one rollout"),
            std::string::npos)
      << text_of(found[0]);
  found = rates_of_services(config, record_stable(directory, 1, 90), kReleases, 1);
  EXPECT_NE(text_of(found[0]).find("by process: cannot be known, because stable has one process"),
            std::string::npos)
      << text_of(found[0]);
  found = rates_of_services(config, directory.path() + "/missing.om", kReleases, 1);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_FALSE(found[0].rates);
  EXPECT_NE(text_of(found[0]).find("No rates: "), std::string::npos) << text_of(found[0]);
  EXPECT_TRUE(json_of(found[0]).contains("unknown"));
}

} // namespace
} // namespace coalmine::lab
