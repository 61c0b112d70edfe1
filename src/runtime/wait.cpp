#include "stator/runtime/detail/wait.hpp"

#include <fmt/format.h>

#include "stator/base/error.hpp"

namespace stator::inline runtime::detail {

void throw_cancelled(const CancellationToken& token) {
    throw Error{ErrorCode::cancelled, fmt::format("cancelled ({})", to_string(token.cause()))};
}

}  // namespace stator::inline runtime::detail
