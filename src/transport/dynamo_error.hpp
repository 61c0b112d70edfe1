// Errors on Dynamo's planes: the objects in items and prologues, the texts of refusals, and which
// of our error classes each of them is. The tables are in docs/protocol/dynamo-tcp.md.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator {
inline namespace codec {
class ValueReader;
class ValueWriter;
}  // namespace codec
}  // namespace stator

namespace stator::transport::dynamo {

/// What a worker may tell the user of a service.
struct PublicDetails {
    std::string type;  ///< "message", "size_limit", "context_length", "rate_limit"
    std::optional<std::string> message;
    std::optional<std::uint64_t> limit;
    std::optional<std::uint64_t> actual;
    std::optional<std::uint64_t> remaining;
};

/// An error object as it is on the wire. Whatever a peer leaves out is empty here.
struct ErrorObject {
    std::string type;      ///< of `error_type`, either "X" or {"Backend":"X"}
    bool backend = false;  ///< the latter
    std::string error_class;
    std::string reason;
    std::string message;
    std::string diagnostic;
    std::optional<PublicDetails> details;
    std::unique_ptr<ErrorObject> cause;
};

/// How deep a chain of causes is read and written.
inline constexpr std::size_t max_error_causes = 8;
/// Bytes of a message or a diagnostic that are written and kept.
inline constexpr std::size_t max_error_text = 4096;

/// What `object` says in our terms. The class counts more than the type; without a reason the type
/// tells more; a class or reason that is unknown, or a reason of another class, makes it internal,
/// as in the original. The detail is the one that our own worker gave, else the reason. Control
/// characters and bad UTF-8 in texts become '?'.
Error to_error(const ErrorObject& object);
/// What a worker writes for `error`: a real router reacts to it as to one of its own kind. Code,
/// message, detail, context and causes survive the way to another stator.
ErrorObject to_object(const Error& error);

/// Reads an object of any version. Values of an unexpected kind read as absent; only what is no
/// value at all fails, with the errors of ValueReader.
Result<ErrorObject> read_error(ValueReader& in);
void write_error(ValueWriter& out, const ErrorObject& object);

/// The text of an acknowledgement that refuses a request because of `error`. It begins as one of
/// the two that clients know: "Server overloaded:" makes them try elsewhere, "Server unavailable:"
/// makes them put the instance aside as well. (Any other text they would take for an acceptance.)
std::string refusal_text(const Error& error);
/// The text that answers a frame that could not be read, before the connection is closed.
std::string read_error_text(const Error& error);
/// What an acknowledgement that is not empty means: overloaded, draining, payload_too_large, or
/// unavailable. Its text is kept in the message.
Error refusal_error(std::string_view text);

}  // namespace stator::transport::dynamo
