// SPDX-License-Identifier: Apache-2.0
#include <fmt/format.h>

#include "base/guarded.h"
#include "route/router.h"

namespace coalmine::route {
namespace {

// Remembers and does nothing.
class ObserveRouter final : public Router {
 public:
  std::string describe() const override { return "observe"; }
  Result<Applied> set(Weight weight) override {
    if (!(weight.canary >= 0 && weight.canary <= 1)) {
      return fail(ErrorCode::invalid_argument,
                  fmt::format("a weight is a share from 0 to 1, not {}", weight.canary));
    }
    last_.with([&](Weight& last) { last = weight; });
    return Applied{weight, weight, 0, ""};
  }
  Result<Applied> panic() override { return set({0}); }
  Result<Weight> read() override {
    return last_.with([](const Weight& last) { return last; });
  }

 private:
  Guarded<Weight> last_;
};

} // namespace

std::unique_ptr<Router> make_observe_router() { return std::make_unique<ObserveRouter>(); }

} // namespace coalmine::route
