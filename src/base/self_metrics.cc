// SPDX-License-Identifier: Apache-2.0
#include "base/self_metrics.h"

#include <fmt/format.h>

#include "base/text.h"

namespace coalmine {
namespace {

void append_sample(std::string& out, std::string_view name, const MetricLabels& labels,
                   double value) {
  out += name;
  char separator = '{';
  for (const auto& [key, text] : labels) {
    out += separator;
    out += key;
    out += "=\"";
    out += escaped(text, {{'\\', "\\\\"}, {'\n', "\\n"}, {'"', "\\\""}});
    out += '"';
    separator = ',';
  }
  if (!labels.empty()) out += '}';
  out += fmt::format(" {}\n", value);
}

} // namespace

Counter& SelfMetrics::counter(std::string_view name, std::string_view help,
                              const MetricLabels& labels) {
  return families_.with([&](auto& families) -> std::reference_wrapper<Counter> {
    auto& family = families[std::string(name)];
    if (family.type.empty()) {
      family.type = "counter";
      family.help = help;
    }
    auto& slot = family.counters[labels];
    if (!slot) slot = std::make_unique<Counter>();
    return *slot;
  });
}

void SelfMetrics::gauge(std::string_view name, std::string_view help, const MetricLabels& labels,
                        std::function<double()> read) {
  families_.with([&](auto& families) {
    auto& family = families[std::string(name)];
    family.type = "gauge";
    family.help = help;
    family.gauges.emplace_back(labels, std::move(read));
  });
}

void SelfMetrics::family(std::string_view name, std::string_view help, std::string_view type,
                         std::function<std::vector<std::pair<MetricLabels, double>>()> read) {
  families_.with([&](auto& families) {
    auto& family = families[std::string(name)];
    family.type = type;
    family.help = help;
    family.computed = std::move(read);
  });
}

std::string SelfMetrics::render() const {
  return families_.with([](const auto& families) {
    std::string out;
    for (const auto& [name, family] : families) {
      out += fmt::format("# HELP {} ", name);
      out += escaped(family.help, {{'\\', "\\\\"}, {'\n', "\\n"}});
      out += fmt::format("\n# TYPE {} {}\n", name, family.type);
      for (const auto& [labels, counter] : family.counters)
        append_sample(out, name, labels, counter->value());
      for (const auto& [labels, read] : family.gauges) append_sample(out, name, labels, read());
      if (family.computed) {
        for (const auto& [labels, value] : family.computed())
          append_sample(out, name, labels, value);
      }
    }
    return out;
  });
}

} // namespace coalmine
