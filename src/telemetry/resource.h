// Attributes and resources as defined by OpenTelemetry, and the identity that coalmine derives from
// a resource.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "telemetry/labels.h"

namespace coalmine {

// OTLP AnyValue. Arrays and key-value lists are kept as JSON text, because no decision depends on
// their content.
struct JsonText {
  std::string text;
  bool operator==(const JsonText&) const = default;
};
struct Bytes {
  std::string raw;
  bool operator==(const Bytes&) const = default;
};
using AttributeValue =
    std::variant<std::monostate, std::string, bool, std::int64_t, double, Bytes, JsonText>;
using Attribute = std::pair<std::string, AttributeValue>;
using Attributes = std::vector<Attribute>;

// The text form for label values and terminals: strings unchanged, numbers shortest, bytes base64,
// empty as "".
std::string to_text(const AttributeValue& value);

// The first attribute of that name, or nullptr. The pointer is valid as long as attributes is
// unchanged.
const AttributeValue* find_attribute(const Attributes& attributes, std::string_view name);
// The same as text; "" when absent.
std::string attribute_text(const Attributes& attributes, std::string_view name);

// The sender of telemetry. Immutable once made; shared by all telemetry of the sender.
struct Resource {
  Attributes attributes;

  // Set from the attributes by make_resource():
  std::string service;     // service.name, "unknown_service" when missing (OTel's own fallback)
  std::string version;     // service.version
  std::string track;       // deployment.track
  std::string environment; // deployment.environment.name, else deployment.environment
  std::string instance;    // service.instance.id, else k8s.pod.name (namespace/name), else
                           // host.name[:process.pid], else sender
  // The promoted attributes as labels (dots to underscores), plus service_name, job and instance.
  Labels labels;
  // The series target_info of the resource: labels and all other attributes. Empty when the
  // attributes say no more than who the resource is.
  Labels target_info;
};

// The name of the series that holds the attributes of a resource which its other series lack.
inline constexpr std::string_view kTargetInfo = "target_info";

// Which resource attributes become labels of every series of the resource: service.*,
// deployment.*, k8s.*, cloud.*, container.name, host.name, track, role, and those named. A selector
// can only find what is a label, so every attribute that a selector names has to be here.
class PromotedAttributes {
 public:
  PromotedAttributes() = default;
  explicit PromotedAttributes(const std::vector<std::string>& also);
  // name: of the attribute, or of the label that it becomes.
  bool contains(std::string_view name) const;

 private:
  std::set<std::string, std::less<>> also_; // as label names
};

// sender: the peer's address, used as the instance when the resource names none.
std::shared_ptr<const Resource> make_resource(Attributes attributes, std::string_view sender,
                                              const PromotedAttributes& promoted = {});

// OTLP name to Prometheus label name (UTF-8 names are not used for labels): every character outside
// [a-zA-Z0-9_] becomes '_', a leading digit gets "key_" in front (OpenTelemetry "Prometheus and
// OpenMetrics compatibility").
std::string label_name(std::string_view attribute_name);

} // namespace coalmine
