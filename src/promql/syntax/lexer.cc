// Splits text into tokens. Three states: plain; inside {} every word is a label name; inside []
// only durations and their operators.
// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cctype>
#include <utility>

#include "base/text.h"
#include "promql/syntax/go_text.h"
#include "promql/syntax/token.h"

namespace coalmine::promql {
namespace {

constexpr auto kSpellings = std::to_array<std::pair<Tok, std::string_view>>({
    {Tok::comma, ","},
    {Tok::colon, ":"},
    {Tok::left_paren, "("},
    {Tok::right_paren, ")"},
    {Tok::left_brace, "{"},
    {Tok::right_brace, "}"},
    {Tok::left_bracket, "["},
    {Tok::right_bracket, "]"},
    {Tok::eql, "="},
    {Tok::eql_regex, "=~"},
    {Tok::neq_regex, "!~"},
    {Tok::at, "@"},
    {Tok::add, "+"},
    {Tok::sub, "-"},
    {Tok::mul, "*"},
    {Tok::div, "/"},
    {Tok::mod, "%"},
    {Tok::pow, "^"},
    {Tok::atan2, "atan2"},
    {Tok::eqlc, "=="},
    {Tok::neq, "!="},
    {Tok::gtr, ">"},
    {Tok::lss, "<"},
    {Tok::gte, ">="},
    {Tok::lte, "<="},
    {Tok::trim_upper, "</"},
    {Tok::trim_lower, ">/"},
    {Tok::land, "and"},
    {Tok::lor, "or"},
    {Tok::lunless, "unless"},
    {Tok::avg, "avg"},
    {Tok::bottomk, "bottomk"},
    {Tok::count, "count"},
    {Tok::count_values, "count_values"},
    {Tok::group, "group"},
    {Tok::max, "max"},
    {Tok::min, "min"},
    {Tok::quantile, "quantile"},
    {Tok::stddev, "stddev"},
    {Tok::stdvar, "stdvar"},
    {Tok::sum, "sum"},
    {Tok::topk, "topk"},
    {Tok::limitk, "limitk"},
    {Tok::limit_ratio, "limit_ratio"},
    {Tok::kw_bool, "bool"},
    {Tok::by, "by"},
    {Tok::group_left, "group_left"},
    {Tok::group_right, "group_right"},
    {Tok::fill, "fill"},
    {Tok::fill_left, "fill_left"},
    {Tok::fill_right, "fill_right"},
    {Tok::ignoring, "ignoring"},
    {Tok::offset, "offset"},
    {Tok::smoothed, "smoothed"},
    {Tok::anchored, "anchored"},
    {Tok::on, "on"},
    {Tok::without, "without"},
    {Tok::start, "start"},
    {Tok::end, "end"},
    {Tok::step, "step"},
    {Tok::range, "range"},
    {Tok::max_of, "max_of"},
    {Tok::min_of, "min_of"},
});

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_alpha(char c) { return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_word(char c) { return is_alpha(c) || is_digit(c); }

// The keyword for a word, ignoring case; identifier when there is none. Inf and NaN are numbers.
Tok keyword_of(std::string_view word) {
  const std::string low = ascii_lower(word);
  if (low == "inf" || low == "nan") return Tok::number;
  for (const auto& [type, text] : kSpellings) {
    if (text == low && is_alpha(text[0])) return type;
  }
  return Tok::identifier;
}

class Lexer {
 public:
  explicit Lexer(std::string_view text) : text_(text) {}

  std::vector<Token> run() {
    while (!done_) {
      start_ = pos_;
      if (brace_) {
        inside_braces();
      } else if (bracket_) {
        inside_brackets();
      } else {
        plain();
      }
    }
    return std::move(tokens_);
  }

 private:
  char peek(std::size_t ahead = 0) const {
    return pos_ + ahead < text_.size() ? text_[pos_ + ahead] : '\0';
  }
  bool at_end() const { return pos_ >= text_.size(); }

  void emit(Tok type) {
    tokens_.push_back({type, start_, text_.substr(start_, pos_ - start_), {}});
  }
  void emit(Tok type, std::size_t length) {
    pos_ = start_ + length;
    emit(type);
  }
  void fail(std::string message) {
    tokens_.push_back(
        {Tok::error, start_, text_.substr(start_, pos_ - start_), std::move(message)});
    done_ = true;
  }
  // The rune at pos_ quoted as Go's %q does, for messages.
  std::string quoted_rune() {
    std::size_t length = utf8_length(text_.substr(pos_));
    if (length == 0) length = 1;
    const std::string_view rune = text_.substr(pos_, length);
    return rune == "'" ? "'\\''" : "'" + go_quote_inner(rune, '\'') + "'";
  }
  void unexpected(std::string_view what) { fail(std::string(what) + quoted_rune()); }

  // True when a space or comment was skipped.
  bool skip_blank() {
    if (is_space(peek()) && !at_end()) {
      ++pos_;
      return true;
    }
    if (peek() == '#' && !bracket_) {
      while (!at_end() && peek() != '\n' && peek() != '\r') ++pos_;
      return true;
    }
    return false;
  }

  void plain() {
    if (at_end()) {
      if (parens_ != 0) return fail("unclosed left parenthesis");
      done_ = true;
      return emit(Tok::end_of_input);
    }
    if (skip_blank()) return;
    const char c = peek();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) return number_or_duration();
    if (c == '"' || c == '\'' || c == '`') return quoted(c);
    if (is_alpha(c) || c == ':') return word();
    if (parenthesis(c) || comparison(c)) return;
    switch (c) {
      case ',': return emit(Tok::comma, 1);
      case '*': return emit(Tok::mul, 1);
      case '/': return emit(Tok::div, 1);
      case '%': return emit(Tok::mod, 1);
      case '+': return emit(Tok::add, 1);
      case '-': return emit(Tok::sub, 1);
      case '^': return emit(Tok::pow, 1);
      case '@': return emit(Tok::at, 1);
      case '{': brace_ = true; return emit(Tok::left_brace, 1);
      case '[':
        bracket_ = true;
        colon_ = false;
        duration_ = false;
        return emit(Tok::left_bracket, 1);
      case ']': return unexpected("unexpected right bracket ");
      default: return unexpected("unexpected character: ");
    }
  }

  bool parenthesis(char c) {
    if (c == '(') {
      ++parens_;
      emit(Tok::left_paren, 1);
      return true;
    }
    if (c != ')') return false;
    if (--parens_ < 0) {
      const std::string rune = quoted_rune();
      ++pos_;
      start_ = pos_; // reported at the next character
      fail("unexpected right parenthesis " + rune);
    } else {
      emit(Tok::right_paren, 1);
    }
    return true;
  }

  bool comparison(char c) {
    const char next = peek(1);
    if (c == '=') {
      if (next == '~') {
        ++pos_;
        fail("unexpected character after '=': '~'");
      } else {
        emit(next == '=' ? Tok::eqlc : Tok::eql, next == '=' ? 2 : 1);
      }
    } else if (c == '!') {
      ++pos_;
      if (next == '=') {
        emit(Tok::neq, 2);
      } else {
        unexpected("unexpected character after '!': ");
      }
    } else if (c == '<') {
      emit(next == '='   ? Tok::lte
           : next == '/' ? Tok::trim_upper
                         : Tok::lss,
           next == '=' || next == '/' ? 2 : 1);
    } else if (c == '>') {
      emit(next == '='   ? Tok::gte
           : next == '/' ? Tok::trim_lower
                         : Tok::gtr,
           next == '=' || next == '/' ? 2 : 1);
    } else {
      return false;
    }
    return true;
  }

  void inside_braces() {
    if (at_end()) return fail("unexpected end of input inside braces");
    if (skip_blank()) return;
    const char c = peek();
    if (is_alpha(c)) {
      while (is_word(peek())) ++pos_;
      return emit(Tok::identifier);
    }
    switch (c) {
      case ',': return emit(Tok::comma, 1);
      case '"':
      case '\'':
      case '`': return quoted(c);
      case '=': return emit(peek(1) == '~' ? Tok::eql_regex : Tok::eql, peek(1) == '~' ? 2 : 1);
      case '!':
        if (peek(1) == '~') return emit(Tok::neq_regex, 2);
        if (peek(1) == '=') return emit(Tok::neq, 2);
        ++pos_;
        return unexpected("unexpected character after '!' inside braces: ");
      case '{': return unexpected("unexpected left brace ");
      case '}': brace_ = false; return emit(Tok::right_brace, 1);
      default: return unexpected("unexpected character inside braces: ");
    }
  }

  void inside_brackets() {
    if (at_end())
      return fail(duration_ ? "unclosed left bracket"
                            : "unexpected end of input in duration expression");
    if (skip_blank()) return;
    const char c = peek();
    if (is_digit(c) || (c == '.' && is_digit(peek(1)))) {
      duration_ = true;
      return number_or_duration();
    }
    if (is_alpha(c)) return duration_word();
    if (parenthesis(c)) return;
    switch (c) {
      case ']': bracket_ = false; return emit(Tok::right_bracket, 1);
      case '[': return unexpected("unexpected left bracket ");
      case ':':
        if (colon_) return unexpected("unexpected colon ");
        colon_ = true;
        return emit(Tok::colon, 1);
      case '+': return emit(Tok::add, 1);
      case '-': return emit(Tok::sub, 1);
      case '*': return emit(Tok::mul, 1);
      case '/': return emit(Tok::div, 1);
      case '%': return emit(Tok::mod, 1);
      case '^': return emit(Tok::pow, 1);
      case ',': return emit(Tok::comma, 1);
      default: return unexpected("unexpected character in duration expression: ");
    }
  }

  void duration_word() {
    std::size_t length = 0;
    while (is_alpha(peek(length))) ++length;
    const Tok type = keyword_of(text_.substr(pos_, length));
    if (type == Tok::step || type == Tok::range || type == Tok::max_of || type == Tok::min_of) {
      duration_ = true;
      return emit(type, length);
    }
    unexpected("unexpected character in duration expression: ");
  }

  void word() {
    while (is_word(peek()) || peek() == ':') ++pos_;
    const std::string_view text = text_.substr(start_, pos_ - start_);
    Tok type = keyword_of(text);
    if ((type == Tok::fill || type == Tok::fill_left || type == Tok::fill_right) &&
        !parenthesis_follows())
      type = Tok::identifier;
    if (type == Tok::identifier && text.find(':') != std::string_view::npos)
      type = Tok::metric_identifier;
    emit(type);
  }

  bool parenthesis_follows() const {
    std::size_t ahead = 0;
    while (is_space(peek(ahead))) ++ahead;
    return peek(ahead) == '(';
  }

  void quoted(char quote) {
    ++pos_;
    while (true) {
      if (at_end())
        return fail(quote == '`' ? "unterminated raw string" : "unterminated quoted string");
      const char c = peek();
      if (c == quote) break;
      if (c == '\n' && quote != '`') return fail("unterminated quoted string");
      if (c == '\\' && quote != '`') {
        if (!escape(quote)) return;
        continue;
      }
      const std::size_t length = utf8_length(text_.substr(pos_));
      if (length == 0) return fail("invalid UTF-8 rune");
      pos_ += length;
    }
    ++pos_;
    emit(Tok::string);
  }

  // Checks one escape sequence and steps over it; false after reporting an error.
  bool escape(char quote) {
    const EscapeResult result = check_escape(text_.substr(pos_), quote);
    if (!result.error.empty()) {
      fail(result.error);
      return false;
    }
    pos_ += result.length;
    return true;
  }

  void number_or_duration() {
    if (scan_number()) return emit(Tok::number);
    if (scan_duration_rest()) return emit(Tok::duration);
    fail("bad number or duration syntax: " + go_quote(text_.substr(start_, pos_ - start_)));
  }

  bool accept(std::string_view set) {
    if (at_end() || set.find(peek()) == std::string_view::npos) return false;
    ++pos_;
    return true;
  }

  // Digits with _ between them, one dot, one exponent; 0x for hexadecimal without fraction. False
  // leaves pos_ where it failed.
  bool scan_number() {
    std::string_view digits = "0123456789";
    bool hexadecimal = false;
    if (accept("0") && accept("xX")) {
      accept("_");
      digits = "0123456789abcdefABCDEF";
      hexadecimal = true;
    }
    accept(".");
    bool dot = pos_ > start_ && text_[pos_ - 1] == '.';
    accept(digits);
    bool exponent = false;
    while (!at_end()) {
      if (accept(digits)) continue;
      const char c = peek();
      if (c == '.') {
        ++pos_;
        if (dot || hexadecimal || accept("_.")) return false;
        dot = true;
      } else if (c == 'e' || c == 'E') {
        ++pos_;
        if (exponent) return false;
        exponent = true;
        accept("+-");
        if (accept("._eE") || at_end()) return false;
      } else if (c == '_') {
        ++pos_;
        if (accept("._eE") || at_end()) return false;
      } else {
        break;
      }
    }
    return pos_ > start_ && !is_word(peek());
  }

  bool scan_duration_rest() {
    if (!accept("smhdwy")) return false;
    accept("s");
    while (accept("0123456789")) {
      while (accept("0123456789")) continue;
      if (!accept("smhdw")) return false;
      accept("s");
    }
    if (is_word(peek())) {
      ++pos_;
      return false;
    }
    return true;
  }

  std::string_view text_;
  std::vector<Token> tokens_;
  std::size_t pos_ = 0;
  std::size_t start_ = 0;
  int parens_ = 0;
  bool brace_ = false;
  bool bracket_ = false;
  bool colon_ = false;    // seen in this []
  bool duration_ = false; // a duration was seen in this []
  bool done_ = false;
};

} // namespace

std::string_view spelling(Tok t) {
  for (const auto& [type, text] : kSpellings) {
    if (type == t) return text;
  }
  return "";
}

std::string describe(const Token& token) {
  const std::string text(token.text);
  if (is_keyword(token.type)) return "<" + text + ">";
  if (is_operator(token.type)) return "<op:" + text + ">";
  if (is_aggregator(token.type)) return "<aggr:" + text + ">";
  const std::string shown =
      text.size() > 10 && token.type != Tok::identifier && token.type != Tok::metric_identifier
          ? go_quote(text.substr(0, 10)) + "..."
          : go_quote(text);
  switch (token.type) {
    case Tok::end_of_input: return "end of input";
    case Tok::identifier: return "identifier " + shown;
    case Tok::metric_identifier: return "metric identifier " + shown;
    case Tok::string: return "string " + shown;
    case Tok::number: return "number " + shown;
    case Tok::duration: return "duration " + shown;
    default: return shown;
  }
}

std::vector<Token> tokenize(std::string_view text) { return Lexer(text).run(); }

} // namespace coalmine::promql
