// SPDX-License-Identifier: Apache-2.0
#include "lab/outlook.h"

#include <gtest/gtest.h>

#include "config/config.h"

namespace coalmine::lab {
namespace {

TEST(Outlook, SaysWhatLittleTrafficCannotDecide) {
  config::Config config;
  config::parse_config("x.yaml", "service: s\nsteps: [50% 5m, 100%]\n", {}, config);
  ASSERT_EQ(config.specs.size(), 1u);
  const auto little = traffic_outlook(config.specs[0], 1, 0.01, 10),
             much = traffic_outlook(config.specs[0], 200, 0.01, 10);
  EXPECT_NE(little.find("too little traffic to promote on time"), std::string::npos) << little;
  EXPECT_NE(little.find("an equal release: promoted 0 of 100"), std::string::npos) << little;
  EXPECT_EQ(much.find("too little traffic"), std::string::npos) << much;
  EXPECT_NE(much.find("+5pp errors: rolled back 100 of 100"), std::string::npos) << much;
  config.specs[0].judge = "threshold";
  EXPECT_NE(traffic_outlook(config.specs[0], 200, 0.01, 10).find("no forecast for judge threshold"),
            std::string::npos);
}

} // namespace
} // namespace coalmine::lab
