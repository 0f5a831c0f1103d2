// The block `stores`: where telemetry is asked for when it is not in the built-in store.
// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include <memory>
#include <utility>

#include "config/config_parts.h"
#include "net/secrets.h"

namespace coalmine::config {
namespace {

bool is_url(std::string_view text) {
  return text.starts_with("http://") || text.starts_with("https://");
}

void read_url(const ConfigContext& context, const YAML::Node& node, PrometheusStore& store) {
  const auto text = context.yaml.text(node, "stores.prometheus url");
  if (!text) return;
  store.client.url = *text;
  if (is_url(*text)) return;
  if (net::shown_url(*text) != *text) context.yaml.keep_secret(node);
  context.yaml.error(
      node,
      fmt::format("\"{}\" is not the URL of a Prometheus-compatible server", net::shown_url(*text)),
      "write http://HOST:9090");
}

void read_headers(const ConfigContext& context, const YAML::Node& node, PrometheusStore& store) {
  context.yaml.entries(node, "headers",
                       [&](const std::string& name, const YAML::Node&, const YAML::Node& value) {
                         if (auto text = read_secret(context, value, "a header", Literal::allowed))
                           store.client.headers.emplace_back(name, std::move(*text));
                       });
}

void read_tls(const ConfigContext& context, const YAML::Node& node, PrometheusStore& store) {
  auto tls = std::make_shared<net::ClientTls>();
  auto& yaml = context.yaml;
  const auto file = [&yaml](std::string_view what, std::string& out) {
    return [&yaml, what, &out](const YAML::Node& v) { out = yaml.text(v, what).value_or(""); };
  };
  const YamlReader::Keys keys{
      {"ca", file("tls.ca", tls->ca_file)},
      {"certificate", file("tls.certificate", tls->certificate_file)},
      {"key", file("tls.key", tls->key_file)},
      {"insecure",
       [&](const YAML::Node& v) {
         tls->verify = !yaml.boolean(v, "tls.insecure").value_or(false);
       }},
  };
  yaml.map(node, "tls", keys);
  if (tls->certificate_file.empty() != tls->key_file.empty()) {
    yaml.error(node, "a client certificate needs its key, and a key needs its certificate",
               "write tls: { certificate: …, key: … }");
  }
  store.client.tls = std::move(tls);
}

void read_names(const ConfigContext& context, const YAML::Node& node,
                datasource::SeriesNames& names) {
  auto& yaml = context.yaml;
  const auto one = [&yaml](std::string_view what, std::string& out) {
    return [&yaml, what, &out](const YAML::Node& v) { out = yaml.text(v, what).value_or(out); };
  };
  const auto many = [&yaml](std::string_view what, std::vector<std::string>& out) {
    return [&yaml, what, &out](const YAML::Node& v) {
      if (auto given = yaml.texts(v, what); !given.empty()) out = std::move(given);
    };
  };
  const YamlReader::Keys keys{
      {"requests", many("names.requests", names.requests)},
      {"errors", many("names.errors", names.errors)},
      {"duration", many("names.duration", names.durations)},
      {"span_requests", many("names.span_requests", names.span_requests)},
      {"span_duration", many("names.span_duration", names.span_durations)},
      {"service", one("names.service", names.service_label)},
      {"instance", many("names.instance", names.instance_labels)},
      {"route", many("names.route", names.route_labels)},
      {"status", many("names.status", names.status_labels)},
      {"replica", many("names.replica", names.replica_labels)},
  };
  yaml.map(node, "names", keys);
}

void read_basic_auth(const ConfigContext& context, const YAML::Node& node, PrometheusStore& store) {
  const YamlReader::Keys keys{
      {"user",
       [&](const YAML::Node& v) {
         store.client.user = context.yaml.text(v, "basic_auth.user").value_or("");
       }},
      {"password",
       [&](const YAML::Node& v) {
         store.client.password =
             read_secret(context, v, "basic_auth.password", Literal::refused).value_or("");
       }},
  };
  context.yaml.map(node, "basic_auth", keys);
}

std::optional<PrometheusStore> read_prometheus(const ConfigContext& context,
                                               const YAML::Node& node) {
  auto& yaml = context.yaml;
  PrometheusStore store;
  if (!node.IsMap()) {
    read_url(context, node, store);
    return store;
  }
  const YamlReader::Keys keys{
      {"url", [&](const YAML::Node& v) { read_url(context, v, store); }},
      {"bearer_token",
       [&](const YAML::Node& v) {
         store.client.bearer_token =
             read_secret(context, v, "bearer_token", Literal::refused).value_or("");
       }},
      {"basic_auth", [&](const YAML::Node& v) { read_basic_auth(context, v, store); }},
      {"headers", [&](const YAML::Node& v) { read_headers(context, v, store); }},
      {"tls", [&](const YAML::Node& v) { read_tls(context, v, store); }},
      {"timeout",
       [&](const YAML::Node& v) {
         store.client.timeout_ms =
             yaml.duration(v, "timeout", 100, 120'000).value_or(store.client.timeout_ms);
       }},
      {"retries",
       [&](const YAML::Node& v) {
         store.client.retries =
             static_cast<int>(yaml.number(v, "retries", 0, 10).value_or(store.client.retries));
       }},
      {"names", [&](const YAML::Node& v) { read_names(context, v, store.names); }},
  };
  if (!yaml.map(node, "prometheus", keys)) return std::nullopt;
  if (store.client.url.empty())
    yaml.error(node, "stores.prometheus has no url", "add url: http://HOST:9090");
  if (!store.client.bearer_token.empty() && !store.client.user.empty()) {
    yaml.error(node, "stores.prometheus has a bearer_token and a basic_auth",
               "a server asks for one of them; remove the other");
  }
  return store;
}

} // namespace

void read_stores(const ConfigContext& context, const YAML::Node& node, ServerConfig& server) {
  auto& yaml = context.yaml;
  const auto to_come = [&yaml](std::string_view name) {
    return [&yaml, name](const YAML::Node& v) {
      yaml.error(v, fmt::format("stores.{} is not available yet", name), "available: prometheus");
    };
  };
  yaml.map(node, "stores",
           {{"prometheus",
             [&](const YAML::Node& v) { server.prometheus = read_prometheus(context, v); }},
            {"tempo", to_come("tempo")},
            {"jaeger", to_come("jaeger")},
            {"clickhouse", to_come("clickhouse")}});
}

} // namespace coalmine::config
