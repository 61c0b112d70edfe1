#include "stator/codec/dynamo_error_names.hpp"

#include <algorithm>
#include <array>

namespace stator::inline codec {

namespace {

using enum ErrorCode;

// Whether a router puts the instance aside hangs on the type alone: EngineShutdown does it, the
// other types here do not. Types that 1.4 does not know would make it fail, so "Unknown" stands
// where it has none. A deadline has a reason that is not tried again elsewhere.
constexpr std::array rows{
    DynamoErrorNames{
        invalid_request, "InvalidArgument", true, "InvalidRequest", "backend.invalid_argument"
    },
    DynamoErrorNames{
        unauthenticated, "Unknown", false, "Unauthenticated", "request.unauthenticated"
    },
    DynamoErrorNames{
        permission_denied, "Unknown", false, "PermissionDenied", "request.permission_denied"
    },
    DynamoErrorNames{not_found, "Unknown", false, "NotFound", "request.not_found"},
    DynamoErrorNames{already_exists, "Unknown", false, "Conflict", "request.conflict"},
    DynamoErrorNames{
        payload_too_large, "InvalidArgument", false, "PayloadTooLarge", "request.payload_too_large"
    },
    DynamoErrorNames{
        overloaded, "ResourceExhausted", false, "CapacityExhausted", "capacity.worker_overloaded"
    },
    DynamoErrorNames{unavailable, "CannotConnect", true, "Unavailable", "backend.cannot_connect"},
    DynamoErrorNames{draining, "EngineShutdown", true, "Unavailable", "backend.engine_shutdown"},
    DynamoErrorNames{cancelled, "Cancelled", true, "Cancelled", "backend.cancelled"},
    DynamoErrorNames{
        deadline_exceeded, "ResponseTimeout", true, "DeadlineExceeded", "request.deadline_exceeded"
    },
    DynamoErrorNames{disconnected, "Disconnected", true, "Unavailable", "backend.disconnected"},
    DynamoErrorNames{protocol, "Unknown", true, "BackendProtocol", "backend.protocol"},
    DynamoErrorNames{unimplemented, "Unknown", false, "NotImplemented", "runtime.not_implemented"},
    DynamoErrorNames{internal, "Unknown", true, "Internal", "backend.unknown"},
};

}  // namespace

const DynamoErrorNames& dynamo_error_names(ErrorCode code) noexcept {
    const auto* row = std::ranges::find(rows, code, &DynamoErrorNames::code);
    return row == rows.end() ? rows.back() : *row;
}

const DynamoErrorNames* dynamo_error_names_of_reason(std::string_view reason) noexcept {
    const auto* row = std::ranges::find(rows, reason, &DynamoErrorNames::reason);
    return row == rows.end() ? nullptr : row;
}

}  // namespace stator::inline codec
