// SPDX-License-Identifier: Apache-2.0
#include "serve/page.h"

#include <fmt/format.h>

#include "serve/answer.h"

namespace coalmine::serve {
namespace {

// The build puts a hash of the content into these names.
constexpr std::string_view kHashedFiles = "/assets/";
constexpr std::size_t kAssetWorthCompressing = 512;
constexpr int kSmallest = 9;

// Whether If-None-Match names the tag; a list, weak tags and "*" included.
bool names_tag(std::string_view header, std::string_view tag) {
  return header == "*" || header.find(tag) != std::string_view::npos;
}

} // namespace

Page::Page(std::span<const Asset> files) {
  for (const auto& asset : files) {
    File file{.asset = &asset, .gzip = {}};
    if (asset.content.size() >= kAssetWorthCompressing) file.gzip = gzip(asset.content, kSmallest);
    if (file.gzip.size() >= asset.content.size()) file.gzip.clear();
    files_.emplace(asset.path, std::move(file));
  }
}

const Page::File* Page::find(std::string_view path) const {
  const auto it = files_.find(path);
  return it == files_.end() ? nullptr : &it->second;
}

net::HttpResponse Page::answer(const net::HttpRequest& request) const {
  if (files_.empty()) {
    return text_answer(request.path == "/" ? 200 : 404,
                       "coalmine is running, but the page was not built into this binary. The API "
                       "is at /v1/status.\n");
  }
  const auto* file = find(request.path);
  // An old page that asks for a file of an older build must not get HTML for a script.
  const bool view = !request.path.starts_with(kHashedFiles);
  if (file == nullptr && view) file = find("/index.html");
  if (file == nullptr) return text_answer(404, fmt::format("there is no {}\n", request.path));

  const auto& asset = *file->asset;
  const bool compressed = !file->gzip.empty() && accepts_gzip(request);
  // A cache must keep two encodings of one file apart.
  std::string tag(asset.etag);
  if (compressed && tag.ends_with('"')) tag.insert(tag.size() - 1, "-gzip");
  net::HttpResponse answer;
  answer.headers = {{"ETag", tag},
                    {"Cache-Control", view ? "no-cache" : "public, max-age=31536000, immutable"}};
  if (!file->gzip.empty()) answer.headers.emplace_back("Vary", "Accept-Encoding");
  if (names_tag(net::header(request.headers, "If-None-Match"), tag)) {
    answer.status = 304;
    return answer;
  }
  answer.headers.emplace_back("Content-Type", content_type(asset.path));
  if (compressed) answer.headers.emplace_back("Content-Encoding", "gzip");
  answer.body = compressed ? file->gzip : std::string(asset.content);
  return answer;
}

} // namespace coalmine::serve
