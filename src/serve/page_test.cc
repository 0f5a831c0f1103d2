// SPDX-License-Identifier: Apache-2.0
#include "serve/page.h"

#include "serve/paths.h"
#include "serve/world_for_test.h"

namespace coalmine::serve {
namespace {

using test::request;

const std::string kScript = std::string("\n").insert(0, 5000, 'x');
const std::array<Asset, 3> kFiles = {{
    {"/index.html", "<!doctype html><title>page</title>", "\"aa\""},
    {"/assets/index-abc.js", kScript, "\"bb\""},
    {"/favicon.svg", "<svg/>", "\"cc\""},
}};

TEST(PageTest, FilesComeWithTypeTagAndCaching) {
  const Page page(kFiles);
  const auto root = page.answer(request("GET", "/"));
  EXPECT_EQ(root.status, 200);
  EXPECT_EQ(root.body, kFiles[0].content);
  EXPECT_EQ(net::header(root.headers, "Content-Type"), "text/html; charset=utf-8");
  EXPECT_EQ(net::header(root.headers, "Cache-Control"), "no-cache");
  EXPECT_EQ(net::header(root.headers, "ETag"), "\"aa\"");
  const auto script = page.answer(request("GET", "/assets/index-abc.js"));
  EXPECT_EQ(script.body, kScript);
  EXPECT_EQ(net::header(script.headers, "Content-Type"), "text/javascript; charset=utf-8");
  EXPECT_EQ(net::header(script.headers, "Cache-Control"), "public, max-age=31536000, immutable");
  EXPECT_EQ(net::header(page.answer(request("GET", "/favicon.svg")).headers, "Content-Type"),
            "image/svg+xml");
}

TEST(PageTest, EveryAddressOfAViewIsThePage) {
  const Page page(kFiles);
  for (const auto* path : {"/dashboards", "/r/checkout/42", "/r/checkout-2.4.0", "/index.html"}) {
    EXPECT_EQ(page.answer(request("GET", path)).body, kFiles[0].content) << path;
  }
  const auto old = page.answer(request("GET", "/assets/index-old.js"));
  EXPECT_EQ(old.status, 404);
}

TEST(PageTest, UnchangedFilesAreNotSentAgain) {
  const Page page(kFiles);
  for (const auto* tags : {"\"aa\"", "W/\"aa\"", "\"zz\", \"aa\"", "*"}) {
    const auto answer = page.answer(request("GET", "/", "", {{"If-None-Match", tags}}));
    EXPECT_EQ(answer.status, 304) << tags;
    EXPECT_EQ(answer.body, "") << tags;
  }
  EXPECT_EQ(page.answer(request("GET", "/", "", {{"If-None-Match", "\"zz\""}})).status, 200);
}

TEST(PageTest, CompressedFormsHaveTagsOfTheirOwn) {
  const Page page(kFiles);
  const net::Headers gzip = {{"Accept-Encoding", "gzip, br"}};
  const auto zipped = page.answer(request("GET", "/assets/index-abc.js", "", gzip));
  EXPECT_EQ(net::header(zipped.headers, "Content-Encoding"), "gzip");
  EXPECT_EQ(net::header(zipped.headers, "ETag"), "\"bb-gzip\"");
  EXPECT_EQ(net::header(zipped.headers, "Vary"), "Accept-Encoding");
  EXPECT_LT(zipped.body.size(), kScript.size());
  EXPECT_EQ(net::header(page.answer(request("GET", "/", "", gzip)).headers, "Content-Encoding"),
            ""); // too small to gain
}

TEST(PageTest, WithoutABuiltPageASentenceSaysSo) {
  const Page page({});
  EXPECT_EQ(page.answer(request("GET", "/")).status, 200);
  EXPECT_NE(page.answer(request("GET", "/")).body.find("was not built"), std::string::npos);
  EXPECT_EQ(page.answer(request("GET", "/r/1")).status, 404);
}

TEST(PageTest, WhatIsEmbeddedIsWhole) {
  for (const auto& file : assets()) {
    EXPECT_FALSE(file.content.empty()) << file.path;
    EXPECT_EQ(file.etag.size(), 66u) << file.path; // a SHA-256 in quotes
    if (file.path.ends_with(".html")) {
      EXPECT_TRUE(file.content.starts_with("<!")) << file.content.substr(0, 20);
    }
  }
}

TEST(PathsTest, SegmentsMethodsAndWhatIsThere) {
  const auto nothing = [](const net::HttpRequest&, const Segments&) { return net::HttpResponse(); };
  const Paths paths({{"GET", "/a", Lane::quick, nothing},
                     {"POST", "/a", Lane::command, nothing},
                     {"GET", "/a/*/c/*", Lane::query, nothing}});
  EXPECT_EQ(paths.find("GET", "/a").route->lane, Lane::quick);
  EXPECT_EQ(paths.find("HEAD", "/a").route->lane, Lane::quick);
  EXPECT_EQ(paths.find("POST", "/a").route->lane, Lane::command);
  EXPECT_EQ(paths.find("GET", "/a/b/c/d").segments, (Segments{"b", "d"}));
  EXPECT_EQ(paths.find("PUT", "/a").allow, "GET, POST");
  for (const auto* bad : {"", "a", "/", "/a/", "/b", "/a/b", "/a//c/d", "/a/b/c/", "/a/b/c/d/e"}) {
    const auto found = paths.find("GET", bad);
    EXPECT_EQ(found.route, nullptr) << bad;
    EXPECT_EQ(found.allow, "") << bad;
  }
}

} // namespace
} // namespace coalmine::serve
