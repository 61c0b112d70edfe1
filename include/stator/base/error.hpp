// The one error type of stator: a class from a closed list that also travels on the wire.
#pragma once

#include <cstdint>
#include <exception>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace stator::inline base {

/// The closed list of error classes. The numbers are wire values (docs/protocol/mux.md): never
/// renumber.
enum class ErrorCode : std::uint8_t {
    invalid_request = 1,     ///< The request itself is wrong; sending it again cannot help.
    unauthenticated = 2,     ///< The caller is not known.
    permission_denied = 3,   ///< The caller is known and not allowed.
    not_found = 4,           ///< No such endpoint, instance, key.
    already_exists = 5,      ///< Create-if-absent found it present.
    payload_too_large = 6,   ///< A frame, message or document over its limit.
    overloaded = 7,          ///< At capacity; another instance may have room.
    unavailable = 8,         ///< Nobody there to ask, or nothing can be reached.
    draining = 9,            ///< The instance finishes its work and takes no more.
    cancelled = 10,          ///< The caller, or a token above, asked to end.
    deadline_exceeded = 11,  ///< The deadline passed before the answer came.
    disconnected = 12,       ///< The connection or the peer was lost after the call was accepted.
    protocol = 13,           ///< The peer broke the wire contract.
    unimplemented = 14,      ///< Known, and not offered here.
    internal = 15,           ///< A defect or an unclassified failure.
};

/// The wire and log name of a class, e.g. "deadline_exceeded".
std::string_view to_string(ErrorCode code) noexcept;

/// The class of that name; nothing for an unknown name.
std::optional<ErrorCode> error_code_from_name(std::string_view name) noexcept;

/// The class of that wire number; an unknown number (a newer peer) reads as `internal`.
ErrorCode error_code_from_wire(std::uint8_t number) noexcept;

/// Whether a fresh attempt, elsewhere or later, may succeed when nothing else is known:
/// true for overloaded, unavailable, draining, disconnected.
bool retryable_by_default(ErrorCode code) noexcept;

/// What went wrong: a class, a sentence, the layer's own detail, and the context it passed through.
///
/// A value over shared immutable state: copying never throws and costs one reference count.
/// Thread-safe to copy and read. Thrown by coroutines, carried by `std::expected` in pure code.
class Error : public std::exception {
public:
    Error(ErrorCode code, std::string message);
    /// `detail` is the layer's own short key, e.g. "mux.credit_violation"; it is logged, not routed
    /// on.
    Error(ErrorCode code, std::string detail, std::string message);

    ErrorCode code() const noexcept;
    const std::string& message() const noexcept;
    const std::string& detail() const noexcept;
    bool retryable() const noexcept;
    /// Outermost last: what was being done when the error passed.
    const std::vector<std::string>& context() const noexcept;
    /// The error that led to this one, if any.
    const Error* cause() const noexcept;

    /// A copy that also says what was being done, e.g. `.with_context("publishing
    /// v1/instances/a")`.
    [[nodiscard]] Error with_context(std::string doing) const;
    [[nodiscard]] Error with_cause(Error cause) const;
    [[nodiscard]] Error with_retryable(bool retryable) const;
    [[nodiscard]] Error with_detail(std::string detail) const;

    /// One line: "publishing a: not_found: no such folder (cause: ...)".
    const char* what() const noexcept override;

private:
    struct State;
    explicit Error(std::shared_ptr<const State> state) noexcept;
    std::shared_ptr<const State> state_;
};

template <class T>
using Result = std::expected<T, Error>;

inline std::unexpected<Error> fail(ErrorCode code, std::string message) {
    return std::unexpected<Error>{Error{code, std::move(message)}};
}

inline std::unexpected<Error> fail(ErrorCode code, std::string detail, std::string message) {
    return std::unexpected<Error>{Error{code, std::move(detail), std::move(message)}};
}

/// What `exception` is as an Error: itself, or `internal` with its what(). Never throws its
/// argument on.
Error to_error(std::exception_ptr exception) noexcept;

}  // namespace stator::inline base
