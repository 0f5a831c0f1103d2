// SPDX-License-Identifier: Apache-2.0
#include "demo/demo.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <atomic>
#include <boost/json.hpp>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <thread>

#include "demo/demo_scenes.h"
#include "demo/demo_world.h"

namespace coalmine::demo {
namespace {

namespace json = boost::json;
using namespace std::chrono_literals;

std::atomic<bool> interrupted = false; // set by the signal handler, which may touch nothing else

class Narrator {
 public:
  explicit Narrator(bool color) : color_(color) {}

  void line(const std::string& text) const {
    std::fputs((text + "\n").c_str(), stdout);
    std::fflush(stdout);
  }
  void title(const std::string& text) const {
    line(color_ ? "\n\033[1m" + text + "\033[0m" : "\n" + text);
  }
  void restart() { started_ = std::chrono::steady_clock::now(); }
  void at(const std::string& text) const {
    const auto s = std::chrono::duration_cast<std::chrono::seconds>(
                       std::chrono::steady_clock::now() - started_)
                       .count();
    line(fmt::format("  {:02}:{:02}  {}", s / 60, s % 60, text));
  }

 private:
  bool color_;
  std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
};

std::string text_of(const json::value& object, std::string_view key) {
  const auto* value = object.as_object().if_contains(key);
  return value != nullptr && value->is_string() ? std::string(value->as_string()) : std::string();
}

// A reason without its numbers: two of one shape say the same at two moments.
std::string shape_of(std::string reason) {
  std::erase_if(reason, [](char c) { return c >= '0' && c <= '9'; });
  return reason;
}

// Follows a rollout to its end. Prints each line of its log once, and the reason whenever it
// changes by more than its numbers.
Result<json::value> follow(const DemoWorld& world, const Narrator& narrator, std::int64_t id) {
  std::uint64_t told = 0;
  std::string shape;
  std::string last_told;
  json::value rollout;
  const auto look = [&] {
    auto answer = world.get(fmt::format("/v1/rollouts/{}", id));
    if (!answer) return false;
    rollout = std::move(*answer);
    for (const auto& entry : rollout.at("log").as_array()) {
      const auto sequence = entry.at("sequence").to_number<std::uint64_t>();
      if (sequence <= told) continue;
      told = sequence;
      last_told = text_of(entry, "text");
      if (text_of(entry, "kind") != "look") narrator.at(last_told);
    }
    const auto reason = text_of(rollout, "reason");
    if (auto now = shape_of(reason);
        now != shape && !last_told.ends_with(reason) && !rollout.at("terminal").as_bool()) {
      shape = std::move(now);
      narrator.at("  " + reason);
    }
    return rollout.at("terminal").as_bool();
  };
  TRY(world.wait(fmt::format("rollout {} to end", id), 180, look));
  return rollout;
}

void tell_first_failure(const DemoWorld& world, const Narrator& narrator,
                        const std::string& version) {
  const auto answer =
      world.get("/v1/failures?service=checkout-service&track=canary&limit=1&version=" + version);
  if (!answer || answer->at("failures").as_array().empty()) return;
  const auto& failure = answer->at("failures").as_array()[0];
  narrator.line(fmt::format(
      "\n  The newest failing request:\n    Trace ID: {}\n      Error: {}\n      Endpoint: {}",
      text_of(failure, "trace_id"), text_of(failure, "error"), text_of(failure, "endpoint")));
  for (const auto& span : failure.at("failed_spans").as_array()) {
    narrator.line(fmt::format("      Failed span: {}\n      Exception: {}", text_of(span, "name"),
                              text_of(span, "exception_message")));
    break;
  }
}

Result<bool> play(DemoWorld& world, Narrator& narrator, const Scene& scene,
                  const std::string& version) {
  narrator.title(fmt::format(fmt::runtime(scene.title), version));
  narrator.restart();
  TRY(world.use_config(scene.config));
  TRY(world.reset_weights());
  TRY(world.start_canary(version, scene.fault));
  TRY_ASSIGN(const auto started, world.post("/v1/rollouts", {{"service", "checkout-service"},
                                                             {"canary_version", version},
                                                             {"stable_version", "2.3.0"},
                                                             {"actor", "demo"}}));
  TRY_ASSIGN(const auto rollout,
             follow(world, narrator, started.at("id").to_number<std::int64_t>()));
  const auto phase = text_of(rollout, "phase");
  const bool right = phase == scene.expected;
  const char* mark = phase == "promoted"      ? "✔ PROMOTED"
                     : phase == "rolled_back" ? "✖ ROLLED BACK"
                                              : "॥ ENDED";
  narrator.at(fmt::format("{}  {}", mark, text_of(rollout, "reason")));
  if (phase == "rolled_back") {
    narrator.at(fmt::format("all traffic on stable {:.0f} ms after the decision",
                            rollout.at("time_to_rollback_ms").to_number<double>()));
    tell_first_failure(world, narrator, version);
  }
  const auto seen = world.answered(version);
  narrator.line(
      fmt::format("\n  {} requests reached v{}, {} failed.{}", seen.requests, version, seen.failed,
                  right ? "" : fmt::format(" EXPECTED {}, GOT {}.", scene.expected, phase)));
  return right;
}

Result<std::string> make_directory() {
  std::string pattern = std::filesystem::temp_directory_path() / "coalmine-demo-XXXXXX";
  if (mkdtemp(pattern.data()) == nullptr)
    return fail(ErrorCode::internal, "cannot make a working directory in " + pattern);
  return pattern;
}

struct Tally {
  int right = 0;
  int wrong = 0;
};

Status play_all(const DemoOptions& options, DemoWorld& world, Narrator& narrator, Tally& tally) {
  int release = 0;
  for (int round = 0; round < options.repeat; ++round) {
    for (const auto& scene : kScenes) {
      if (!options.scenario.empty() && scene.name != options.scenario) continue;
      TRY_ASSIGN(const bool right, play(world, narrator, scene, fmt::format("2.4.{}", release++)));
      ++(right ? tally.right : tally.wrong);
      if (scene.expected == "rolled_back") world.stop_canary();
    }
  }
  return {};
}

Status run_in(const DemoOptions& options, const std::string& directory, Tally& tally) {
  Narrator narrator(!options.no_color && isatty(STDOUT_FILENO) == 1);
  DemoWorld world(options, directory, [] { return interrupted.load(); });
  narrator.line("coalmine demo - a shop with three routes, a load balancer and three releases\n");
  TRY(world.start([&](const std::string& text) { narrator.line(text); }));
  narrator.line(fmt::format("\n  Watch it live: {}", world.page_url()));
  TRY(play_all(options, world, narrator, tally));
  if (!options.ci && isatty(STDOUT_FILENO) == 1) {
    narrator.line(
        fmt::format("\nNext:  look around at {}, or  coalmine failures checkout-service --server "
                    "{}\nCtrl-C stops everything that "
                    "this command started.",
                    world.page_url(), world.page_url()));
    while (!interrupted) std::this_thread::sleep_for(100ms);
  }
  return {};
}

} // namespace

int run_demo(const DemoOptions& options) {
  bool known = options.scenario.empty();
  std::string names;
  for (const auto& scene : kScenes) {
    known = known || scene.name == options.scenario;
    names += fmt::format("{}{}", names.empty() ? "" : ", ", scene.name);
  }
  if (!known) {
    std::fputs(fmt::format("coalmine: no scenario is called \"{}\": {}\n", options.scenario, names)
                   .c_str(),
               stderr);
    return 2;
  }
  struct sigaction action{};
  action.sa_handler = [](int) { interrupted = true; };
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);

  const auto directory = make_directory();
  if (!directory) {
    std::fputs(fmt::format("coalmine: {}\n", directory.error().message).c_str(), stderr);
    return 5;
  }
  Tally tally;
  const auto outcome = run_in(options, *directory, tally);
  const bool failed = !outcome || tally.wrong > 0;
  if (!outcome && !interrupted)
    std::fputs(fmt::format("coalmine: {}\n", outcome.error().message).c_str(), stderr);
  if (options.keep || (failed && !interrupted)) {
    std::fputs(fmt::format("Logs and data are in {}\n", *directory).c_str(), stderr);
  } else {
    std::error_code ignored;
    std::filesystem::remove_all(*directory, ignored);
  }
  if (interrupted) return 130;
  if (options.ci)
    std::fputs(fmt::format("\n{} passed, {} failed\n", tally.right, tally.wrong + (outcome ? 0 : 1))
                   .c_str(),
               stdout);
  return failed ? 1 : 0;
}

} // namespace coalmine::demo
