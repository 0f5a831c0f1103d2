// SPDX-License-Identifier: Apache-2.0
#include "net/secrets.h"

#include <gtest/gtest.h>

#include <string>

#include "net/unkind_client_for_test.h"

namespace coalmine::net {
namespace {

TEST(Secrets, WhatIsShownOfAUrl) {
  struct Case {
    std::string_view url, shown, origin;
  };
  const Case cases[] = {
      {"http://prometheus:9090", "http://prometheus:9090", "http://prometheus:9090"},
      {"http://mimir:9009/prometheus/", "http://mimir:9009/prometheus/", "http://mimir:9009"},
      {"https://me:pw@mimir/p?token=t#f", "https://mimir/p", "https://mimir"},
      {"https://token@mimir", "https://mimir", "https://mimir"},
      {"http://a@b@[::1]:80/x", "http://[::1]:80/x", "http://[::1]:80"},
      {"prometheus:9090?token=t", "prometheus:9090", "prometheus:9090"},
      {"me:pw@prometheus:9090", "prometheus:9090", "prometheus:9090"},
      {"https://hooks.slack.com/services/T0/B0/xyz", "https://hooks.slack.com",
       "https://hooks.slack.com"},
      {"https://chat.example/hooks/xyz", "https://chat.example", "https://chat.example"},
      {"https://discord.com/api/webhooks/1/xyz", "https://discord.com", "https://discord.com"},
      // Where the credentials end cannot be told.
      {"http://me:p/w@host/", "http://...", "http://..."},
      {"http://me:p?w@host/", "http://...", "http://..."},
      {"http://me:p#w@host/", "http://...", "http://..."},
      {"http://me:pw/", "http://...", "http://..."},
      {"http://a\r\nb/", "http://a??b/", "http://a??b"},
      {"", "", ""},
      {"://", "://", "://"},
  };
  for (const auto& c : cases) {
    EXPECT_EQ(shown_url(c.url), c.shown) << c.url;
    EXPECT_EQ(shown_origin(c.url), c.origin) << c.url;
  }
}

TEST(Secrets, APathComesBeforeTheQuery) {
  EXPECT_EQ(with_path("http://a:1", "/v1"), "http://a:1/v1");
  EXPECT_EQ(with_path("http://a:1/p/", "/v1"), "http://a:1/p/v1");
  EXPECT_EQ(with_path("http://a:1?token=x", "/v1"), "http://a:1/v1?token=x");
  EXPECT_EQ(with_path("http://a:1/?token=x#f", "/v1?b=c"), "http://a:1/v1?b=c&token=x");
}

TEST(Secrets, UrlsInTextAreMaskedInPlace) {
  EXPECT_EQ(mask_urls("url: http://me:pw@a/p?t=x y"), "url: http://*****@a/p?*** y");
  EXPECT_EQ(mask_urls("['https://hooks.slack.com/services/a', 'http://b/c']"),
            "['https://hooks.slack.com/**********', 'http://b/c']");
  EXPECT_EQ(mask_urls("{ url: http://b/hooks/x, c: http://d?e=f}"),
            "{ url: http://b/*******, c: http://d?***}");
  EXPECT_EQ(mask_urls("http://me:p/w@a"), "http://********");
  EXPECT_EQ(mask_urls("no url: a://"), "no url: a://");
}

// Whatever a client or a server repeats of a request, in whatever part, the secret is not in it.
TEST(Secrets, AnUnkindErrorNamesNoSecret) {
  class Unkind final : public HttpClient {
   public:
    Result<HttpResponse> fetch(const ClientRequest& request) override {
      return unkind_failure(request, "Cannot POST /hooks/Hush1234 with Hush1234 and Hu%73h/1234");
    }
    Status stream(const ClientRequest&, const std::function<bool(std::string_view)>&) override {
      return {};
    }
  } unkind;
  const ClientRequest requests[] = {
      {.url = "http://me:Hush1234@host/p"},
      {.url = "http://Hush1234@host/p"},
      {.url = "http://host/p?token=Hush1234"},
      {.url = "http://host/p?a=b&token=Hush1234&c=d"},
      {.url = "http://host/p#Hush1234"},
      {.url = "http://host/p?x=Hu%73h1234"},
      {.url = "http://host/anything/Hush1234/x"},
      {.url = "https://hooks.slack.com/services/T1/B2/Hush1234"},
      {.url = "http://me:x/Hush1234@host/"},
      {.url = "http://host/p", .headers = {{"Authorization", "Bearer Hush1234"}}},
      {.url = "http://host/p", .headers = {{"X-Api-Key", "Hush1234"}}},
  };
  for (const auto& request : requests) {
    auto asked = request;
    if (asked.headers.empty()) asked.headers = {{"X-Key", "Hush1234"}};
    asked.headers.emplace_back("X-Other", "Hu%73h/1234");
    asked.headers.emplace_back("Accept", "application/json");
    const auto answer = fetch_discreetly(unkind, asked, UrlPath::secret);
    ASSERT_FALSE(answer);
    EXPECT_EQ(answer.error().message.find("Hu"), std::string::npos) << answer.error().message;
    EXPECT_NE(answer.error().message.find("application/json"), std::string::npos);
  }
  const auto shown = fetch_discreetly(unkind, {.url = "http://host:9/path?t=Hush1234"});
  EXPECT_NE(shown.error().message.find("GET http://host:9/path?***"), std::string::npos)
      << shown.error().message;
}

} // namespace
} // namespace coalmine::net
