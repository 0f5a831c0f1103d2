// SPDX-License-Identifier: Apache-2.0
#include "rollout/journal/journal_copy.h"

#include <fmt/format.h>
#include <sqlite3.h>
#include <sys/stat.h>

#include <filesystem>

#include "rollout/journal/sqlite_statement.h"

namespace coalmine::rollout {
namespace {

constexpr std::string_view kFile = "rollouts.db";

// Read only; closed at the end of its scope.
class Connection {
 public:
  explicit Connection(const std::string& path) {
    status_ =
        sqlite3_open_v2(path.c_str(), &db_, SQLITE_OPEN_READONLY | SQLITE_OPEN_NOMUTEX, nullptr);
    sqlite3_busy_timeout(db_, 2'000);
  }
  ~Connection() { sqlite3_close_v2(db_); }
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;
  sqlite3* get() const { return db_; }
  bool good() const { return status_ == SQLITE_OK; }

 private:
  sqlite3* db_ = nullptr;
  int status_ = SQLITE_OK;
};

Status check_copy(const std::string& path) {
  const Connection copy(path);
  if (!copy.good())
    return std::unexpected(sqlite_error(copy.get(), "read the copied journal " + path));
  Statement check(copy.get(), "pragma integrity_check");
  TRY_ASSIGN(const bool row, check.next("check the copied journal " + path));
  if (row && check.text(0) == "ok") return {};
  return fail(ErrorCode::data_loss, fmt::format("the copied journal {} is damaged: {}", path,
                                                row ? std::string(check.text(0)) : "no answer"));
}

} // namespace

Status copy_journal(const std::string& from, const std::string& to) {
  std::error_code error;
  std::filesystem::create_directories(to, error);
  if (error)
    return fail(ErrorCode::unavailable, fmt::format("cannot make {}: {}", to, error.message()));
  ::chmod(to.c_str(), S_IRWXU);
  const auto source = (std::filesystem::path(from) / kFile).string();
  if (!std::filesystem::exists(source, error))
    return {}; // a server that was never started has none
  const auto target = (std::filesystem::path(to) / kFile).string();
  {
    const Connection journal(source);
    if (!journal.good())
      return std::unexpected(sqlite_error(journal.get(), "read the journal " + source));
    Statement copy(journal.get(), "vacuum into ?1");
    copy.bind(std::string_view(target));
    TRY(copy.run("copy the journal to " + target));
  }
  ::chmod(target.c_str(), S_IRUSR | S_IWUSR);
  return check_copy(target);
}

} // namespace coalmine::rollout
