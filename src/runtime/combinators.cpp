#include "stator/runtime/combinators.hpp"

namespace stator::inline runtime::detail {

Task<> wait_for_all(TaskScope* scope) { return shielded(scope->join()); }

void throw_cancelled_here() {
    throw Error{ErrorCode::cancelled, "cancelled while waiting for other tasks"};
}

void throw_no_tasks() { throw Error{ErrorCode::invalid_request, "when_any of no tasks"}; }

}  // namespace stator::inline runtime::detail
