// The header-only messages of Dynamo's response plane: handshake, prologue and single words.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "transport/dynamo_control.hpp"
#include "transport/dynamo_error.hpp"
#include "transport/dynamo_writer.hpp"

namespace stator::transport::dynamo {

/// The first message of a worker on a connection that it opened.
struct Handshake {
    std::string subject;  ///< of the ConnectionInfo
    StreamType stream_type = StreamType::response;
    friend bool operator==(const Handshake&, const Handshake&) = default;
};

/// `header` of the message. Errors: protocol "dynamo.bad_handshake".
Result<Handshake> read_handshake(const Bytes& header);
void put_handshake(Output& out, std::string_view subject, StreamType type);

/// Whether a stream follows, or why not. The second message of a worker on a response stream.
struct Prologue {
    std::optional<std::string> failure;
    std::optional<ErrorObject> typed;

    /// The failure in our terms: the typed error itself if the request is to blame, else
    /// unavailable "dynamo.prologue" with that error as the cause, as in the original.
    std::optional<Error> error() const;
};

/// `header` of the message. Errors: protocol "dynamo.bad_prologue".
Result<Prologue> read_prologue(const Bytes& header);
/// A stream follows.
void put_prologue(Output& out);
/// None does. Routers put the instance aside for it unless the request is to blame; a prologue
/// without an error and an error item behind it let them tell all errors apart.
void put_failed_prologue(Output& out, const Error& error);

/// Messages that are one word.
enum class Word : std::uint8_t {
    sentinel,  ///< Nothing more comes: the end of a stream, complete or not.
    stop,      ///< Finish politely.
    kill,      ///< End now.
};

/// Errors: protocol "dynamo.bad_word" for any other header.
Result<Word> read_word(const Bytes& header);
void put_word(Output& out, Word word);

}  // namespace stator::transport::dynamo
