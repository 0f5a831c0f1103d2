// SPDX-License-Identifier: Apache-2.0
#include "config/config.h"
#include "base/did_you_mean.h"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/golden_for_test.h"
#include "config/config_fields.h"
#include "config/config_values.h"
#include "config/dashboard_file.h"
#include "store/series/series_index.h"

namespace coalmine::config {
namespace {

namespace fs = std::filesystem;

const fs::path kRoot = COALMINE_SOURCE_DIR;

std::string slurp(const fs::path& path) {
  auto text = read_file(path.string(), 1u << 20);
  return text ? *text : "";
}

// What a person sees of a config file: its problems, or what it means.
std::string shown(const fs::path& file) {
  ::unsetenv("SLACK_WEBHOOK");
  Config config;
  const auto report =
      parse_config(file.filename().string(), slurp(file), {.secrets_required = true}, config);
  std::string out = render(report, false);
  const auto problems = count({report});
  if (problems.errors + problems.warnings > 0) out += "\n" + count_text(problems) + "\n";
  if (problems.errors > 0) return out;
  for (const auto& spec : config.specs) {
    std::string words = explain(spec);
    out += (out.empty() ? "" : "\n") + words.substr(0, words.rfind("Config "));
  }
  return out;
}

std::vector<fs::path> cases() {
  std::vector<fs::path> files;
  for (const auto& entry : fs::directory_iterator(kRoot / "tests/config")) {
    if (entry.path().extension() == ".yaml") files.push_back(entry.path());
  }
  std::sort(files.begin(), files.end());
  return files;
}

class GoldenConfig : public testing::TestWithParam<fs::path> {};

// tests/config/X.yaml shows X.txt.
TEST_P(GoldenConfig, ShowsWhatIsExpected) {
  const std::string actual = shown(GetParam());
  expect_golden(fs::path(GetParam()).replace_extension(".txt"), actual);
  const bool bad = GetParam().filename().string().starts_with("bad_");
  EXPECT_EQ(bad, actual.find(": error: ") != std::string::npos);
}

INSTANTIATE_TEST_SUITE_P(All, GoldenConfig, testing::ValuesIn(cases()),
                         [](const auto& test) { return test.param.stem().string(); });

TEST(Config, EveryExampleLoads) {
  std::size_t files = 0;
  for (const auto& entry : fs::directory_iterator(kRoot / "examples")) {
    if (entry.path().extension() != ".yaml") continue;
    const std::string text = slurp(entry.path());
    ++files;
    if (looks_like_dashboard(text)) {
      const auto file = parse_dashboard(entry.path().string(), text);
      EXPECT_TRUE(file.ok()) << render(file.report, false);
    } else {
      Config config;
      const auto report =
          parse_config(entry.path().string(), text, {.secrets_required = false}, config);
      EXPECT_EQ(count({report}).errors, 0u) << render(report, false);
      EXPECT_FALSE(config.specs.empty()) << entry.path();
    }
  }
  EXPECT_GE(files, 4u);
}

TEST(Config, SeedThresholdsMeanWhatTheSeedMeans) {
  Config config;
  const auto report =
      parse_config("x.yaml", slurp(kRoot / "tests/config/valid_seed.yaml"), {}, config);
  ASSERT_EQ(config.specs.size(), 1u) << render(report, false);
  const auto& spec = config.specs[0];
  ASSERT_EQ(spec.signals.size(), 2u);
  EXPECT_EQ(spec.signals[0].name, "error_rate");
  EXPECT_EQ(spec.signals[0].margin.unit, judge::Margin::Unit::points);
  EXPECT_DOUBLE_EQ(spec.signals[0].margin.amount, 0.10);
  EXPECT_EQ(spec.signals[1].name, "p99_latency");
  EXPECT_EQ(spec.signals[1].margin.unit, judge::Margin::Unit::percent);
  EXPECT_DOUBLE_EQ(spec.signals[1].margin.amount, 0.20);
  EXPECT_DOUBLE_EQ(spec.min_analysis_minutes, 10);
  EXPECT_EQ(spec.analysis_window_ms, 600'000);
  EXPECT_EQ(spec.config_hash.size(), 64u);
}

TEST(Config, MapsEveryKeyOfTheFullForm) {
  Config config;
  parse_config("x.yaml", slurp(kRoot / "tests/config/valid_map_layout.yaml"), {}, config);
  ASSERT_EQ(config.specs.size(), 1u);
  const auto& spec = config.specs[0];
  EXPECT_EQ(spec.environment, "production");
  EXPECT_EQ(spec.canary, (rollout::AttributeSelector{{"deployment.track", "canary"},
                                                     {"service.version", "5.2"}}));
  ASSERT_EQ(spec.steps.size(), 3u);
  EXPECT_DOUBLE_EQ(spec.steps[0].weight, 0.01);
  EXPECT_EQ(spec.steps[0].analyze_ms, 90 * 60'000);
  EXPECT_DOUBLE_EQ(spec.steps[0].min_requests, 500);
  EXPECT_DOUBLE_EQ(spec.steps[1].weight, 0.125);
  EXPECT_TRUE(spec.steps[1].approve_manually);
  EXPECT_DOUBLE_EQ(spec.steps[2].weight, 1);
  ASSERT_EQ(spec.signals.size(), 5u);
  EXPECT_EQ(spec.signals[3].name, "client_error_rate") << "wherever the error rate is judged";
  EXPECT_EQ(spec.signals[4].name, "restarts") << "wherever the error rate is judged";
  EXPECT_EQ(spec.signals[3].per_route, spec.signals[0].per_route);
  EXPECT_FALSE(spec.signals[0].per_route);
  EXPECT_DOUBLE_EQ(spec.signals[0].max.value(), 0.02);
  EXPECT_DOUBLE_EQ(spec.signals[1].quantile, 0.95);
  EXPECT_DOUBLE_EQ(spec.signals[1].max.value(), 800);
  EXPECT_FALSE(spec.signals[2].gate);
  EXPECT_EQ(spec.on_fail, rollout::PolicyAction::pause);
  EXPECT_EQ(spec.extend_ms, 600'000);
  EXPECT_EQ(spec.max_extends, 1);
  EXPECT_EQ(spec.no_data_grace_ms, 120'000);
  EXPECT_EQ(spec.look_interval_ms, 2000);
  EXPECT_EQ(std::get<route::HaproxyOptions>(spec.router).map_key, "search");
  ASSERT_EQ(spec.notify.size(), 1u);
  EXPECT_EQ(spec.notify[0].events, (std::vector<std::string>{"rolled_back", "promoted"}));
}

TEST(Config, RestartsHaveALimitAndNoMargin) {
  const auto signals_of = [](const std::string& restarts, std::size_t errors) {
    Config config;
    const auto report = parse_config(
        "x.yaml", "service: pay\nmetrics: { error_rate: +0.5pp, " + restarts + " }\n", {}, config);
    EXPECT_EQ(count({report}).errors, errors) << render(report, false);
    std::vector<judge::SignalSpec> out;
    for (const auto& spec : config.specs) {
      for (const auto& signal : spec.signals)
        if (signal.kind == judge::SignalKind::restarts) out.push_back(signal);
    }
    return out;
  };
  auto found = signals_of("client_error_rate: off", 0);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].max, 2);
  EXPECT_TRUE(found[0].gate);
  found = signals_of("restarts: { max: 5, gate: false }", 0);
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].max, 5);
  EXPECT_FALSE(found[0].gate);
  EXPECT_TRUE(signals_of("restarts: off", 0).empty());
  (void)signals_of("restarts: +5%", 1);
  (void)signals_of("restarts: { margin: +5% }", 1);
}

TEST(Config, ServerBlockAndPathsRelativeToTheFile) {
  Config config;
  const auto report = parse_config(
      "/etc/coalmine/main.yaml",
      "server: { data: state, dashboards: [panels.yaml, /abs/p.yaml], retention_size: 1GiB, "
      "disk_reserve: 64MiB, sync_interval: 0s, series_per_service: 5000 }\n",
      {}, config);
  EXPECT_EQ(count({report}).errors, 0u) << render(report, false);
  EXPECT_EQ(config.server.data_directory, "/etc/coalmine/state");
  EXPECT_EQ(config.server.dashboards,
            (std::vector<std::string>{"/etc/coalmine/panels.yaml", "/abs/p.yaml"}));
  EXPECT_EQ(config.server.store.retention_bytes, 1073741824u);
  EXPECT_EQ(config.server.store.disk_reserve_bytes, 67108864u);
  EXPECT_EQ(config.server.store.max_series_per_service, 5000u);
  EXPECT_EQ(config.server.store.sync_interval_ms, 0);
  EXPECT_EQ(config.server.store.accept_late_ms, 3'600'000);
}

// The line of docs/config.md for each field of the table.
template <typename Owner>
void expect_in_docs(const std::string& docs, std::span<const rollout::SpecField<Owner>> fields) {
  for (const auto& field : fields) {
    const std::string line =
        fmt::format("| `{}{}{}` | {} | {} |\n", field.block, field.block.empty() ? "" : ".",
                    field.key, default_text(field), field.meaning);
    EXPECT_NE(docs.find(line), std::string::npos) << "docs/config.md lacks the line\n" << line;
  }
}

// The warnings of a file, without places.
std::string warnings_of(const std::string& text) {
  Config config;
  const auto report = parse_config("c.yaml", text, {}, config);
  EXPECT_EQ(count({report}).errors, 0u) << render(report, false);
  std::string out;
  for (const auto& found : report.diagnostics) out += found.message + "\n";
  return out;
}

TEST(Config, SelectorsThatMayOverlapAreTold) {
  EXPECT_EQ(warnings_of("service: s\nstable: { deployment.environment: production }\n"),
            "canary and stable may select the same telemetry: what has both "
            "deployment.track=canary and deployment.environment=production counts for the canary "
            "alone\n");
  EXPECT_EQ(warnings_of("service: s\ncanary: { a: 1 }\nstable: { a: 1, b: 2 }\n"),
            "canary and stable may select the same telemetry: what has both a=1 and a=1 and b=2 "
            "counts for stable alone\n");
  EXPECT_EQ(warnings_of("service: s\ncanary: { a: 1, b: 2 }\nstable: { c: 3 }\n"),
            "canary and stable may select the same telemetry: what has both a=1 and b=2 and c=3 "
            "counts for both tracks\n");
  EXPECT_EQ(warnings_of("service: s\ncanary: { a: 1, b: 2 }\nstable: { c: 3, a: 2 }\n"), "");
}

// What a refusal advises to change has to be there.
TEST(Config, KnowsTheKeyThatARefusalNames) {
  store::SeriesIndex index(0);
  store::SeriesInfo info;
  info.labels = std::make_shared<const Labels>(Labels::of({{"service_name", "shop"}}));
  const auto refused = index.add(info, [](SeriesId) { return false; });
  ASSERT_FALSE(refused);
  const auto& text = refused.error().message;
  const auto at = text.rfind("server.");
  ASSERT_NE(at, std::string::npos) << text;
  EXPECT_EQ(warnings_of(fmt::format("server: {{ {}: 5 }}\n", text.substr(at + 7))), "");
}

TEST(Config, AttributesToPromote) {
  Config config;
  const auto report = parse_config(
      "c.yaml", "server: { promote_resource_attributes: [app.lane, team] }\n", {}, config);
  EXPECT_TRUE(report.diagnostics.empty()) << render(report, false);
  EXPECT_EQ(config.server.promoted_attributes, (std::vector<std::string>{"app.lane", "team"}));
}

TEST(SpecFields, StandInTheDocs) {
  const std::string docs = slurp(kRoot / "docs/config.md");
  expect_in_docs(docs, rollout::rollout_fields());
  expect_in_docs(docs, rollout::step_fields());
  expect_in_docs(docs, rollout::rank_fields());
}

TEST(Explain, MarksWhatIsADefault) {
  auto spec = plain_spec("shop");
  EXPECT_EQ(spec.service, "shop");
  std::istringstream usual(explain_with_defaults(spec));
  std::string line;
  std::getline(usual, line);
  EXPECT_EQ(line, "shop");
  while (std::getline(usual, line)) {
    EXPECT_TRUE(line.ends_with(" [default]") || line.starts_with("Config ")) << line;
  }
  spec.no_data_grace_ms = 42'000;
  route::HaproxyOptions haproxy;
  haproxy.socket = "/run/h.sock";
  haproxy.backend = "shop";
  haproxy.stable_servers = {"s1"};
  haproxy.canary_servers = {"c1"};
  spec.router = haproxy;
  const auto words = explain_with_defaults(spec);
  EXPECT_NE(words.find("at least 10 minutes old. [default]\n"), std::string::npos) << words;
  EXPECT_NE(words.find("(canary) in backend shop.\n"), std::string::npos) << words;
  EXPECT_NE(words.find("and a person is called. [default]\n"), std::string::npos) << words;
  EXPECT_NE(words.find("Missing data never promotes.\n"), std::string::npos) << words;
}

TEST(Explain, NamesStepsThatAreShorterThanThreeExports) {
  auto spec = rollout::default_spec("shop");
  spec.judge = "sequential";
  spec.steps = {{.weight = 0.05, .analyze_ms = 3 * 60'000}, {.weight = 1}};
  EXPECT_EQ(short_step_note(spec), "");
  spec.steps.front().analyze_ms = 2 * 60'000;
  EXPECT_TRUE(short_step_note(spec).starts_with("A step of 2m is shorter than three exports"))
      << short_step_note(spec);
  EXPECT_NE(explain(spec).find(short_step_note(spec)), std::string::npos);
  spec.steps = {{.weight = 1}};
  EXPECT_EQ(short_step_note(spec), "") << "nothing is watched";
}

// Another value than the default, which explain can show.
void change(rollout::RolloutSpec& spec, const rollout::SpecField<rollout::RolloutSpec>& field) {
  std::visit(
      [&](auto member) {
        auto& value = spec.*member;
        using Value = std::remove_reference_t<decltype(value)>;
        if constexpr (std::is_same_v<Value, bool>) {
          value = !value;
        } else if constexpr (std::is_same_v<Value, rollout::PolicyAction>) {
          value = rollout::PolicyAction::pause;
        } else {
          value += static_cast<Value>(field.scale == rollout::Scale::plain ? 1000 : 0.1);
        }
      },
      field.member);
}

TEST(SpecFields, AreExplained) {
  auto usual = rollout::default_spec("shop");
  usual.judge = "sequential";
  usual.router = route::HaproxyOptions{};
  for (const auto& field : rollout::rollout_fields()) {
    auto spec = usual;
    change(spec, field);
    EXPECT_NE(explain(spec), explain(usual)) << field.block << " " << field.key;
  }
}

TEST(Config, SecretsComeFromTheEnvironmentAndFiles) {
  const fs::path file =
      fs::temp_directory_path() / ("coalmine-secret-" + std::to_string(::getpid()));
  std::ofstream(file) << "s3cret\n";
  ::setenv("COALMINE_TEST_HOOK", "https://hooks.example.com/abc", 1);
  Config config;
  const auto report = parse_config(
      "x.yaml",
      "service: a\nnotify:\n- webhook: { url: env:COALMINE_TEST_HOOK, secret: \"file:" +
          file.string() + "\" }\n",
      {}, config);
  fs::remove(file);
  ASSERT_EQ(count({report}).errors, 0u) << render(report, false);
  EXPECT_EQ(config.specs.at(0).notify.at(0).url, "https://hooks.example.com/abc");
  EXPECT_EQ(config.specs.at(0).notify.at(0).secret, "s3cret");
}

// Each line is wrong in one way and holds a secret. Nothing that is shown of it holds the secret:
// no message, no hint, no line, no explanation.
TEST(Config, SecretsOfAFileAreNeverShown) {
  ::setenv("COALMINE_TEST_HOOK", "https://hooks.example.com/Hush1234", 1);
  const std::string_view files[] = {
      "service: a\nserver: { operator_token: Hush1234, operator_token: Hush1234 }\n",
      "service: a\nserver:\n  viewer_token: \"Hush1234\n",
      "service: a\nserver:\n  operator_tokens: Hush1234\n",
      "service: a\nserver: { otlp_token: 'Hush1234', nonsense: 1 }\n",
      "service: a\nstores: { prometheus: 'http://me:Hush1234@prometheus:9090' }\nstorse: 1\n",
      "service: a\nstores: { prometheus: 'me:Hush1234@prometheus:9090' }\n",
      "service: a\nstores: { prometheus: 'prometheus:9090?token=Hush1234' }\n",
      "service: a\nstores: { tempo: 'http://tempo?token=Hush1234' }\n",
      "service: a\nstores: { prometheus: { url: 'http://x?t=Hush1234#Hush1234', timout: 1s } }\n",
      "service: a\nstores: { prometheus: { url: http://x, timout: 1s, headers: { X-Key: Hush1234 } "
      "} }\n",
      "service: a\nstores: { prometheus: { url: http://x, bearer_token: Hush1234 } }\n",
      "service: a\nstores: { prometheus: { url: http://x, basic_auth: { user: me, password: "
      "Hush1234 } } }\n",
      "service: a\nstores:\n  prometheus:\n    bearer_token: |\n      Hush1234\n      Hush1234\n",
      "service: a\ntelemetry: { endpoint: 'collector:4318?key=Hush1234' }\n",
      "service: a\ntelemetry: { endpoint: 'https://me:Hush1234@collector', x: 1 }\n",
      "service: a\nnotify: [{ slack: { webhook: https://hooks.slack.com/services/Hush1234, x: 1 } "
      "}]\n",
      "service: a\nnotify: [{ slack: { webhook: hooks.slack.com/services/Hush1234 } }]\n",
      "service: a\nnotify: [{ webhook: { url: \"https://ci/Hush1234\", secret: Hush1234 } }]\n",
      "service: a\nnotify: [{ webhook: { url: https://ci/x?k=Hush1234 }, events: [never] }]\n",
      "service: a\nnotify:\n- slack: { webhook: env:COALMINE_TEST_HOOK }\nsteps: [100% 5m]\n",
      "service: a\nnotify:\n\t- slack: { webhook: https://hooks.slack.com/services/Hush1234 }\n",
  };
  for (const auto file : files) {
    Config config;
    const auto report = parse_config("x.yaml", std::string(file), {}, config);
    std::string all = render(report, true) + report.text;
    for (const auto& spec : config.specs) all += explain(spec);
    for (const auto& d : report.diagnostics) all += d.message + d.hint;
    EXPECT_FALSE(report.diagnostics.empty()) << file;
    EXPECT_EQ(all.find("Hush"), std::string::npos) << file << all;
    EXPECT_EQ(report.text.size(), file.size()) << "places stay where they are";
  }
  ::unsetenv("COALMINE_TEST_HOOK");
}

TEST(Config, ADirectoryIsReadInOrder) {
  const fs::path folder =
      fs::temp_directory_path() / ("coalmine-config-" + std::to_string(::getpid()));
  fs::create_directories(folder);
  std::ofstream(folder / "b.yaml") << "service: b\n";
  std::ofstream(folder / "a.yml") << "service: a\n";
  std::ofstream(folder / "c.yaml") << "service: a\n";
  std::ofstream(folder / ".hidden.yaml") << "nonsense\n";
  std::ofstream(folder / "notes.txt") << "nonsense\n";
  const auto loaded = load_config(folder.string(), {});
  fs::remove_all(folder);
  ASSERT_TRUE(loaded);
  EXPECT_EQ(loaded->reports.size(), 3u);
  EXPECT_FALSE(loaded->ok());
  ASSERT_EQ(loaded->config.specs.size(), 2u);
  EXPECT_EQ(loaded->config.specs[0].service, "a");
  EXPECT_NE(render(loaded->reports[2], false).find("configured twice"), std::string::npos);
}

TEST(Config, UnreadablePathsSayWhy) {
  EXPECT_EQ(load_config("/no/such/file.yaml", {}).error().message,
            "cannot read /no/such/file.yaml: no such file");
  const auto oversized = parse_config("x", std::string(3000, '['), {}, *std::make_unique<Config>());
  EXPECT_EQ(count({oversized}).errors, 1u);
}

// Whatever is in the file, there is an answer: every prefix and many broken copies of a real file.
TEST(Config, BrokenTextNeverCrashes) {
  const std::string text = slurp(kRoot / "tests/config/valid_map_layout.yaml");
  for (std::size_t i = 0; i < text.size(); i += 11) {
    Config config;
    parse_config("x.yaml", text.substr(0, i), {}, config);
    std::string changed = text;
    changed[i] = "[]{}:,&*!|>'\"%@`#\t\x01"[i % 19];
    const auto report = parse_config("x.yaml", changed, {}, config);
    render(report, true);
  }
}

TEST(Config, NamesOfAStoreAreOneOrAList) {
  Config config;
  const auto report =
      parse_config("x.yaml",
                   "service: shop\n"
                   "stores:\n"
                   "  prometheus:\n"
                   "    url: http://p:9090\n"
                   "    names: { requests: a, errors: [b, c], replica: zone,"
                   " span_requests: [d], span_duration: e, service: service.name }\n",
                   {}, config);
  EXPECT_TRUE(report.diagnostics.empty()) << render(report, false);
  ASSERT_TRUE(config.server.prometheus);
  using Names = std::vector<std::string>;
  const auto& names = config.server.prometheus->names;
  EXPECT_EQ(names.requests, Names{"a"});
  EXPECT_EQ(names.errors, (Names{"b", "c"}));
  EXPECT_EQ(names.replica_labels, Names{"zone"});
  EXPECT_EQ(names.span_requests, Names{"d"});
  EXPECT_EQ(names.span_durations, Names{"e"});
  EXPECT_EQ(names.durations, datasource::SeriesNames().durations);
  EXPECT_EQ(names.service_label, "service.name");
}

TEST(ConfigValues, Durations) {
  EXPECT_EQ(parse_duration("10m"), 600'000);
  EXPECT_EQ(parse_duration("1h30m"), 5'400'000);
  EXPECT_EQ(parse_duration("1h 30m"), 5'400'000);
  EXPECT_EQ(parse_duration("1.5h"), 5'400'000);
  EXPECT_EQ(parse_duration("500ms"), 500);
  EXPECT_EQ(parse_duration("2d"), 172'800'000);
  for (const auto* bad : {"", "10", "m", "10x", "-5m", "10m ", "1e3s", "99999999999d", " 5m"}) {
    EXPECT_FALSE(parse_duration(bad)) << bad;
  }
  EXPECT_EQ(duration_text(5'400'000), "1h30m");
  EXPECT_EQ(duration_text(1'500), "1s500ms");
}

TEST(ConfigValues, DidYouMean) {
  EXPECT_EQ(did_you_mean("stpes", {"steps", "stores"}), "steps");
  EXPECT_EQ(did_you_mean("on", {"notify", "steps"}), "");
  EXPECT_EQ(did_you_mean("metric", {"metrics"}), "metrics");
}

TEST(DashboardFile, ReadsTheSeedsPanels) {
  const auto file = load_dashboard((kRoot / "demo/canary-dashboard-panels.yaml").string());
  ASSERT_TRUE(file);
  EXPECT_TRUE(file->report.diagnostics.empty()) << render(file->report, false);
  const auto& dashboard = file->dashboard;
  EXPECT_EQ(dashboard.name, "canary-dashboard-panels");
  ASSERT_EQ(dashboard.panels.size(), 3u);
  EXPECT_EQ(dashboard.panels[0].title, "Error Rate: Canary vs Stable");
  EXPECT_EQ(dashboard.panels[0].type, "timeseries");
  ASSERT_EQ(dashboard.panels[0].queries.size(), 2u);
  EXPECT_EQ(dashboard.panels[0].queries[0].label, "Stable (v2.3.0)");
  EXPECT_EQ(dashboard.panels[2].type, "gauge");
  ASSERT_EQ(dashboard.panels[2].queries.size(), 1u);
  EXPECT_EQ(dashboard.panels[2].queries[0].query.substr(0, 9), "sum(rate(");
}

TEST(DashboardFile, UnknownKeysAreWarningsAndMistakesArePlaced) {
  const auto file = parse_dashboard("p.yaml",
                                    "refresh: 5s\npanels:\n- title: T\n  tpye: gauge\n  query: "
                                    "up\n- title: U\n  type: pie\n- title: V\n"
                                    "  query: sum(\n");
  EXPECT_EQ(render(file.report, false),
            "p.yaml:1:1: warning: unknown key \"refresh\"\n"
            "    1 | refresh: 5s\n"
            "      | ^^^^^^^ a panel file has: panels\n"
            "p.yaml:4:3: warning: unknown key \"tpye\" - did you mean \"type\"?\n"
            "    4 |   tpye: gauge\n"
            "      |   ^^^^\n"
            "p.yaml:6:3: error: panel \"U\" has no query\n"
            "    6 | - title: U\n"
            "      |   ^\n"
            "p.yaml:7:9: error: type cannot be \"pie\"\n"
            "    7 |   type: pie\n"
            "      |         ^^^ one of: timeseries, gauge\n" +
                render({"p.yaml", file.report.text, {file.report.diagnostics.back()}}, false));
  EXPECT_EQ(file.report.diagnostics.back().severity, Diagnostic::Severity::warning);
  EXPECT_EQ(file.report.diagnostics.back().span.line, 9u);
}

} // namespace
} // namespace coalmine::config
