// SPDX-License-Identifier: Apache-2.0
#include "datasource/recording.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <optional>
#include <sstream>
#include <vector>

namespace coalmine::datasource {
namespace {

constexpr double kMillisecondsFrom = 1e11;
constexpr double kLatest = 9e15; // milliseconds

// One line, read from the left. Lives for one call.
class LineReader {
 public:
  explicit LineReader(std::string_view line) : rest_(line) {}

  std::optional<std::string_view> name() {
    std::size_t n = 0;
    while (n < rest_.size() &&
           (is_letter(rest_[n]) || (n > 0 && rest_[n] >= '0' && rest_[n] <= '9')))
      ++n;
    if (n == 0) return std::nullopt;
    return take(n);
  }

  // {a="b","c.d"="e"}; the text after the opening brace. A quoted text without a value is the
  // metric's name.
  bool labels(std::vector<Labels::Pair>& out) {
    for (;;) {
      spaces();
      if (next('}')) return true;
      const bool in_quotes = rest_.starts_with('"');
      auto label = in_quotes ? quoted() : own_text(name());
      spaces();
      if (!label || label->empty()) return false;
      if (next('=')) {
        spaces();
        auto value = quoted();
        if (!value) return false;
        out.emplace_back(std::move(*label), std::move(*value));
      } else if (in_quotes) {
        out.emplace_back(std::string(kMetricName), std::move(*label));
      } else {
        return false;
      }
      spaces();
      if (next(',')) continue;
      return next('}');
    }
  }

  std::optional<double> number() {
    spaces();
    std::size_t n = 0;
    while (n < rest_.size() && rest_[n] != ' ' && rest_[n] != '\t') ++n;
    auto text = take(n);
    if (text == "NaN") return std::numeric_limits<double>::quiet_NaN();
    if (text == "+Inf" || text == "Inf") return std::numeric_limits<double>::infinity();
    if (text == "-Inf") return -std::numeric_limits<double>::infinity();
    if (text.starts_with('+')) text.remove_prefix(1);
    double out = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
    if (error != std::errc() || end != text.data() + text.size() || text.empty())
      return std::nullopt;
    return out;
  }

  bool next(char c) {
    if (!rest_.starts_with(c)) return false;
    rest_.remove_prefix(1);
    return true;
  }
  bool at_end() {
    spaces();
    return rest_.empty() || rest_.starts_with('#'); // an exemplar
  }

 private:
  static std::optional<std::string> own_text(std::optional<std::string_view> text) {
    return text ? std::optional(std::string(*text)) : std::nullopt;
  }
  static bool is_letter(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == ':';
  }
  void spaces() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t'))
      rest_.remove_prefix(1);
  }
  std::string_view take(std::size_t n) {
    const auto out = rest_.substr(0, n);
    rest_.remove_prefix(n);
    return out;
  }
  std::optional<std::string> quoted() {
    if (!next('"')) return std::nullopt;
    std::string out;
    while (!rest_.empty()) {
      const char c = rest_.front();
      rest_.remove_prefix(1);
      if (c == '"') return out;
      if (c != '\\') {
        out += c;
        continue;
      }
      if (rest_.empty()) return std::nullopt;
      const char escaped = rest_.front();
      rest_.remove_prefix(1);
      out += escaped == 'n' ? '\n' : escaped;
    }
    return std::nullopt;
  }

  std::string_view rest_;
};

std::unexpected<Error> bad_line(std::size_t number, std::string_view what) {
  return fail(
      ErrorCode::invalid_argument,
      fmt::format("line {} of the recording: {}; a line is NAME{{LABEL=\"VALUE\",…}} VALUE SECONDS",
                  number, what));
}

} // namespace

Result<std::unique_ptr<Recording>> parse_recording(std::string_view text) {
  auto out = std::make_unique<Recording>();
  std::map<Labels, std::int64_t> newest;
  for (std::size_t number = 1; !text.empty(); ++number) {
    const auto end = text.find('\n');
    auto line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty() || line.front() == '#') continue;
    LineReader reader(line);
    const auto name = reader.name();
    std::vector<Labels::Pair> pairs;
    if (reader.next('{') && !reader.labels(pairs))
      return bad_line(number, "the labels cannot be read");
    if (name) pairs.emplace_back(std::string(kMetricName), std::string(*name));
    const auto is_name = [](const Labels::Pair& pair) { return pair.first == kMetricName; };
    if (std::ranges::count_if(pairs, is_name) != 1)
      return bad_line(number, name || pairs.empty() ? "no metric name" : "not one metric name");
    const auto value = reader.number();
    if (!value) return bad_line(number, "no value");
    const auto time = reader.number();
    if (!time) return bad_line(number, "no timestamp");
    if (!reader.at_end()) return bad_line(number, "something follows the timestamp");
    const double ms = std::abs(*time) >= kMillisecondsFrom ? *time : *time * 1000;
    if (!(std::abs(ms) < kLatest)) return bad_line(number, "the timestamp is out of range");
    const auto time_ms = std::llround(ms);
    const Labels labels(std::move(pairs));
    const auto [it, added] = newest.try_emplace(labels, time_ms);
    if (!added && time_ms <= it->second)
      return bad_line(number, "the series has a sample that is as new or newer in a line above");
    it->second = time_ms;
    if (++out->samples > kMaxRecordingSamples) {
      return fail(ErrorCode::resource_exhausted,
                  fmt::format("the recording has more than {} samples", kMaxRecordingSamples));
    }
    out->data.append(labels, promql::Sample{time_ms, *value, 0});
    out->first_ms = out->samples == 1 ? time_ms : std::min<std::int64_t>(out->first_ms, time_ms);
    out->last_ms = std::max<std::int64_t>(out->last_ms, time_ms);
  }
  return out;
}

Result<std::unique_ptr<Recording>> read_recording(const std::string& path) {
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file)
    return fail(ErrorCode::not_found, fmt::format("the recording {} cannot be read", path));
  if (static_cast<std::size_t>(file.tellg()) > kMaxRecordingBytes) {
    return fail(ErrorCode::resource_exhausted,
                fmt::format("the recording {} is larger than {} bytes", path, kMaxRecordingBytes));
  }
  file.seekg(0);
  std::ostringstream text;
  text << file.rdbuf();
  auto out = parse_recording(text.view());
  if (!out) return fail(out.error().code, fmt::format("{}: {}", path, out.error().message));
  return out;
}

} // namespace coalmine::datasource
