// A vector that copies share.
// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace coalmine {

// Its elements never change: to change one, copy the vector and assign it. Copies may be read by
// different threads.
template <typename T>
class SharedVector {
 public:
  SharedVector() = default;
  SharedVector(std::vector<T> elements)
      : elements_(std::make_shared<const std::vector<T>>(std::move(elements))) {}
  SharedVector(std::initializer_list<T> elements) : SharedVector(std::vector<T>(elements)) {}

  const std::vector<T>& operator*() const {
    static const std::vector<T> nothing;
    return elements_ ? *elements_ : nothing;
  }
  auto begin() const { return (**this).begin(); }
  auto end() const { return (**this).end(); }
  std::size_t size() const { return (**this).size(); }
  bool empty() const { return (**this).empty(); }
  const T& operator[](std::size_t i) const { return (**this)[i]; }

 private:
  std::shared_ptr<const std::vector<T>> elements_;
};

} // namespace coalmine
