#include "stator/runtime/combinators.hpp"

namespace stator::inline runtime::detail {

Task<> wait_for_all(TaskScope* scope) { return shielded(scope->join()); }

void throw_cancelled_here() {
    throw Error{ErrorCode::cancelled, "cancelled while waiting for other tasks"};
}

}  // namespace stator::inline runtime::detail
