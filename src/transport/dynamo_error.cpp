#include "transport/dynamo_error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

#include <fmt/format.h>

#include "stator/codec/dynamo_error_names.hpp"
#include "stator/codec/utf8.hpp"
#include "stator/transport/mux_error.hpp"
#include "transport/dynamo_fields.hpp"

namespace stator::transport::dynamo {
namespace {

using enum ErrorCode;

/// What each class means when no reason says more.
struct Class {
    std::string_view name;
    ErrorCode code;
};
constexpr std::array classes{
    Class{"InvalidRequest", invalid_request},
    Class{"Unauthenticated", unauthenticated},
    Class{"PermissionDenied", permission_denied},
    Class{"NotFound", not_found},
    Class{"Conflict", already_exists},
    Class{"PayloadTooLarge", payload_too_large},
    Class{"UnsupportedMedia", invalid_request},
    Class{"RateLimited", overloaded},
    Class{"CapacityExhausted", overloaded},
    Class{"Cancelled", cancelled},
    Class{"Unavailable", unavailable},
    Class{"BackendProtocol", protocol},
    Class{"DeadlineExceeded", deadline_exceeded},
    Class{"NotImplemented", unimplemented},
    Class{"Internal", internal},
};

struct Reason {
    std::string_view name;
    std::string_view error_class;
    ErrorCode code;
    bool retry = false;  ///< routers of the original try it elsewhere although our class says no
};
constexpr std::array reasons{
    Reason{"runtime.unclassified", "Internal", internal},
    Reason{"runtime.invalid_error", "Internal", internal},
    Reason{"runtime.internal", "Internal", internal},
    Reason{"runtime.not_implemented", "NotImplemented", unimplemented},
    Reason{"request.invalid", "InvalidRequest", invalid_request},
    Reason{"request.invalid_argument", "InvalidRequest", invalid_request},
    Reason{"request.cancelled", "Cancelled", cancelled},
    Reason{"request.deadline_exceeded", "DeadlineExceeded", deadline_exceeded},
    Reason{"request.unauthenticated", "Unauthenticated", unauthenticated},
    Reason{"request.permission_denied", "PermissionDenied", permission_denied},
    Reason{"request.not_found", "NotFound", not_found},
    Reason{"request.conflict", "Conflict", already_exists},
    Reason{"request.payload_too_large", "PayloadTooLarge", payload_too_large},
    Reason{"request.unsupported_media", "UnsupportedMedia", invalid_request},
    Reason{"request.rate_limited", "RateLimited", overloaded},
    Reason{"transport.cannot_connect", "Unavailable", unavailable},
    Reason{"transport.disconnected", "Unavailable", disconnected},
    Reason{"transport.connection_timeout", "DeadlineExceeded", deadline_exceeded, true},
    Reason{"backend.unknown", "Internal", internal},
    Reason{"backend.invalid_argument", "InvalidRequest", invalid_request},
    Reason{"backend.cannot_connect", "Unavailable", unavailable},
    Reason{"backend.disconnected", "Unavailable", disconnected},
    Reason{"backend.connection_timeout", "DeadlineExceeded", deadline_exceeded, true},
    Reason{"backend.response_timeout", "DeadlineExceeded", deadline_exceeded, true},
    Reason{"backend.cancelled", "Cancelled", cancelled},
    Reason{"backend.engine_shutdown", "Unavailable", draining},
    Reason{"backend.stream_incomplete", "Unavailable", disconnected},
    Reason{"backend.unavailable", "Unavailable", unavailable},
    Reason{"backend.worker_unavailable", "Unavailable", unavailable},
    Reason{"backend.protocol", "BackendProtocol", protocol},
    Reason{"capacity.pool_exhausted", "CapacityExhausted", overloaded},
    Reason{"capacity.worker_overloaded", "CapacityExhausted", overloaded},
    Reason{"capacity.exhausted", "CapacityExhausted", overloaded},
    Reason{"router.queue_deadline_exceeded", "DeadlineExceeded", deadline_exceeded},
};

/// The reason that a type stands for where there is none, as before 1.6.
struct Type {
    std::string_view name;
    std::string_view reason;          ///< of "X"
    std::string_view backend_reason;  ///< of {"Backend":"X"}
};
constexpr std::array types{
    Type{"Unknown", "runtime.unclassified", "backend.unknown"},
    Type{"InvalidArgument", "request.invalid_argument", "backend.invalid_argument"},
    Type{"CannotConnect", "transport.cannot_connect", "backend.cannot_connect"},
    Type{"Disconnected", "transport.disconnected", "backend.disconnected"},
    Type{"ConnectionTimeout", "transport.connection_timeout", "backend.connection_timeout"},
    Type{"ResponseTimeout", "backend.response_timeout", "backend.response_timeout"},
    Type{"Cancelled", "request.cancelled", "backend.cancelled"},
    Type{"EngineShutdown", "backend.engine_shutdown", "backend.engine_shutdown"},
    Type{"StreamIncomplete", "backend.stream_incomplete", "backend.stream_incomplete"},
    Type{"ResourceExhausted", "capacity.pool_exhausted", "capacity.pool_exhausted"},
    Type{"WorkerOverloaded", "capacity.worker_overloaded", "capacity.worker_overloaded"},
    Type{"Unavailable", "backend.unavailable", "backend.unavailable"},
    Type{"WorkerUnavailable", "backend.worker_unavailable", "backend.worker_unavailable"},
    Type{"NotImplemented", "runtime.not_implemented", "runtime.not_implemented"},
};

template <class Row, std::size_t n>
const Row* find(const std::array<Row, n>& rows, std::string_view name) noexcept {
    const auto* row = std::ranges::find(rows, name, &Row::name);
    return row == rows.end() ? nullptr : row;
}

constexpr const Reason& invalid_error = reasons[1];
constexpr const Reason& unclassified = reasons[0];

const Reason& reason_of_type(const ErrorObject& object) noexcept {
    const auto* type = find(types, object.type);
    if (type == nullptr) return unclassified;
    return *find(reasons, object.backend ? type->backend_reason : type->reason);
}

struct Meaning {
    ErrorCode code;
    bool retry;
    std::string_view reason;
};

Meaning meaning_of(const ErrorObject& object) noexcept {
    const auto of = [](const Reason& reason) {
        return Meaning{reason.code, reason.retry, reason.name};
    };
    const auto* given = object.reason.empty() ? nullptr : find(reasons, object.reason);
    if (!object.reason.empty() && given == nullptr) return of(invalid_error);
    if (object.error_class.empty()) return of(given != nullptr ? *given : reason_of_type(object));
    const auto* known = find(classes, object.error_class);
    if (known == nullptr) return of(invalid_error);
    // The original names the class of this one in two ways.
    const bool other = given != nullptr && given->error_class != object.error_class &&
                       !(given->code == protocol && known->code == internal);
    if (other) return of(invalid_error);
    if (given != nullptr) return of(*given);
    const auto& derived = reason_of_type(object);
    if (derived.error_class == object.error_class) return of(derived);
    return Meaning{known->code, false, {}};
}

/// At most max_error_text bytes, not ending inside a character.
std::string_view cut(std::string_view text) noexcept {
    if (text.size() <= max_error_text) return text;
    auto size = max_error_text;
    while (size > 0 && (static_cast<unsigned char>(text[size]) & 0xC0U) == 0x80) --size;
    return text.substr(0, size);
}

/// Fit to be written: what is not UTF-8 cannot be.
std::string writable(std::string_view text) {
    const auto part = cut(text);
    return is_utf8(part) ? std::string{part} : mux::clean_text(part);
}

/// Our own detail and context in the text that the original keeps for operators:
/// "[detail] message", then a line for each step of the context, innermost first. The message is
/// left out where it would not fit.
std::string write_diagnostic(const Error& error, std::string_view message) {
    if (error.detail().empty() && error.context().empty()) return std::string{message};
    std::string lines;
    for (const auto& line : error.context()) {
        lines += '\n';
        lines += line;
    }
    auto text = fmt::format("[{}]", error.detail());
    if (text.size() + 1 + message.size() + lines.size() <= max_error_text) {
        text += ' ';
        text += message;
    }
    return writable(text + lines);
}

bool is_detail(std::string_view text) noexcept {
    return text.size() <= mux::max_error_detail_size && std::ranges::all_of(text, [](char letter) {
               return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') ||
                      letter == '.' || letter == '_' || letter == '-';
           });
}

/// The reverse; an error unchanged if its diagnostic is not ours.
Error with_diagnostic(Error error, const ErrorObject& object) {
    auto text = cut(object.diagnostic);
    const auto end = text.find(']');
    if (!text.starts_with('[') || end == std::string_view::npos) return error;
    const auto detail = text.substr(1, end - 1);
    text.remove_prefix(end + 1);
    if (text.starts_with(' ') && text.substr(1).starts_with(object.message))
        text.remove_prefix(1 + object.message.size());
    if (!is_detail(detail) || !(text.empty() || text.starts_with('\n'))) return error;
    if (!detail.empty()) error = error.with_detail(std::string{detail});
    for (std::size_t lines = 0; !text.empty() && lines < mux::max_error_context; ++lines) {
        text.remove_prefix(1);
        const auto line = text.substr(0, std::min(text.find('\n'), text.size()));
        error = error.with_context(mux::clean_text(line));
        text.remove_prefix(line.size());
    }
    return error;
}

std::unique_ptr<ErrorObject> to_cause(const Error* cause, std::size_t depth);

ErrorObject to_object(const Error& error, std::size_t depth) {
    const auto& row = dynamo_error_names(error.code());
    ErrorObject object;
    object.type = row.type;
    object.backend = row.backend;
    object.error_class = row.error_class;
    object.reason = row.reason;
    object.message = writable(error.message());
    object.diagnostic = write_diagnostic(error, object.message);
    object.cause = to_cause(error.cause(), depth);
    return object;
}

// Recursion is bounded by max_error_causes.
std::unique_ptr<ErrorObject> to_cause(const Error* cause, std::size_t depth) {
    if (cause == nullptr || depth == max_error_causes) return nullptr;
    return std::make_unique<ErrorObject>(to_object(*cause, depth + 1));
}

}  // namespace

Error to_error(const ErrorObject& object) {
    const auto [code, retry, reason] = meaning_of(object);
    const auto detail = reason.empty() ? std::string_view{"dynamo.error"} : reason;
    Error error{code, std::string{detail}, mux::clean_text(cut(object.message))};
    if (retry) error = error.with_retryable(true);
    error = with_diagnostic(std::move(error), object);
    if (object.cause) error = error.with_cause(to_error(*object.cause));
    return error;
}

ErrorObject to_object(const Error& error) { return to_object(error, 0); }

std::string refusal_text(const Error& error) {
    // Word for word what the original says.
    if (error.code() == overloaded) return "Server overloaded: worker at capacity";
    if (error.code() == draining)
        return fmt::format("Server unavailable: draining: {}", writable(error.message()));
    return fmt::format("Server unavailable: {}", writable(error.message()));
}

std::string read_error_text(const Error& error) {
    return fmt::format("Read error: {}", error.message());
}

Error refusal_error(std::string_view text) {
    struct Form {
        std::string_view prefix;
        ErrorCode code;
        std::string_view detail;
    };
    constexpr std::array forms{
        Form{"Server overloaded:", overloaded, "dynamo.overloaded"},
        Form{"Server unavailable: unknown endpoint", unavailable, "dynamo.unknown_endpoint"},
        Form{"Unknown endpoint:", unavailable, "dynamo.unknown_endpoint"},
        Form{"Server unavailable: draining", draining, "dynamo.draining"},
        Form{"Server unavailable:", unavailable, "dynamo.unavailable"},
        Form{"Read error: message too large", payload_too_large, "dynamo.frame_too_large"},
    };
    auto shown = mux::clean_text(cut(text));
    for (const auto& form : forms) {
        if (text.starts_with(form.prefix))
            return Error{form.code, std::string{form.detail}, std::move(shown)};
    }
    return Error{unavailable, "dynamo.refused", std::move(shown)};
}

}  // namespace stator::transport::dynamo
