// HttpClient over libcurl's easy interface.
// SPDX-License-Identifier: Apache-2.0
#include <curl/curl.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <string_view>
#include <vector>

#include <fmt/format.h>

#include "base/guarded.h"
#include "base/text.h"
#include "net/http_client.h"
#include "net/percent.h"
#include "net/secrets.h"

namespace coalmine::net {
namespace {

constexpr std::size_t kIdleHandles = 8;
constexpr std::size_t kErrorBody = 4096; // of a refused stream, for the message
constexpr std::size_t kMaxHeaders = 256u << 10;
constexpr std::string_view kWithoutProxy = "localhost,127.0.0.1,::1";

using Handle = std::unique_ptr<CURL, decltype([](CURL* curl) { curl_easy_cleanup(curl); })>;
using HeaderList =
    std::unique_ptr<curl_slist, decltype([](curl_slist* list) { curl_slist_free_all(list); })>;

// One call under way, filled in by libcurl's callbacks. Lives on the caller's stack.
struct Call {
  HttpResponse response;
  std::size_t max_response = 0;
  std::size_t header_bytes = 0;
  bool too_large = false;
  const std::function<bool(std::string_view)>* on_chunk = nullptr; // streams only
  bool ended_by_caller = false;
  CURL* curl = nullptr;
  // Steady nanoseconds: when the client's calls end; the largest number: not yet.
  const std::atomic<std::int64_t>* stop_at = nullptr;
};

std::int64_t steady_ns() {
  return std::chrono::steady_clock::now().time_since_epoch() / std::chrono::nanoseconds(1);
}

int on_progress(void* user, curl_off_t, curl_off_t, curl_off_t, curl_off_t) {
  return steady_ns() >= *static_cast<Call*>(user)->stop_at ? 1 : 0;
}

std::size_t on_header(char* bytes, std::size_t, std::size_t size, void* user) {
  auto& call = *static_cast<Call*>(user);
  const std::string_view line(bytes, size);
  if (line.starts_with("HTTP/")) {
    call.response.headers.clear(); // a 100 Continue came before
  } else if (const auto colon = line.find(':'); colon != std::string_view::npos) {
    call.header_bytes += size;
    if (call.header_bytes > kMaxHeaders) {
      call.too_large = true;
      return 0;
    }
    call.response.headers.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  }
  return size;
}

int status_of(CURL* curl) {
  long status = 0;
  curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
  return static_cast<int>(status);
}

std::size_t on_body(char* bytes, std::size_t, std::size_t size, void* user) {
  auto& call = *static_cast<Call*>(user);
  if (call.on_chunk != nullptr && status_of(call.curl) / 100 == 2) {
    if ((*call.on_chunk)({bytes, size})) return size;
    call.ended_by_caller = true;
    return 0;
  }
  if (size > call.max_response - std::min(call.max_response, call.response.body.size())) {
    call.too_large = true;
    return 0;
  }
  call.response.body.append(bytes, size);
  return size;
}

// libcurl invents Content-Type and Expect for bodies; they are left out unless the caller gave
// them.
Result<HeaderList> header_list(const ClientRequest& request) {
  HeaderList list;
  const auto add = [&list](const std::string& line) {
    list = HeaderList(curl_slist_append(list.release(), line.c_str()));
  };
  for (const auto& [name, value] : request.headers) {
    if (name.empty() || !one_line(name) || !one_line(value)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("the header '{}' of a request to {} has a line break or no name",
                              one_line(name) ? name : "", shown_url(request.url)));
    }
    add(value.empty() ? name + ";" : name + ": " + value);
  }
  if (header(request.headers, "Expect").empty()) add("Expect:");
  if (header(request.headers, "Content-Type").empty()) add("Content-Type:");
  return list;
}

// Requests to loopback never go through a proxy, whatever the environment says.
std::string no_proxy_list() {
  const char* given = std::getenv("no_proxy");
  if (given == nullptr) given = std::getenv("NO_PROXY");
  return given == nullptr || *given == '\0' ? std::string(kWithoutProxy)
                                            : fmt::format("{},{}", given, kWithoutProxy);
}

void set_method(CURL* curl, const ClientRequest& request) {
  if (request.method == "HEAD") {
    curl_easy_setopt(curl, CURLOPT_NOBODY, 1L);
    return;
  }
  if (!request.body.empty() || request.method == "POST" || request.method == "PUT" ||
      request.method == "PATCH") {
    curl_easy_setopt(curl, CURLOPT_POST, 1L);
    curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE,
                     static_cast<curl_off_t>(request.body.size()));
    curl_easy_setopt(curl, CURLOPT_POSTFIELDS, request.body.data());
  }
  if (request.method != "GET" || !request.body.empty())
    curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, request.method.c_str());
}

void set_tls(CURL* curl, const ClientTls& tls) {
  if (!tls.ca_file.empty()) curl_easy_setopt(curl, CURLOPT_CAINFO, tls.ca_file.c_str());
  if (!tls.certificate_file.empty())
    curl_easy_setopt(curl, CURLOPT_SSLCERT, tls.certificate_file.c_str());
  if (!tls.key_file.empty()) curl_easy_setopt(curl, CURLOPT_SSLKEY, tls.key_file.c_str());
  if (tls.verify) return;
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L);
  curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L);
}

void set_up(CURL* curl, const ClientRequest& request, const curl_slist* headers, Call& call) {
  const auto timeout = std::max<long>(1, static_cast<long>(request.timeout.count()));
  curl_easy_setopt(curl, CURLOPT_URL, request.url.c_str());
  curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
  curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
  curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
  curl_easy_setopt(curl, CURLOPT_NOPROXY, no_proxy_list().c_str());
  curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, timeout);
  if (call.on_chunk == nullptr) curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout);
  curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
  curl_easy_setopt(curl, CURLOPT_USERAGENT, "coalmine");
  curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
  curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, &on_header);
  curl_easy_setopt(curl, CURLOPT_HEADERDATA, &call);
  curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, &on_body);
  curl_easy_setopt(curl, CURLOPT_WRITEDATA, &call);
  curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(curl, CURLOPT_XFERINFODATA, &call);
  curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
  // A call that ends does not wait for a name server that hangs.
  curl_easy_setopt(curl, CURLOPT_QUICK_EXIT, 1L);
  if (request.tls) set_tls(curl, *request.tls);
  set_method(curl, request);
}

std::unexpected<Error> transport_error(CURLcode code, const ClientRequest& request,
                                       const char* detail) {
  const auto url = shown_url(request.url);
  SecretTexts secrets; // libcurl quotes what it cannot use
  secrets.add_url(request.url);
  const auto why = secrets.hide(*detail != '\0' ? detail : curl_easy_strerror(code));
  switch (code) {
    case CURLE_OPERATION_TIMEDOUT:
      return fail(ErrorCode::deadline_exceeded, fmt::format("no answer from {} within {} ms ({})",
                                                            url, request.timeout.count(), why));
    case CURLE_ABORTED_BY_CALLBACK: // not a failure that may pass: nobody shall try again
      return fail(ErrorCode::failed_precondition,
                  fmt::format("the call of {} was given up: this process is stopping", url));
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
      return fail(
          ErrorCode::invalid_argument,
          fmt::format("'{}' is not a URL that can be asked ({}): write http://HOST:PORT/PATH", url,
                      why));
    default: return fail(ErrorCode::unavailable, fmt::format("cannot reach {}: {}", url, why));
  }
}

ErrorCode code_of_status(int status) {
  switch (status) {
    case 401: return ErrorCode::unauthenticated;
    case 403: return ErrorCode::permission_denied;
    case 404: return ErrorCode::not_found;
    case 408:
    case 429: return ErrorCode::unavailable;
    case 501: return ErrorCode::unimplemented;
    default:
      return status >= 500   ? ErrorCode::unavailable
             : status >= 400 ? ErrorCode::invalid_argument
                             : ErrorCode::failed_precondition;
  }
}

// Keeps a few idle easy handles, and with them their open connections. Any thread: a handle serves
// one call at a time.
class CurlClient final : public HttpClient {
 public:
  CurlClient() {
    static std::once_flag once; // libcurl's own global state
    std::call_once(once, [] { curl_global_init(CURL_GLOBAL_DEFAULT); });
  }

  Result<HttpResponse> fetch(const ClientRequest& request) override {
    Call call;
    call.max_response = request.max_response;
    TRY(perform(request, call));
    return std::move(call.response);
  }

  Status stream(const ClientRequest& request,
                const std::function<bool(std::string_view)>& on_chunk) override {
    Call call;
    call.max_response = kErrorBody;
    call.on_chunk = &on_chunk;
    const auto done = perform(request, call);
    if (call.ended_by_caller) return {};
    if (const int status = call.response.status; status / 100 != 2 && (done || call.too_large)) {
      SecretTexts secrets; // a server may say what it was asked
      secrets.add_url(request.url);
      secrets.add_headers(request.headers);
      const auto said = secrets.hide(std::string(trimmed(call.response.body)));
      return fail(code_of_status(status),
                  fmt::format("{} answered {} {}{}{}", shown_url(request.url), status,
                              reason_phrase(status), said.empty() ? "" : ": ", said));
    }
    return done;
  }

  void stop(std::chrono::milliseconds grace) override {
    stop_at_ = steady_ns() + grace / std::chrono::nanoseconds(1);
  }

 private:
  Status perform(const ClientRequest& request, Call& call) {
    if (!one_line(request.method) || request.method.empty() || !one_line(request.url)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("the method or the URL of a request to '{}' is not valid",
                              shown_url(request.url)));
    }
    if (steady_ns() >= stop_at_) return transport_error(CURLE_ABORTED_BY_CALLBACK, request, "");
    TRY_ASSIGN(const HeaderList headers, header_list(request));
    Handle curl = take();
    if (!curl) return fail(ErrorCode::internal, "libcurl cannot make a handle: out of memory");
    char detail[CURL_ERROR_SIZE] = "";
    call.curl = curl.get();
    call.stop_at = &stop_at_;
    set_up(curl.get(), request, headers.get(), call);
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, detail);
    const auto code = curl_easy_perform(curl.get());
    call.response.status = status_of(curl.get());
    curl_easy_setopt(curl.get(), CURLOPT_ERRORBUFFER, nullptr);
    curl_easy_reset(curl.get()); // resets the options, keeps the connections
    give_back(std::move(curl));
    if (code == CURLE_OK || call.ended_by_caller) return {};
    if (call.too_large) {
      return fail(ErrorCode::resource_exhausted,
                  fmt::format("the answer of {} is larger than the {} bytes that are accepted",
                              shown_url(request.url), call.max_response));
    }
    return transport_error(code, request, detail);
  }

  Handle take() {
    Handle handle = idle_.with([](auto& idle) {
      if (idle.empty()) return Handle{};
      Handle last = std::move(idle.back());
      idle.pop_back();
      return last;
    });
    return handle ? std::move(handle) : Handle(curl_easy_init());
  }

  void give_back(Handle handle) {
    idle_.with([&](auto& idle) {
      if (idle.size() < kIdleHandles) idle.push_back(std::move(handle));
    });
  }

  std::atomic<std::int64_t> stop_at_ = INT64_MAX;
  Guarded<std::vector<Handle>> idle_;
};

} // namespace

std::unique_ptr<HttpClient> make_http_client() { return std::make_unique<CurlClient>(); }

} // namespace coalmine::net
