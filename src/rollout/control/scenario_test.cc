// Plays every tests/rollout/*.scenario: what happens around a rollout, and what must come of it.
//
//   # a comment
//   spec KEY VALUE           steps 5% 10m, 25% 10m, 50% 15m, 100%
//                            look_interval 5s   no_data_grace 5m   extend 5m   max_extends 2
//                            judge sequential   on_canary_silent pause   min_requests 100
//                            silent_grace 3m   resume auto|manual   max_error_rate 5%
//                            on_fail rollback|pause|notify   critical /api/pay
//                            approve 2 (that step waits for a person)
//   world rps 200            all requests, both tracks
//   at TIME error_rate C/S   of canary and stable, from then on
//   at TIME slow 30%         share of canary requests at 450 ms
//   at TIME router down|up|refuses|accepts
//   at TIME stable down|up      every server of stable, by the router's checks
//   at TIME hand 2%          someone sets the router
//   at TIME store down|up
//   at TIME telemetry stops|canary_stops|returns
//   at TIME pause|resume|promote|abort|abandon [WHY…]
//   at TIME refused pause|…  the same, and it must be refused
//   at TIME router_says WORDS…  what it knows to spoil the split
//   at TIME split 60%        that share of the canary's requests arrives there, the rest at stable
//   at TIME restart          the process is killed and comes back
//   at TIME expect PHASE [weight 5%] [step 2] [cause no_data] [asked 25%] [notices 1]
//                            [logged 1 KIND] [says WORDS…]
//   by TIME expect PHASE …   as soon as PHASE is reached, at the latest at TIME
// Times count from the start and rise. notices: messages for people so far.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/log.h"
#include "rollout/control/world_for_test.h"
#include "rollout/journal/codec_words.h"
#include "rollout/status.h"

namespace coalmine::rollout::testing {
namespace {

std::int64_t parse_time(const std::string& text) {
  std::size_t used = 0;
  const double n = std::stod(text, &used);
  const auto unit = text.substr(used);
  const double factor = unit == "ms"  ? 1
                        : unit == "s" ? 1'000
                        : unit == "m" ? 60'000
                        : unit == "h" ? 3'600'000
                                      : -1;
  EXPECT_GE(factor, 0) << "not a time: " << text;
  return static_cast<std::int64_t>(n * factor);
}

double parse_percent(const std::string& text) { return std::stod(text) / 100; }

std::string rest_of(std::istringstream& in) {
  std::string rest;
  std::getline(in >> std::ws, rest);
  return rest;
}

// One scenario being played. Lives for one test.
class Player {
 public:
  explicit Player(const std::filesystem::path& file) : file_(file), world_(clock_) {
    clock_.advance_ms(3'600'000); // the service has a past
    spec_ = default_spec("checkout-service");
    spec_.router = route::HaproxyOptions{};
    spec_.notify = {{.kind = notify::Target::Kind::webhook,
                     .url = "http://127.0.0.1:1/",
                     .secret = "",
                     .events = {}}};
  }

  void play() {
    std::ifstream in(file_);
    ASSERT_TRUE(in.good());
    std::string text;
    while (std::getline(in, text) && !::testing::Test::HasFatalFailure()) {
      ++line_;
      SCOPED_TRACE(fmt::format("{}:{}: {}", file_.filename().string(), line_, text));
      std::istringstream words(text);
      std::string word;
      if (!(words >> word) || word.starts_with("#")) continue;
      if (word == "spec") {
        set_spec(words);
      } else if (word == "world") {
        words >> word >> world_.rps;
      } else {
        moment(word, words);
      }
    }
    EXPECT_EQ(fold_difference(simulation_->journal()), "");
    if (::testing::Test::HasFailure()) print_log();
  }

 private:
  void set_spec(std::istringstream& words) {
    std::string key;
    std::string value;
    words >> key;
    if (key == "steps") return set_steps(rest_of(words));
    words >> value;
    if (key == "look_interval") {
      spec_.look_interval_ms = parse_time(value);
    } else if (key == "no_data_grace") {
      spec_.no_data_grace_ms = parse_time(value);
    } else if (key == "extend") {
      spec_.extend_ms = parse_time(value);
    } else if (key == "max_extends") {
      spec_.max_extends = std::stoi(value);
    } else if (key == "min_requests") {
      for (auto& step : spec_.steps) step.min_requests = std::stod(value);
    } else if (key == "approve") {
      spec_.steps.at(std::stoul(value) - 1).approve_manually = true;
    } else if (key == "judge") {
      spec_.judge = value;
      spec_.signals.clear(); // its own defaults
    } else if (key == "critical") {
      spec_.critical_routes = {value};
    } else if (key == "silent_grace") {
      spec_.canary_silent_grace_ms = parse_time(value);
    } else if (key == "resume") {
      spec_.resume_after_no_data = value == "auto";
    } else if (key == "max_error_rate") {
      if (spec_.signals.empty()) spec_.signals = judge::sequential_defaults().signals;
      spec_.signals.front().max = parse_percent(value);
    } else if (key == "on_canary_silent") {
      spec_.on_canary_silent = value == "pause" ? PolicyAction::pause : PolicyAction::rollback;
    } else if (key == "on_fail") {
      spec_.on_fail = value == "pause"    ? PolicyAction::pause
                      : value == "notify" ? PolicyAction::notify
                                          : PolicyAction::rollback;
    } else {
      FAIL() << "unknown key " << key;
    }
  }

  void set_steps(std::string list) {
    spec_.steps.clear();
    std::ranges::replace(list, ',', '\n');
    std::istringstream in(list);
    for (std::string one; std::getline(in, one);) {
      std::istringstream words(one);
      std::string weight;
      std::string time;
      words >> weight >> time;
      spec_.steps.push_back(
          {.weight = parse_percent(weight), .analyze_ms = time.empty() ? 0 : parse_time(time)});
    }
  }

  void moment(const std::string& how, std::istringstream& words) {
    std::string time;
    std::string verb;
    words >> time >> verb;
    const auto when = parse_time(time);
    if (how == "by") {
      std::string phase;
      words >> phase;
      begin();
      while (elapsed() < when && to_string(simulation_->state()->position.phase) != phase)
        simulation_->beat(1'000);
      expect(phase, words);
      return;
    }
    ASSERT_EQ(how, "at");
    if (when == 0 && simulation_ == nullptr && verb != "expect")
      return change(verb, words); // before the start
    begin();
    while (elapsed() < when) simulation_->beat(1'000);
    change(verb, words);
  }

  void begin() {
    if (simulation_ != nullptr) return;
    simulation_ = std::make_unique<Simulation>(
        clock_, world_, [this] { return std::make_unique<MemoryJournal>(disk_); });
    started_ = clock_.wall_ms();
    simulation_->start(spec_);
  }
  std::int64_t elapsed() const { return clock_.wall_ms() - started_; }

  void change(const std::string& verb, std::istringstream& words) {
    std::string value;
    if (verb == "error_rate") {
      words >> value;
      world_.canary_errors.set(clock_.wall_ms(), parse_percent(value));
      world_.stable_errors.set(clock_.wall_ms(), parse_percent(value.substr(value.find('/') + 1)));
    } else if (verb == "slow") {
      words >> value;
      world_.canary_slow.set(clock_.wall_ms(), parse_percent(value));
    } else if (verb == "split") {
      words >> value;
      world_.shown_share = parse_percent(value);
    } else if (verb == "router") {
      words >> value;
      world_.router_down = value == "down";
      world_.router_refuses = value == "refuses";
    } else if (verb == "stable") {
      words >> value;
      world_.stable_down = value == "down";
    } else if (verb == "router_says") {
      world_.split_cause = rest_of(words);
    } else if (verb == "hand") {
      words >> value;
      world_.weight.set(clock_.wall_ms(), parse_percent(value));
    } else if (verb == "store") {
      words >> value;
      world_.store_down = value == "down";
    } else if (verb == "telemetry") {
      words >> value;
      world_.silent_from = value == "stops" ? clock_.wall_ms() : INT64_MAX;
      world_.canary_silent_from = value == "canary_stops" ? clock_.wall_ms() : INT64_MAX;
    } else if (verb == "restart") {
      simulation_->restart();
    } else if (verb == "expect") {
      words >> value;
      expect(value, words);
    } else if (verb == "refused") {
      words >> value;
      EXPECT_FALSE(simulation_->try_command(command_of(value), rest_of(words)));
    } else {
      const auto status = simulation_->try_command(command_of(verb), rest_of(words));
      EXPECT_TRUE(status) << (status ? "" : status.error().message);
      simulation_->beat(1); // what it leads to
    }
  }

  static Command command_of(const std::string& text) {
    EXPECT_TRUE(std::ranges::any_of(kCommands, [&](Command c) { return word(c) == text; }))
        << "unknown: " << text;
    return from_word(text, kCommands, [](Command c) { return word(c); });
  }

  void expect(const std::string& phase, std::istringstream& words) {
    const auto& state = *simulation_->state();
    const auto status = make_status(state, {});
    EXPECT_EQ(to_string(state.position.phase), phase) << status.reason;
    std::string key;
    while (words >> key) {
      std::string value;
      if (key == "says") {
        value = rest_of(words);
        EXPECT_NE(status.reason.find(value), std::string::npos) << "it says: " << status.reason;
        continue;
      }
      words >> value;
      if (key == "logged") {
        std::string kind;
        words >> kind;
        EXPECT_EQ(std::ranges::count(simulation_->log(), kind, &LogEntry::kind), std::stol(value));
      } else if (key == "weight") {
        EXPECT_NEAR(world_.weight.last(), parse_percent(value), 1e-9) << status.reason;
      } else if (key == "asked") {
        EXPECT_NEAR(state.weight.asked, parse_percent(value), 1e-9);
      } else if (key == "step") {
        EXPECT_EQ(state.position.step + 1, std::stoul(value));
      } else if (key == "cause") {
        EXPECT_EQ(to_string(state.position.pause_cause), value);
      } else if (key == "notices") {
        EXPECT_EQ(disk_.outbox.size(), std::stoul(value));
      } else {
        FAIL() << "unknown: " << key;
      }
    }
  }

  void print_log() const {
    for (const auto& line : simulation_->log()) {
      fmt::print("  {:>8} {:<12} {}\n", fmt::format("{}s", (line.time_ms - started_) / 1000),
                 line.kind, line.text);
    }
  }

  const std::filesystem::path file_;
  std::size_t line_ = 0;
  RolloutSpec spec_;
  ManualClock clock_;
  World world_;
  Disk disk_;
  std::unique_ptr<Simulation> simulation_;
  std::int64_t started_ = 0;
};

std::vector<std::string> scenarios() {
  std::vector<std::string> out;
  for (const auto& entry :
       std::filesystem::directory_iterator(COALMINE_SOURCE_DIR "/tests/rollout")) {
    if (entry.path().extension() == ".scenario") out.push_back(entry.path().stem().string());
  }
  std::ranges::sort(out);
  return out;
}

class ScenarioTest : public ::testing::TestWithParam<std::string> {};

TEST_P(ScenarioTest, Plays) {
  set_log_level(LogLevel::error);
  Player player(COALMINE_SOURCE_DIR "/tests/rollout/" + GetParam() + ".scenario");
  player.play();
}

INSTANTIATE_TEST_SUITE_P(Files, ScenarioTest, ::testing::ValuesIn(scenarios()),
                         [](const auto& test) { return test.param; });

} // namespace
} // namespace coalmine::rollout::testing
