// SPDX-License-Identifier: Apache-2.0
#include "app/backup.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/digest.h"
#include "rollout/journal/journal_copy.h"

namespace coalmine::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSums = "SHA256SUMS";

std::unexpected<Error> unwritable(const fs::path& path, const std::string& why) {
  return fail(ErrorCode::unavailable,
              fmt::format("{} cannot be written: {}. Free disk space or choose another directory",
                          path.string(), why));
}

Result<std::string> sha256_of_file(const fs::path& path) {
  std::ifstream in(path, std::ios::binary);
  Sha256 sum;
  std::array<char, 1 << 16> buffer{};
  while (in) {
    in.read(buffer.data(), buffer.size());
    sum.add({buffer.data(), static_cast<std::size_t>(in.gcount())});
  }
  if (!in.eof())
    return fail(ErrorCode::data_loss, fmt::format("{} cannot be read back", path.string()));
  return sum.hex();
}

void sync_path(const fs::path& path, int flags) {
  const int fd = ::open(path.c_str(), flags | O_CLOEXEC);
  if (fd < 0) return;
  ::fsync(fd);
  ::close(fd);
}

// Sums of every file, which shows later whether the copy is still what it was.
Result<serve::Backup> write_sums(const fs::path& root) {
  serve::Backup out{root.string(), 0, 0};
  std::map<std::string, std::string> sums;
  std::error_code error;
  for (auto it = fs::recursive_directory_iterator(root, error);
       !error && it != fs::recursive_directory_iterator(); it.increment(error)) {
    if (!it->is_regular_file()) continue;
    sync_path(it->path(), O_RDONLY);
    TRY_ASSIGN(auto sum, sha256_of_file(it->path()));
    sums[fs::relative(it->path(), root).string()] = std::move(sum);
    ++out.files;
    out.bytes += it->file_size();
  }
  if (error) return unwritable(root, error.message());
  std::ofstream file(root / kSums, std::ios::binary);
  for (const auto& [name, sum] : sums) file << sum << "  " << name << '\n';
  file.close();
  if (!file.good()) return unwritable(root / kSums, "the disk refused the write");
  sync_path(root / kSums, O_RDONLY);
  sync_path(root, O_RDONLY | O_DIRECTORY);
  return out;
}

Result<serve::Backup> copy_all(const std::string& data_directory, store::Store& store,
                               const fs::path& to) {
  TRY(store.backup((to / "telemetry").string()));
  TRY(rollout::copy_journal((fs::path(data_directory) / "journal").string(),
                            (to / "journal").string()));
  return write_sums(to);
}

} // namespace

Result<serve::Backup> backup(const std::string& data_directory, store::Store& store,
                             const std::string& to) {
  std::error_code error;
  const fs::path target = fs::absolute(to, error).lexically_normal();
  if (fs::exists(target, error) && !fs::is_empty(target, error)) {
    return fail(
        ErrorCode::failed_precondition,
        fmt::format("{} is not an empty directory: a backup overwrites nothing. Choose a new one",
                    target.string()));
  }
  fs::create_directories(target, error);
  if (error) return unwritable(target, error.message());
  fs::permissions(target, fs::perms::owner_all, error); // tokens of routers may be in the journal
  auto done = copy_all(data_directory, store, target);
  if (!done) {
    for (const auto* part : {"telemetry", "journal", "SHA256SUMS"})
      fs::remove_all(target / part, error);
  }
  return done;
}

} // namespace coalmine::app
