// SPDX-License-Identifier: Apache-2.0
#include "telemetry/resource.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/base64.h"

namespace coalmine {
namespace {

// In the form of labels, which remote write sends and to which attributes are brought.
constexpr std::array kPrefixes = {std::string_view("service_"), std::string_view("deployment_"),
                                  std::string_view("k8s_"), std::string_view("cloud_"),
                                  std::string_view("container_name")};
constexpr std::array kNames = {std::string_view("host_name"), std::string_view("track"),
                               std::string_view("role")};
// Who the resource is: job and instance say it.
constexpr std::array kIdentifying = {std::string_view("service.name"),
                                     std::string_view("service.namespace"),
                                     std::string_view("service.instance.id")};

// Labels with a leading "__" are the system's own.
std::string resource_label(std::string_view attribute) {
  auto out = label_name(attribute);
  if (out.starts_with("__")) out.insert(0, "key_");
  return out;
}

std::string derive_instance(const Attributes& attributes, std::string_view sender) {
  if (auto id = attribute_text(attributes, "service.instance.id"); !id.empty()) return id;
  if (auto pod = attribute_text(attributes, "k8s.pod.name"); !pod.empty() && pod != "unknown") {
    const auto space = attribute_text(attributes, "k8s.namespace.name");
    return space.empty() ? pod : space + "/" + pod;
  }
  if (auto host = attribute_text(attributes, "host.name"); !host.empty()) {
    const auto pid = attribute_text(attributes, "process.pid");
    return pid.empty() ? host : host + ":" + pid;
  }
  if (auto pid = attribute_text(attributes, "process.pid"); !pid.empty())
    return fmt::format("{}#{}", sender, pid);
  return std::string(sender);
}

} // namespace

std::string to_text(const AttributeValue& value) {
  struct Visitor {
    std::string operator()(std::monostate) const { return ""; }
    std::string operator()(const std::string& v) const { return v; }
    std::string operator()(bool v) const { return v ? "true" : "false"; }
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(double v) const { return fmt::format("{}", v); }
    std::string operator()(const Bytes& v) const { return base64(v.raw); }
    std::string operator()(const JsonText& v) const { return v.text; }
  };
  return std::visit(Visitor{}, value);
}

const AttributeValue* find_attribute(const Attributes& attributes, std::string_view name) {
  const auto it = std::ranges::find(attributes, name, &Attribute::first);
  return it == attributes.end() ? nullptr : &it->second;
}

std::string attribute_text(const Attributes& attributes, std::string_view name) {
  const auto* value = find_attribute(attributes, name);
  return value == nullptr ? std::string() : to_text(*value);
}

std::string label_name(std::string_view attribute_name) {
  std::string out;
  if (!attribute_name.empty() && attribute_name[0] >= '0' && attribute_name[0] <= '9') out = "key_";
  for (const char c : attribute_name) {
    const bool keep =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
    out += keep ? c : '_';
  }
  return out;
}

PromotedAttributes::PromotedAttributes(const std::vector<std::string>& also) {
  for (const auto& name : also) also_.insert(label_name(name));
}

bool PromotedAttributes::contains(std::string_view name) const {
  const auto label = label_name(name);
  return std::ranges::any_of(kPrefixes, [&](auto prefix) { return label.starts_with(prefix); }) ||
         std::ranges::find(kNames, label) != kNames.end() || also_.contains(label);
}

std::shared_ptr<const Resource> make_resource(Attributes attributes, std::string_view sender,
                                              const PromotedAttributes& promoted) {
  auto out = std::make_shared<Resource>();
  out->service = attribute_text(attributes, "service.name");
  if (out->service.empty()) out->service = "unknown_service";
  out->version = attribute_text(attributes, "service.version");
  out->track = attribute_text(attributes, "deployment.track");
  out->environment = attribute_text(attributes, "deployment.environment.name");
  if (out->environment.empty())
    out->environment = attribute_text(attributes, "deployment.environment");
  out->instance = derive_instance(attributes, sender);

  std::vector<Labels::Pair> labels;
  std::vector<Labels::Pair> others;
  bool tells = false; // more than who it is
  for (const auto& [name, value] : attributes) {
    auto& to = promoted.contains(name) ? labels : others;
    to.emplace_back(resource_label(name), to_text(value));
    tells |= std::ranges::find(kIdentifying, name) == kIdentifying.end();
  }
  const auto space = attribute_text(attributes, "service.namespace");
  labels.emplace_back("service_name", out->service);
  labels.emplace_back("job", space.empty() ? out->service : space + "/" + out->service);
  labels.emplace_back("instance", out->instance);
  if (tells) {
    // The labels come last, because of equal names the last counts.
    others.insert(others.end(), labels.begin(), labels.end());
    others.emplace_back(kMetricName, kTargetInfo);
    out->target_info = Labels(std::move(others));
  }
  out->labels = Labels(std::move(labels));
  out->attributes = std::move(attributes);
  return out;
}

} // namespace coalmine
