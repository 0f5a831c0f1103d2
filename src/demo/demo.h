// `coalmine demo`: real processes on loopback — this server, HAProxy, a shop in two versions, load
// — and releases that go back or through on their own.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

namespace coalmine::demo {

struct DemoOptions {
  bool ci = false; // unattended: no waiting at the end; exit code 0 only if every scene ended as it
                   // should
  std::string scenario; // one of bad-release, slow-tail, good-release; "" all
  bool keep = false;    // leave the working directory behind
  double rps = 300;
  int repeat = 1; // all scenes that many times
  std::string
      assets_dir; // folder with the demo's services; "" finds demo/ beside the binary or above it
  bool no_color = false;
};

// Blocks until the demo ended or was interrupted; stops everything it started. Returns the exit
// code.
int run_demo(const DemoOptions& options);

} // namespace coalmine::demo
