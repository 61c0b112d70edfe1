// What comes in on Dynamo's TCP planes, cut into frames: requests, acknowledgements, two-part
// messages.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "transport/dynamo_wire.hpp"
#include "transport/mux_input.hpp"

namespace stator::transport::dynamo {

/// One request frame. The views point into `frame`, which keeps them alive.
struct RequestFrame {
    Bytes frame;
    std::string_view path;
    std::string_view headers;  ///< JSON text, see read_headers; empty: none
    Bytes payload;             ///< a two-part message, see split_message
};

/// A two-part message. An empty part is an absent one; both may be.
struct Message {
    Bytes header;
    Bytes body;
};

/// The message that `payload` is exactly, e.g. that of a request. Errors: protocol
/// "dynamo.bad_frame" if its lengths do not add up. The checksum is not looked at, as the original
/// does.
Result<Message> split_message(const Bytes& payload);

/// What the readers below share: where bytes go. The loop of their owner is
///
///     for (;;) { while (auto frame = next()) {...}  read into space(); received(n); }
///
/// Frames are slices of the receive blocks. A small block serves until a read has filled one; a
/// frame beyond the size of a block gets a block of its own, in two steps if it is very large, so
/// that an announced size alone costs little.
class FrameInput {
public:
    /// Where the next bytes go: fills one or two vectors (readv), returns how many. Valid until the
    /// next call. Precondition: next() has returned nothing since the last `received` or `feed`.
    std::size_t space(std::array<iovec, 2>& vectors);
    /// `size` bytes were read into space.
    void received(std::size_t size) noexcept;
    /// Bytes that were read elsewhere, e.g. to sniff the protocol. Copies them.
    void feed(std::span<const std::byte> bytes);
    /// Bytes received that belong to no frame yet.
    std::size_t pending() const noexcept { return input_.size(); }

protected:
    FrameInput() = default;
    const std::byte* data() const noexcept { return input_.data(); }
    std::nullopt_t need(std::size_t size);
    Bytes take(std::size_t size);

private:
    mux::Input input_{(64U << 10U) - sizeof(Buffer)};
    std::size_t offered_ = 0;
};

/// The worker's side of a request connection.
class RequestReader : public FrameInput {
public:
    /// `max_frame` bounds the whole frame, as the original's DYN_TCP_MAX_MESSAGE_SIZE.
    explicit RequestReader(std::size_t max_frame = default_max_request) noexcept
        : max_frame_{max_frame} {}

    /// The next complete frame, nothing if more bytes are needed. Errors: protocol
    /// "dynamo.bad_frame" (a path of no or more than max_path_size bytes), payload_too_large
    /// "dynamo.frame_too_large"; the connection is of no use afterwards, and read_error_text gives
    /// the acknowledgement that tells the client why.
    Result<std::optional<RequestFrame>> next();

private:
    std::size_t max_frame_;
};

struct MessageLimits {
    std::size_t header = default_max_header;
    std::size_t body = default_max_item;
};

/// Either side of a connection of the response plane.
class MessageReader : public FrameInput {
public:
    explicit MessageReader(MessageLimits limits = {}) noexcept : limits_{limits} {}

    /// For the frames from here on: until a peer has said what it wants, little is enough.
    void limit(MessageLimits limits) noexcept { limits_ = limits; }
    /// The next complete message, nothing if more bytes are needed. Errors: payload_too_large
    /// "dynamo.frame_too_large"; the connection is of no use afterwards.
    Result<std::optional<Message>> next();

private:
    MessageLimits limits_;
};

/// The client's side of a request connection: acknowledgements, in the order of the requests.
class AckReader {
public:
    /// Copies; feed no more before next() has returned nothing.
    void feed(std::span<const std::byte> bytes);
    /// The text of the next one: empty is an acceptance, everything else a refusal (refusal_error
    /// reads it). Nothing: more bytes are needed. Errors: protocol "dynamo.bad_ack" for a text
    /// beyond max_ack_size; the connection is of no use afterwards.
    Result<std::optional<std::string>> next();

private:
    std::string pending_;
    std::size_t begin_ = 0;
};

}  // namespace stator::transport::dynamo
