// A vector whose copies share their elements until one of them is edited. SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <initializer_list>
#include <memory>
#include <utility>
#include <vector>

namespace coalmine {

// Copies may be read by different threads; one copy is not synchronised.
template <typename T>
class SharedVector {
 public:
  SharedVector() = default;
  SharedVector(std::vector<T> elements) : elements_(std::make_shared<std::vector<T>>(std::move(elements))) {}
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
  const T& front() const { return (**this).front(); }

  // Elements of this one alone, to be changed; copied when others share them. References from before are to the old ones.
  std::vector<T>& edit() {
    if (!elements_ || elements_.use_count() > 1) elements_ = std::make_shared<std::vector<T>>(**this);
    return *elements_;
  }

 private:
  std::shared_ptr<std::vector<T>> elements_; // never changed while it is shared
};

} // namespace coalmine
