#include "stator/runtime/stream.hpp"

#include <fmt/format.h>

#include "stator/base/error.hpp"
#include "stator/base/sink.hpp"

namespace stator::inline runtime::detail {

void throw_closed() { throw Error{ErrorCode::cancelled, "the stream was closed"}; }

void report_while_closing(std::exception_ptr error) noexcept {
    const auto known = to_error(std::move(error));
    if (known.code() == ErrorCode::cancelled) return;
    sink().report(
        Severity::warn, "stator::runtime", fmt::format("closing a stream: {}", known.what())
    );
}

}  // namespace stator::inline runtime::detail
