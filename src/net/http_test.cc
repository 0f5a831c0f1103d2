// SPDX-License-Identifier: Apache-2.0
#include "net/http.h"

#include <gtest/gtest.h>

#include "net/grpc_frames.h"
#include "net/grpc_server.h"
#include "net/http_server.h"

namespace coalmine::net {
namespace {

using Pairs = std::vector<std::pair<std::string, std::string>>;

TEST(Http, HeaderIgnoresCase) {
  const Headers headers = {{"Content-Type", "a"}, {"X-Two", "1"}, {"x-two", "2"}};
  EXPECT_EQ(header(headers, "content-TYPE"), "a");
  EXPECT_EQ(header(headers, "X-TWO"), "1");
  EXPECT_EQ(header(headers, "none"), "");
}

TEST(Http, ParseForm) {
  const std::vector<std::pair<std::string_view, Pairs>> cases = {
      {"", {}},
      {"a=1", {{"a", "1"}}},
      {"a=1&b=2&a=3", {{"a", "1"}, {"b", "2"}, {"a", "3"}}},
      {"query=sum%28up%29+%2B+1", {{"query", "sum(up) + 1"}}},
      {"match%5B%5D=%7B%7D", {{"match[]", "{}"}}},
      {"a", {{"a", ""}}},
      {"a=&=b&&c==d", {{"a", ""}, {"", "b"}, {"c", "=d"}}},
      {"a=%", {{"a", "%"}}},
      {"a=%2&b=%zz&c=%4", {{"a", "%2"}, {"b", "%zz"}, {"c", "%4"}}},
      {"a=%C3%A9%00", {{"a", std::string("\xc3\xa9\0", 3)}}},
  };
  for (const auto& [text, pairs] : cases) EXPECT_EQ(parse_form(text), pairs) << text;
}

TEST(Http, PercentEncodeComesBack) {
  std::string all;
  for (int c = 0; c < 256; ++c) all += static_cast<char>(c);
  const auto pairs = parse_form("x=" + percent_encode(all));
  ASSERT_EQ(pairs.size(), 1u);
  EXPECT_EQ(pairs[0].second, all);
  EXPECT_EQ(percent_encode("a b/ü~"), "a%20b%2F%C3%BC~");
}

TEST(Http, ReasonPhrases) {
  EXPECT_EQ(reason_phrase(200), "OK");
  EXPECT_EQ(reason_phrase(413), "Content Too Large");
  EXPECT_EQ(reason_phrase(418), "Client Error");
  EXPECT_EQ(reason_phrase(599), "Server Error");
}

TEST(Endpoints, Good) {
  const std::vector<std::tuple<std::string_view, std::string, int, bool>> cases = {
      {":7070", "127.0.0.1", 7070, true},
      {"7070", "127.0.0.1", 7070, true},
      {"127.0.0.1:7070", "127.0.0.1", 7070, true},
      {"[::1]:80", "::1", 80, true},
      {"0.0.0.0:4317", "0.0.0.0", 4317, false},
      {"localhost:1", "localhost", 1, true},
      {"LOCALHOST:1", "LOCALHOST", 1, true},
      {"127.8.9.1:0", "127.8.9.1", 0, true},
      {"[::]:65535", "::", 65535, false},
      {"10.0.0.1:80", "10.0.0.1", 80, false},
      {"[::ffff:127.0.0.1]:80", "::ffff:127.0.0.1", 80, true},
      {"127.0.0.1.example.com:80", "127.0.0.1.example.com", 80, false},
  };
  for (const auto& [text, host, port, loopback] : cases) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_TRUE(endpoint) << text << endpoint.error().message;
    EXPECT_EQ(endpoint->host, host) << text;
    EXPECT_EQ(endpoint->port, port) << text;
    EXPECT_EQ(endpoint->loopback(), loopback) << text;
  }
  EXPECT_EQ(parse_endpoint("[::1]:80")->to_string(), "[::1]:80");
  EXPECT_EQ(parse_endpoint(":80")->to_string(), "127.0.0.1:80");
}

TEST(Endpoints, BadOnesSayWhy) {
  const std::vector<std::pair<std::string_view, std::string_view>> cases = {
      {"", "empty"},
      {":", "port ''"},
      {"host", "port 'host'"},
      {":65536", "0 to 65535"},
      {":-1", "0 to 65535"},
      {":80x", "'80x'"},
      {"::1:80", "brackets"},
      {"[::1]", "port '1]'"},
      {"[host]:80", "host 'host'"},
      {"[]:80", "host ''"},
      {"256.0.0.1:80", "host '256.0.0.1'"},
      {"a b:80", "host 'a b'"},
      {"*:80", "host '*'"},
      {"http://localhost:4318", "leave 'http://' out"},
      {"99999999999999999999", "0 to 65535"},
  };
  for (const auto& [text, part] : cases) {
    const auto endpoint = parse_endpoint(text);
    ASSERT_FALSE(endpoint) << text;
    EXPECT_EQ(endpoint.error().code, ErrorCode::invalid_argument);
    EXPECT_NE(endpoint.error().message.find(part), std::string::npos) << endpoint.error().message;
  }
}

TEST(GrpcFrames, MessageInPieces) {
  const std::string framed = frame_message("hello gRPC");
  EXPECT_EQ(framed.substr(0, 5), std::string("\0\0\0\0\x0a", 5));
  for (std::size_t piece = 1; piece <= framed.size(); ++piece) {
    MessageReader reader(100);
    for (std::size_t at = 0; at < framed.size(); at += piece) {
      EXPECT_FALSE(reader.finish()) << at;
      ASSERT_TRUE(reader.feed(std::string_view(framed).substr(at, piece)));
    }
    EXPECT_TRUE(reader.finish());
    EXPECT_FALSE(reader.compressed());
    EXPECT_EQ(reader.take(), "hello gRPC");
  }
}

TEST(GrpcFrames, Violations) {
  using namespace std::string_view_literals;
  struct Case {
    std::string_view bytes;
    ErrorCode code;
  };
  const std::vector<Case> cases = {
      {""sv, ErrorCode::unimplemented},
      {"\0\0\0"sv, ErrorCode::invalid_argument},
      {"\0\0\0\0\5hell"sv, ErrorCode::invalid_argument},
      {"\2\0\0\0\0"sv, ErrorCode::invalid_argument},
      {"\0\0\0\0\1ab"sv, ErrorCode::unimplemented},
      {"\0\0\0\0\0\0\0\0\0\0"sv, ErrorCode::unimplemented},
      {"\0\0\0\0\x65"sv, ErrorCode::resource_exhausted},
      {"\0\xff\xff\xff\xff"sv, ErrorCode::resource_exhausted},
  };
  for (const auto& [bytes, code] : cases) {
    MessageReader reader(100);
    const auto fed = reader.feed(bytes);
    const auto status = fed ? reader.finish() : fed;
    ASSERT_FALSE(status) << ::testing::PrintToString(bytes);
    EXPECT_EQ(status.error().code, code) << status.error().message;
  }
  MessageReader empty(100);
  ASSERT_TRUE(empty.feed("\1\0\0\0\0"sv));
  EXPECT_TRUE(empty.finish());
  EXPECT_TRUE(empty.compressed());
}

TEST(GrpcFrames, Coding) {
  EXPECT_EQ(encode_grpc_message("50% of\n\xc3\xa9"), "50%25 of%0A%C3%A9");
}

TEST(StatusCodes, RetryableStaysRetryable) {
  EXPECT_EQ(to_grpc(ErrorCode::unavailable), GrpcStatus::unavailable);
  EXPECT_EQ(to_http(ErrorCode::unavailable), 503);
  EXPECT_EQ(to_grpc(ErrorCode::resource_exhausted), GrpcStatus::resource_exhausted);
  EXPECT_EQ(to_http(ErrorCode::resource_exhausted), 413);
  EXPECT_EQ(to_grpc(ErrorCode::data_loss), GrpcStatus::internal);
  EXPECT_EQ(to_http(ErrorCode::permission_denied), 403);
}

} // namespace
} // namespace coalmine::net
