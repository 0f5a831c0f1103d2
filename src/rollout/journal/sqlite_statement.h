// A prepared SQLite statement. Private to the journal's files.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <sqlite3.h>

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace coalmine::rollout {

// What SQLite said last, as an Error. what: "append to the journal".
inline Error sqlite_error(sqlite3* db, std::string_view what) {
  const int code = sqlite3_extended_errcode(db) & 0xff;
  const auto kind = code == SQLITE_CORRUPT || code == SQLITE_NOTADB ? ErrorCode::data_loss
                    : code == SQLITE_FULL                           ? ErrorCode::resource_exhausted
                                                                    : ErrorCode::unavailable;
  return {kind, "cannot " + std::string(what) + ": " + sqlite3_errmsg(db)};
}

// Bind in order, then step; again() for another use. Lives shorter than the connection; single
// thread.
class Statement {
 public:
  Statement(sqlite3* db, std::string_view sql) : db_(db) {
    status_ =
        sqlite3_prepare_v2(db, sql.data(), static_cast<int>(sql.size()), &statement_, nullptr);
  }
  ~Statement() { sqlite3_finalize(statement_); }
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;

  Statement& bind(std::int64_t value) {
    return bound(sqlite3_bind_int64(statement_, ++index_, value));
  }
  Statement& bind(double value) { return bound(sqlite3_bind_double(statement_, ++index_, value)); }
  // value must live until the statement has run.
  Statement& bind(std::string_view value) {
    return bound(sqlite3_bind_text(statement_, ++index_, value.data(),
                                   static_cast<int>(value.size()), SQLITE_STATIC));
  }
  // As text above, for bytes.
  Statement& bind_blob(std::string_view value) {
    return bound(
        sqlite3_bind_blob64(statement_, ++index_, value.data(), value.size(), SQLITE_STATIC));
  }
  Statement& bind_null() { return bound(sqlite3_bind_null(statement_, ++index_)); }

  // True: a row is there.
  Result<bool> next(std::string_view what) {
    if (status_ != SQLITE_OK) return std::unexpected(sqlite_error(db_, what));
    const int code = sqlite3_step(statement_);
    if (code == SQLITE_ROW) return true;
    if (code == SQLITE_DONE) return false;
    return std::unexpected(sqlite_error(db_, what));
  }
  // Runs it once more with other values: bind them anew.
  void again() {
    sqlite3_reset(statement_);
    index_ = 0;
  }
  Status run(std::string_view what) {
    TRY_ASSIGN([[maybe_unused]] const bool row, next(what));
    return {};
  }

  std::int64_t integer(int column) const { return sqlite3_column_int64(statement_, column); }
  std::string text(int column) const {
    const auto* bytes = sqlite3_column_text(statement_, column);
    if (bytes == nullptr) return {};
    return {reinterpret_cast<const char*>(bytes),
            static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }
  std::string blob(int column) const {
    const auto* bytes = static_cast<const char*>(sqlite3_column_blob(statement_, column));
    if (bytes == nullptr) return {};
    return {bytes, static_cast<std::size_t>(sqlite3_column_bytes(statement_, column))};
  }

 private:
  Statement& bound(int code) {
    if (status_ == SQLITE_OK) status_ = code;
    return *this;
  }
  sqlite3* db_;
  sqlite3_stmt* statement_ = nullptr;
  int status_ = SQLITE_OK;
  int index_ = 0;
};

} // namespace coalmine::rollout
