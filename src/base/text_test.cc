// SPDX-License-Identifier: Apache-2.0
#include "base/text.h"

#include <gtest/gtest.h>

#include <array>
#include <boost/json.hpp>

#include "base/base64.h"
#include "base/digest.h"
#include "base/hex.h"
#include "base/json_string.h"
#include "base/json_text.h"

namespace coalmine {
namespace {

TEST(Text, TrimmedAndLower) {
  EXPECT_EQ(trimmed(" \t a b\r\n"), "a b");
  EXPECT_EQ(trimmed(" \t "), "");
  EXPECT_EQ(trimmed("\n a\n", " "), "\n a\n");
  EXPECT_EQ(ascii_lower("Host-Ä"), "host-Ä");
}

TEST(Text, Utf8) {
  EXPECT_EQ(utf8_length("a"), 1u);
  EXPECT_EQ(utf8_length("é"), 2u);
  EXPECT_EQ(utf8_length("\xF0\x9F\x90\xA6!"), 4u);
  EXPECT_EQ(utf8_length(""), 0u);
  EXPECT_EQ(utf8_length("\xC0\xAF"), 0u);     // overlong
  EXPECT_EQ(utf8_length("\xED\xA0\x80"), 0u); // surrogate
  EXPECT_TRUE(is_utf8("naïve"));
  EXPECT_FALSE(is_utf8("a\xff"));
}

TEST(Text, PadCountsColumnsNotBytes) {
  EXPECT_EQ(width("é±"), 2u);
  EXPECT_EQ(pad("é", 3), "é  ");
  EXPECT_EQ(pad_left("é", 3), "  é");
  EXPECT_EQ(pad("wide", 2), "wide");
}

TEST(Base64, Rfc4648) {
  const std::array<std::pair<std::string_view, std::string_view>, 6> vectors = {
      {{"", ""},
       {"f", "Zg=="},
       {"fo", "Zm8="},
       {"foo", "Zm9v"},
       {"foob", "Zm9vYg=="},
       {"\xff\xfe\xfd", "//79"}}};
  for (const auto& [plain, coded] : vectors) {
    EXPECT_EQ(base64(plain), coded);
    EXPECT_EQ(base64(plain, Base64Padding::without), trimmed(coded, "="));
    EXPECT_EQ(decode_base64(coded), plain);
    EXPECT_EQ(decode_base64(trimmed(coded, "=")), plain);
  }
  EXPECT_EQ(decode_base64("__79"), "\xff\xfe\xfd");
  EXPECT_FALSE(decode_base64("Zm9vY"));
  EXPECT_FALSE(decode_base64("Zm 9v"));
}

TEST(Hex, BothWays) {
  std::array<std::uint8_t, 3> bytes{0x00, 0x1f, 0xa0};
  EXPECT_EQ(to_hex(bytes), "001fa0");
  EXPECT_TRUE(parse_hex("FFfe01", bytes));
  EXPECT_EQ(to_hex(bytes), "fffe01");
  EXPECT_FALSE(parse_hex("ff", bytes));
  EXPECT_FALSE(parse_hex("gg0000", bytes));
  EXPECT_EQ(hex_digit('g'), -1);
}

TEST(Digest, KnownAnswers) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  Sha256 pieces;
  pieces.add("a");
  pieces.add("bc");
  EXPECT_EQ(pieces.hex(), sha256_hex("abc"));
  // RFC 4231, test case 2
  EXPECT_EQ(hmac_sha256_hex("Jefe", "what do ya want for nothing?"),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

TEST(Json, StringsAreEscapedAndValid) {
  std::string out;
  append_json_string(out, "a\"\\\n\x01\xff");
  EXPECT_EQ(out, "\"a\\\"\\\\\\n\\u0001\xEF\xBF\xBD\"");
  EXPECT_EQ(with_valid_utf8("{\"a\":\"\xff\"}"), "{\"a\":\"\xEF\xBF\xBD\"}");
}

TEST(Json, ValuesAreWrittenAsPeopleReadThem) {
  boost::json::object o;
  o["share"] = 0.05;
  o["count"] = 3.0;
  o["none"] = json_number(std::nullopt);
  o["name"] = json_string("a");
  EXPECT_EQ(json_text(o), R"({"share":0.05,"count":3,"none":null,"name":"a"})");
  EXPECT_EQ(get_double(o, "share"), 0.05);
  EXPECT_EQ(get_int(o, "name", 7), 7);
}

TEST(Text, ARegularExpressionOfAText) {
  EXPECT_EQ(regexp_of("prod_1"), "prod_1");
  EXPECT_EQ(regexp_of("a.b|c-é"), "a\\.b\\|c\\-é");
  EXPECT_EQ(regexp_of(""), "");
}

} // namespace
} // namespace coalmine
