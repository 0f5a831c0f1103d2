// The start of a store: reads the data of the earlier process and replays the tail of the log.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"
#include "store/disk/damage_log.h"
#include "store/ingest/contents.h"

namespace coalmine::store {

// Used once, before other threads see the contents, so it takes no locks.
class Loader {
 public:
  // directory: only for messages.
  Loader(std::string directory, Backing backing, Contents& contents)
      : directory_(std::move(directory)), backing_(backing), contents_(contents) {}

  // Damaged pieces are reported and left out. failed_precondition: a newer coalmine wrote the
  // directory. Other errors come from the disk.
  Status load();

 private:
  Status check_schema();
  Status move_slices(WriteSet& set) const;
  Status load_meta();
  Status load_series();
  Status load_chunks();
  Status load_slices();
  Status load_segments();
  Status replay_log();
  void replay_record(std::uint64_t number, std::string_view bytes);

  const std::string directory_;
  const Backing backing_;
  Contents& contents_;
};

} // namespace coalmine::store
