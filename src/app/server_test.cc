// The server as one piece, and what stands between a command line and it.
// SPDX-License-Identifier: Apache-2.0
#include "app/server.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <thread>

#include "app/command/serve_options.h"
#include "app/track_versions.h"
#include "app/version.h"
#include "net/http_client.h"

namespace coalmine::app {
namespace {

namespace fs = std::filesystem;

class Scratch {
 public:
  Scratch() {
    std::string pattern = (fs::temp_directory_path() / "coalmine-app-XXXXXX").string();
    path_ = ::mkdtemp(pattern.data());
  }
  ~Scratch() { fs::remove_all(path_); }
  std::string path() const { return path_.string(); }

 private:
  fs::path path_;
};

ServerOptions anywhere(const Scratch& scratch) {
  ServerOptions options;
  options.listen.port = options.otlp_grpc.port = options.otlp_http.port = 0;
  options.data_directory = scratch.path() + "/data";
  return options;
}

net::HttpResponse fetch(const net::Endpoint& endpoint, const std::string& path,
                        const std::string& body = "") {
  net::ClientRequest request;
  request.url = "http://" + endpoint.to_string() + path;
  if (!body.empty()) {
    request.method = "POST";
    request.body = body;
    request.headers = {{"Content-Type", "application/json"}};
  }
  auto response = net::make_http_client()->fetch(request);
  EXPECT_TRUE(response) << (response ? "" : response.error().message);
  return response ? std::move(*response)
                  : net::HttpResponse{.status = 0, .headers = {}, .body = {}};
}

// Polls until check holds, at most ten seconds.
bool eventually(const std::function<bool()>& check) {
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
  while (std::chrono::steady_clock::now() < deadline) {
    if (check()) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  return check();
}

TEST(Server, StartsAnswersAndStops) {
  Scratch scratch;
  auto server = Server::start(anywhere(scratch));
  ASSERT_TRUE(server) << server.error().message;
  EXPECT_EQ(fetch((*server)->api_endpoint(), "/readyz").status, 200);
  EXPECT_EQ(fetch((*server)->api_endpoint(), "/healthz").status, 200);
  EXPECT_EQ(fetch((*server)->otlp_http_endpoint(), "/v1/metrics", "{}").status, 200);
  server->reset();
  EXPECT_TRUE(fs::exists(scratch.path() + "/data/journal"));
  // The same directory again: what the first one held is free.
  EXPECT_TRUE(Server::start(anywhere(scratch)));
}

TEST(Server, AnAnalysisLeavesTheSeedsSpan) {
  Scratch scratch;
  auto server = Server::start(anywhere(scratch));
  ASSERT_TRUE(server) << server.error().message;
  const auto answer = fetch((*server)->api_endpoint(), "/v1/analyze",
                            R"({"service":"nobody","canary_version":"2","stable_version":"1"})");
  EXPECT_EQ(answer.status, 200) << answer.body;
  EXPECT_TRUE(eventually([&] {
    return fetch((*server)->api_endpoint(), "/metrics")
               .body.find("\ncoalmine_analysis_spans_exported_total 1") != std::string::npos;
  }));
  // It is not mistaken for a service under test.
  const auto counted =
      fetch((*server)->api_endpoint(), "/api/v1/query?query=http_server_request_total");
  EXPECT_EQ(counted.body.find("canary-analyzer"), std::string::npos) << counted.body;
}

TEST(Server, APortInUseNamesTheAddressAndTheWayOut) {
  Scratch first_scratch;
  Scratch second_scratch;
  auto first = Server::start(anywhere(first_scratch));
  ASSERT_TRUE(first) << first.error().message;
  for (const bool grpc : {true, false}) {
    auto options = anywhere(second_scratch);
    (grpc ? options.otlp_grpc : options.otlp_http) =
        grpc ? (*first)->otlp_grpc_endpoint() : (*first)->otlp_http_endpoint();
    const auto second = Server::start(options);
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().code, ErrorCode::unavailable);
    const std::string shown = start_error(second.error(), options);
    EXPECT_NE(shown.find((grpc ? options.otlp_grpc : options.otlp_http).to_string()),
              std::string::npos)
        << shown;
    EXPECT_NE(shown.find(grpc ? "coalmine serve --otlp-grpc :" : "coalmine serve --otlp-http :"),
              std::string::npos)
        << shown;
  }
}

TEST(Server, IsNotOpenToEverybodyByAccident) {
  Scratch scratch;
  for (const auto endpoint :
       {&ServerOptions::otlp_grpc, &ServerOptions::otlp_http, &ServerOptions::listen}) {
    auto options = anywhere(scratch);
    (options.*endpoint).host = "0.0.0.0";
    const auto server = Server::start(options);
    ASSERT_FALSE(server);
    EXPECT_EQ(server.error().code, ErrorCode::failed_precondition);
    EXPECT_NE(server.error().message.find("--insecure"), std::string::npos)
        << server.error().message;
  }
}

TEST(Server, AnUnusableDataDirectoryIsNamed) {
  auto options = ServerOptions{};
  options.data_directory = "/proc/nowhere";
  const auto server = Server::start(options);
  ASSERT_FALSE(server);
  EXPECT_NE(server.error().message.find("/proc/nowhere"), std::string::npos);
}

TEST(ServeOptions, FlagsWinOverTheFile) {
  config::Config config;
  config.server.listen = ":7171";
  config.server.otlp_grpc = ":14317";
  config.server.store.retention_ms = 3'600'000;
  config.server.data_directory = "/from/file";
  ServeFlags flags;
  flags.listen = ":8181";
  flags.retention = "48h";
  const auto options = server_options(flags, config);
  ASSERT_TRUE(options) << options.error().message;
  EXPECT_EQ(options->listen.port, 8181);
  EXPECT_EQ(options->otlp_grpc.port, 14317);
  EXPECT_EQ(options->otlp_http.port, 4318);
  EXPECT_EQ(options->store.retention_ms, 48LL * 3'600'000);
  EXPECT_EQ(options->data_directory, "/from/file");
}

TEST(ServeOptions, BadFlagsAreNamed) {
  const auto message = [](const ServeFlags& flags) {
    const auto options = server_options(flags, {});
    return options ? "" : options.error().message;
  };
  ServeFlags flags;
  flags.listen = "http://x";
  EXPECT_TRUE(message(flags).starts_with("--listen: ")) << message(flags);
  flags = {};
  flags.retention = "24";
  EXPECT_NE(message(flags).find("--retention 24"), std::string::npos);
  flags = {};
  flags.data = "memory";
  EXPECT_NE(message(flags).find("--data memory"), std::string::npos);
  flags = {};
  flags.token_file = "/no/such/file";
  EXPECT_NE(message(flags).find("/no/such/file"), std::string::npos);
}

TEST(ServeOptions, DataGoesToTheUsersStateDirectory) {
  ::setenv("COALMINE_DATA", "/x", 1);
  EXPECT_EQ(default_data_directory(), "/x");
  ::unsetenv("COALMINE_DATA");
  ::setenv("XDG_STATE_HOME", "/state", 1);
  EXPECT_EQ(default_data_directory(), "/state/coalmine");
  ::unsetenv("XDG_STATE_HOME");
  ::setenv("HOME", "/home/me", 1);
  EXPECT_EQ(default_data_directory(), "/home/me/.local/state/coalmine");
}

Presence seen(std::string track, std::string version, std::int64_t first_ms, std::int64_t last_ms) {
  Presence p;
  p.service = "shop";
  p.track = std::move(track);
  p.version = std::move(version);
  p.first_ms = first_ms;
  p.last_ms = last_ms;
  return p;
}

TEST(TrackVersions, ReportWhileTheNextExportIsNotOverdue) {
  const auto spec = rollout::default_spec("shop");
  constexpr std::int64_t kNow = 9'000'000;
  std::vector<Presence> presence{
      seen("canary", "2.3.0", 1'000'000, 1'500'000), seen("canary", "2.4.0", 5'000'000, 8'990'000),
      seen("canary", "2.4.1", 8'000'000, 8'950'000), seen("canary", "2.9.9", 8'500'000, 8'600'000),
      seen("stable", "2.3.0", 2'000'000, 9'500'000), seen("stable", "", 8'900'000, 9'000'000)};
  const auto versions = [&](Track track) { return *seen_versions(spec, track, presence, kNow); };
  EXPECT_EQ(rollout::newest_reporting(versions(Track::canary)), "2.4.1");
  EXPECT_EQ(rollout::newest_reporting(versions(Track::stable)), "2.3.0") << "one with a name";
  presence[2].export_interval_ms = 5'000; // ten of its exports are missing
  EXPECT_EQ(rollout::newest_reporting(versions(Track::canary)), "2.4.0");
  presence[2].last_arrival_ms = kNow - 6'000; // no: they come late
  EXPECT_EQ(rollout::newest_reporting(versions(Track::canary)), "2.4.1");
  EXPECT_EQ(rollout::newest_since(versions(Track::canary), kNow - 10'000), "2.4.1");
  EXPECT_EQ(rollout::newest_since(versions(Track::canary), kNow), std::nullopt);
  EXPECT_EQ(rollout::seen_text(versions(Track::canary), kNow),
            "2.4.1 (6s ago), 2.4.0 (10s ago), 2.9.9 (6m40s ago), 2.3.0 (2h5m ago)");
  EXPECT_EQ(rollout::seen_text(versions(Track::stable), kNow),
            "no version (0ms ago), 2.3.0 (0ms ago)");
  // A whole track that is gone names nobody, however new its last version was.
  EXPECT_EQ(rollout::newest_reporting(*seen_versions(spec, Track::canary, presence, 2 * kNow)), "");
}

TEST(TrackVersions, AreUnknownForAttributesThatAreNotKept) {
  auto by_pod = rollout::default_spec("shop");
  by_pod.canary = {{"k8s.pod.name", "x"}};
  const std::vector<Presence> presence{seen("canary", "2", 1, 2), seen("stable", "1", 1, 2)};
  EXPECT_EQ(seen_versions(by_pod, Track::canary, presence, 3), std::nullopt);
  EXPECT_EQ(seen_versions(rollout::default_spec("other"), Track::canary, presence, 3),
            rollout::SeenVersions{});
  auto any_track = rollout::default_spec("shop"); // stable's selector fits the canary too
  any_track.stable = {{"service.name", "shop"}};
  EXPECT_EQ(seen_versions(any_track, Track::stable, presence, 3)->size(), 1u);
}

// The newest requests of each version, as a store of another kind tells them.
class VersionsThere final : public cohort::CohortSource {
 public:
  struct There {
    std::string version;
    std::int64_t first_ms = 0;
    std::int64_t last_ms = 0; // 0: listed still, and gone
  };
  std::vector<There> there;
  bool down = false;
  Result<cohort::CohortCounts> counts(const cohort::CohortSelector& cohort, std::int64_t,
                                      std::int64_t) const override {
    if (down) return fail(ErrorCode::unavailable, "connection refused");
    cohort::CohortCounts out;
    for (const auto& m : cohort.matchers) {
      if (m.name != "service_version") continue;
      for (const auto& one : there) {
        if (one.version != m.value) continue;
        out.first_ms = one.first_ms;
        out.last_ms = one.last_ms;
      }
    }
    return out;
  }
  std::vector<std::string> label_values(const cohort::CohortSelector&, const std::string& label,
                                        std::int64_t, std::int64_t) const override {
    EXPECT_EQ(label, "service_version");
    std::vector<std::string> out;
    for (const auto& one : there) {
      if (!one.version.empty()) out.push_back(one.version);
    }
    return out;
  }
};

TEST(TrackVersions, OfAnotherStoreAreThoseWhoseRequestsAreNew) {
  constexpr std::int64_t kNow = 9'000'000;
  const auto spec = rollout::default_spec("shop");
  VersionsThere store;
  const auto versions = [&] { return seen_versions(spec, Track::canary, store, kNow); };
  EXPECT_EQ(versions(), rollout::SeenVersions{}) << "none known is a state";
  store.there = {{"2.3.0", 1'000'000, 8'700'000},
                 {"2.4.0", 8'500'000, 8'990'000},
                 {"2.2.0", 500'000, 0},
                 {"", 8'600'000, 8'999'000}};
  EXPECT_EQ(rollout::newest_reporting(*versions()), "2.4.0");
  EXPECT_EQ(rollout::newest_since(*versions(), 8'900'000), "2.4.0");
  EXPECT_EQ(rollout::newest_since(*versions(), 8'995'000), "") << "only what names none is newer";
  EXPECT_EQ(rollout::seen_text(*versions(), kNow),
            "no version (1s ago), 2.4.0 (10s ago), 2.3.0 (5m ago)");
  store.down = true;
  EXPECT_EQ(versions(), std::nullopt) << "not \"none\"";
}

TEST(Version, IsTheProjects) {
  std::ifstream in(fs::path(COALMINE_SOURCE_DIR) / "CMakeLists.txt");
  const std::string text{std::istreambuf_iterator<char>(in), {}};
  EXPECT_NE(text.find("VERSION " + std::string(kVersion) + " "), std::string::npos);
}

} // namespace
} // namespace coalmine::app
