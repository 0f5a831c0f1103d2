// SPDX-License-Identifier: Apache-2.0
#include "datasource/prometheus.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <thread>
#include <utility>

#include "base/base64.h"
#include "datasource/prometheus_answer.h"
#include "net/secrets.h"
#include "promql/syntax/printer.h"

namespace coalmine::datasource {
namespace {

constexpr std::size_t kShownBody = 200;
constexpr std::size_t kReadBody = 4096; // so that no secret is cut in two where it is shown

std::string form_encoded(std::string_view text) {
  std::string out;
  for (const char c : text) {
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '-' || c == '_' || c == '.';
    if (plain) {
      out += c;
    } else {
      out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
    }
  }
  return out;
}

std::string seconds_text(std::int64_t ms) {
  const auto abs = ms < 0 ? -ms : ms;
  return fmt::format("{}{}.{:03}", ms < 0 ? "-" : "", abs / 1000, abs % 1000);
}

// A string of PromQL in double quotes.
std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (c == '\n') {
      out += "\\n";
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string_view operator_text(Matcher::Op op) {
  switch (op) {
    case Matcher::Op::equal: return "=";
    case Matcher::Op::not_equal: return "!=";
    case Matcher::Op::regexp: return "=~";
    case Matcher::Op::not_regexp: return "!~";
  }
  return "=";
}

bool may_pass(ErrorCode code) {
  return code == ErrorCode::unavailable || code == ErrorCode::deadline_exceeded;
}

// A limit of the server, which it tells in words: Prometheus and its kin answer 422 or 413.
bool asks_too_much(int status, std::string_view said) {
  if (status == 413) return true;
  if (status != 422) return false;
  static constexpr std::array<std::string_view, 4> kWords = {"too many samples", "limit", "exceed",
                                                             "cannot select more than"};
  return std::ranges::any_of(
      kWords, [&](std::string_view word) { return said.find(word) != std::string_view::npos; });
}

using Form = std::vector<std::pair<std::string_view, std::string>>;

// Immutable after construction; any thread.
class HttpPrometheus final : public Prometheus {
 public:
  HttpPrometheus(PrometheusOptions options, net::HttpClient& http)
      : options_(std::move(options)), shown_(net::shown_url(options_.url)), http_(http) {
    secrets_.add_url(options_.url);
    secrets_.add_headers(options_.headers);
    secrets_.add(options_.bearer_token);
    secrets_.add(options_.password);
    secrets_.add(basic_credentials());
  }

  const std::string& shown_url() const override { return shown_; }

  Result<std::vector<promql::Series>> select(const promql::Selection& selection) const override {
    // A range is open on the left since Prometheus 3 and closed before. Samples that are too early
    // are cut off here.
    const auto range_ms = std::max<std::int64_t>(1, selection.to_ms - selection.from_ms + 1);
    TRY_ASSIGN(const auto body,
               ask("/api/v1/query",
                   {{"query", fmt::format("{}[{}ms]", selector_text(selection.matchers), range_ms)},
                    {"time", seconds_text(selection.to_ms)}}));
    TRY_ASSIGN(auto out, named(parse_matrix(body)));
    std::size_t samples = 0;
    for (auto& series : out) {
      const auto outside = [&](const auto& s) {
        return s.time_ms < selection.from_ms || s.time_ms > selection.to_ms;
      };
      std::erase_if(series.floats, outside);
      std::erase_if(series.histograms, outside);
      samples += series.floats.size() + series.histograms.size();
    }
    std::erase_if(out, [](const promql::Series& series) {
      return series.floats.empty() && series.histograms.empty();
    });
    if (samples > selection.max_samples) {
      return fail(
          ErrorCode::resource_exhausted,
          fmt::format(
              "{} gave {} samples where {} were allowed: narrow the selector or the time range",
              shown_, samples, selection.max_samples));
    }
    return out;
  }

  Result<std::vector<Labels>> series(const promql::Selection& selection) const override {
    TRY_ASSIGN(const auto body, ask("/api/v1/series", range_form(selection)));
    return named(parse_label_sets(body));
  }

  Result<std::vector<std::string>> label_names(const promql::Selection& selection) const override {
    TRY_ASSIGN(const auto body, ask("/api/v1/labels", range_form(selection)));
    return named(parse_strings(body));
  }

  Result<std::vector<std::string>> label_values(std::string_view label,
                                                const promql::Selection& selection) const override {
    std::string query;
    for (const auto& [name, value] : range_form(selection)) {
      query += fmt::format("{}{}={}", query.empty() ? "?" : "&", form_encoded(name),
                           form_encoded(value));
    }
    TRY_ASSIGN(const auto body,
               ask(fmt::format("/api/v1/label/{}/values{}", form_encoded(label), query), {}));
    return named(parse_strings(body));
  }

  Result<std::vector<promql::ExpressionValue>> evaluate(const std::string& promql,
                                                        std::int64_t time_ms) const override {
    TRY_ASSIGN(const auto body,
               ask("/api/v1/query", {{"query", promql}, {"time", seconds_text(time_ms)}}));
    return named(parse_instant(body));
  }

  Result<std::vector<promql::Series>> evaluate_range(const std::string& promql,
                                                     std::int64_t from_ms, std::int64_t to_ms,
                                                     std::int64_t step_ms) const override {
    TRY_ASSIGN(const auto body, ask("/api/v1/query_range", {{"query", promql},
                                                            {"start", seconds_text(from_ms)},
                                                            {"end", seconds_text(to_ms)},
                                                            {"step", seconds_text(step_ms)}}));
    return named(parse_matrix(body));
  }

 private:
  static Form range_form(const promql::Selection& selection) {
    Form out = {{"start", seconds_text(selection.from_ms)}, {"end", seconds_text(selection.to_ms)}};
    if (!selection.matchers.empty()) out.emplace_back("match[]", selector_text(selection.matchers));
    return out;
  }

  // The error names the server: there may be several.
  template <typename T>
  Result<T> named(Result<T> result) const {
    if (!result)
      return fail(result.error().code,
                  fmt::format("{}: {}", shown_, secrets_.hide(result.error().message)));
    return result;
  }

  // Sends GET when form is empty, else POST.
  Result<std::string> ask(std::string_view path, const Form& form) const {
    net::ClientRequest request;
    request.url = net::with_path(options_.url, path);
    request.timeout = std::chrono::milliseconds(options_.timeout_ms);
    request.max_response = options_.max_response;
    request.tls = options_.tls;
    request.headers = options_.headers;
    request.headers.emplace_back("Accept", "application/json");
    if (!options_.bearer_token.empty())
      request.headers.emplace_back("Authorization", "Bearer " + options_.bearer_token);
    if (!options_.user.empty()) {
      request.headers.emplace_back("Authorization", "Basic " + basic_credentials());
    }
    if (!form.empty()) {
      request.method = "POST";
      request.headers.emplace_back("Content-Type", "application/x-www-form-urlencoded");
      for (const auto& [name, value] : form) {
        if (!request.body.empty()) request.body += '&';
        request.body += fmt::format("{}={}", form_encoded(name), form_encoded(value));
      }
    }
    auto wait = options_.retry_wait_ms;
    for (int left = options_.retries;; --left) {
      auto answer = ask_once(request);
      if (answer || left <= 0 || !may_pass(answer.error().code)) return answer;
      std::this_thread::sleep_for(std::chrono::milliseconds(wait));
      wait *= 2;
    }
  }

  Result<std::string> ask_once(const net::ClientRequest& request) const {
    TRY_ASSIGN(auto response, net::fetch_discreetly(http_, request));
    if (response.status / 100 == 2) return std::move(response.body);
    auto said = error_text(response.body);
    // A server may repeat what it was asked.
    said = said.empty() ? secrets_.hide(response.body.substr(0, kReadBody)).substr(0, kShownBody)
                        : secrets_.hide(std::move(said));
    if (asks_too_much(response.status, said)) {
      return fail(ErrorCode::resource_exhausted,
                  fmt::format("{} was asked for too much: {}", shown_, said));
    }
    if (response.status == 401 || response.status == 403) {
      return fail(
          ErrorCode::permission_denied,
          fmt::format(
              "{} refuses the credentials ({}): check bearer_token or basic_auth of the store",
              shown_, response.status));
    }
    if (response.status == 400 || response.status == 422)
      return fail(ErrorCode::invalid_argument,
                  fmt::format("{} refuses the query ({}): {}", shown_, response.status, said));
    if (response.status == 404 || response.status == 405) {
      return fail(
          ErrorCode::failed_precondition,
          fmt::format(
              "{} has no Prometheus API ({} for {}): give the URL that /api/v1/query follows",
              shown_, response.status, net::shown_url(request.url)));
    }
    return fail(ErrorCode::unavailable,
                fmt::format("{} answered {}: {}", shown_, response.status, said));
  }

  std::string basic_credentials() const {
    return options_.user.empty() ? "" : base64(options_.user + ":" + options_.password);
  }

  const PrometheusOptions options_;
  const std::string shown_;
  net::SecretTexts secrets_; // const after construction
  net::HttpClient& http_;
};

} // namespace

std::string selector_text(const std::vector<Matcher>& matchers) {
  std::string out = "{";
  for (const auto& m : matchers) {
    if (out.size() > 1) out += ',';
    out += fmt::format("{}{}{}", promql::label_text(m.name), operator_text(m.op), quoted(m.value));
  }
  return out + "}";
}

Result<std::unique_ptr<Prometheus>> make_prometheus(PrometheusOptions options,
                                                    net::HttpClient& http) {
  if (!options.url.starts_with("http://") && !options.url.starts_with("https://")) {
    return fail(
        ErrorCode::invalid_argument,
        fmt::format("'{}' is not the URL of a Prometheus-compatible server: write http://HOST:PORT",
                    net::shown_url(options.url)));
  }
  while (options.url.ends_with('/')) options.url.pop_back();
  return std::unique_ptr<Prometheus>(std::make_unique<HttpPrometheus>(std::move(options), http));
}

} // namespace coalmine::datasource
