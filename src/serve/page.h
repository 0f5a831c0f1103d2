// The page at /: the built files, and its one HTML file for every address of its own views.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <map>
#include <span>
#include <string>
#include <string_view>

#include "net/http.h"
#include "serve/assets.h"

namespace coalmine::serve {

// Immutable after construction, when it compresses each file once; any thread. The files must
// outlive it.
class Page {
 public:
  explicit Page(std::span<const Asset> files);
  net::HttpResponse answer(const net::HttpRequest& request) const;

 private:
  struct File {
    const Asset* asset = nullptr;
    std::string gzip; // "": not worth it
  };
  const File* find(std::string_view path) const;

  std::map<std::string, File, std::less<>> files_;
};

} // namespace coalmine::serve
