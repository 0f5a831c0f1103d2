// SPDX-License-Identifier: Apache-2.0
#include "query/eval_info.h"

namespace coalmine::query {

Eval<EvalMatrix> InfoEvaluator::run() {
  return std::unexpected(QueryError{QueryError::Kind::unimplemented, "function info is not evaluated by this server", {}});
}

} // namespace coalmine::query
