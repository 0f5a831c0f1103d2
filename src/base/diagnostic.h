// Errors in text a user wrote (PromQL, config): where, what, and what to do about it.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>

namespace coalmine {

struct SourceSpan {
  std::size_t line = 1;   // from 1
  std::size_t column = 1; // from 1, in bytes
  std::size_t length = 1; // bytes to underline
};

struct Diagnostic {
  enum class Severity { error, warning };
  Severity severity = Severity::error;
  SourceSpan span;
  std::string message; // what happened, with the value seen
  std::string hint;    // what to do; may be empty
};

} // namespace coalmine
