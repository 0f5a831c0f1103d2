// The answer to an HTTP/2 client on a port that speaks HTTP/1.1: it cannot read an HTTP/1.1 answer,
// and a gRPC client would only say "unavailable" and try for ever. So its first call is answered in
// HTTP/2, as gRPC: UNIMPLEMENTED, with a sentence. RFC 9113, RFC 7541 (no compression).
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace coalmine::net {

// Of one connection; single thread.
class Http2Refusal {
 public:
  // sentence: printable ASCII.
  explicit Http2Refusal(std::string sentence) : sentence_(std::move(sentence)) {}

  // Takes what the client sent behind the preface; returns what to send now.
  std::string take(std::string_view bytes);
  // All has been said, or the client is not worth waiting for.
  bool is_over() const { return over_; }

 private:
  std::string refuse_call(std::string_view stream) const;

  std::string sentence_;
  std::string head_;      // of the frame that begins, up to nine bytes
  std::size_t skip_ = 0;  // bytes of its payload that are still to come
  std::size_t taken_ = 0; // bytes in all
  bool greeted_ = false;
  bool over_ = false;
};

} // namespace coalmine::net
