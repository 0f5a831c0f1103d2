// Errors as values: Result<T>, Status, and the TRY macros. We do not throw; exceptions of libraries
// are caught at the request edge, in the worker loop and in main.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <expected>
#include <string>
#include <string_view>
#include <utility>

namespace coalmine {

// The kinds of failure that the whole program distinguishes. They become gRPC and HTTP codes only
// at the edge (net/status_codes.cc).
enum class ErrorCode {
  invalid_argument,    // the caller's input is wrong; retrying the same cannot help
  not_found,           // what was asked for does not exist
  already_exists,      // a conflicting thing exists
  failed_precondition, // not possible in the present state
  resource_exhausted,  // a limit was reached; retrying the same cannot help
  unavailable,         // try again later
  deadline_exceeded,   // ran out of time
  permission_denied,   // known caller, not allowed
  unauthenticated,     // no or wrong credentials
  unimplemented,       // known, but not built
  data_loss,           // stored bytes are damaged
  internal,            // a defect or a broken environment
};

std::string_view to_string(ErrorCode code);

// A failure: its kind, and one sentence for a person that says what happened, why (with the value
// seen) and what to do.
struct Error {
  ErrorCode code = ErrorCode::internal;
  std::string message;
};

// The value or the Error. A class and not an alias, because libstdc++ 12 lets an alias be ignored
// silently.
template <typename T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using std::expected<T, Error>::expected;
};

using Status = Result<void>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
  return std::unexpected<Error>(Error{code, std::move(message)});
}

} // namespace coalmine

#define COALMINE_CONCAT_INNER(a, b) a##b
#define COALMINE_CONCAT(a, b) COALMINE_CONCAT_INNER(a, b)

// TRY(expr): returns the error of a Status to the caller.
#define TRY(expr)                                                               \
  do {                                                                          \
    if (auto try_status = (expr); !try_status) {                                \
      return std::unexpected<::coalmine::Error>(std::move(try_status).error()); \
    }                                                                           \
  } while (false)

#define TRY_ASSIGN_INNER(tmp, decl, expr)                              \
  auto tmp = (expr);                                                   \
  if (!tmp) {                                                          \
    return std::unexpected<::coalmine::Error>(std::move(tmp).error()); \
  }                                                                    \
  decl = std::move(*tmp)

// TRY_ASSIGN(auto x, expr): binds the value of a Result or returns its error.
#define TRY_ASSIGN(decl, expr) TRY_ASSIGN_INNER(COALMINE_CONCAT(try_result_, __LINE__), decl, expr)
