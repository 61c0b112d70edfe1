// What comes in on Dynamo's TCP planes, cut into frames: requests, acknowledgements, two-part
// messages.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stator/base/bytes.hpp"
#include "stator/base/error.hpp"
#include "stator/transport/buffer_budget.hpp"
#include "transport/dynamo_wire.hpp"
#include "transport/mux_input.hpp"

namespace stator::transport::dynamo {

/// One request frame. The views point into `frame`, which keeps them alive.
struct RequestFrame {
    Bytes frame;
    std::string_view path;
    std::string_view headers;  ///< JSON text, see read_headers; empty: none
    Bytes payload;             ///< a two-part message, see split_message
    Reservation booked{};      ///< of a large one, for as long as nobody has taken it
    /// The process has no memory left for so large a payload: there is none.
    bool dropped = false;
};

/// A two-part message. An empty part is an absent one; both may be.
struct Message {
    Bytes header;
    Bytes body;
    Reservation booked{};  ///< of a large one, for as long as nobody has taken it
};

/// What the large messages of one stream have booked, until its reader has taken them.
class BookedMessages {
public:
    /// The next message waits for its reader.
    void put(Reservation booked) {
        ++put_;
        if (booked.size() > 0) large_.push_back({put_, std::move(booked)});
    }
    /// The oldest one was taken.
    void taken() noexcept {
        ++taken_;
        if (!large_.empty() && large_.front().number <= taken_) large_.erase(large_.begin());
    }

private:
    struct Large {
        std::uint64_t number;
        Reservation booked;
    };
    std::vector<Large> large_;  // a reader is not let far ahead, so there are few
    std::uint64_t put_ = 0;
    std::uint64_t taken_ = 0;
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
/// that an announced size alone costs little. Such a frame is booked when it is announced: with a
/// budget, as many are let in as the process has memory for.
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
    explicit FrameInput(std::shared_ptr<BufferBudget> budget) noexcept
        : budget_{std::move(budget)} {}
    /// The largest frame that can ever be afforded.
    std::size_t most_affordable() const noexcept;
    /// Books the frame of that size which has begun, if it is large. False: not now.
    bool afford(std::size_t size);
    /// What is booked for the frame that has come.
    Reservation take_booking() noexcept { return std::exchange(booked_, {}); }
    void drop(std::size_t size) noexcept { input_.consume(size); }
    const std::byte* data() const noexcept { return input_.data(); }
    std::nullopt_t need(std::size_t size);
    Bytes take(std::size_t size);

private:
    static constexpr std::size_t block_size = (64U << 10U) - sizeof(Buffer);
    mux::Input input_{block_size};
    std::shared_ptr<BufferBudget> budget_;
    Reservation booked_;
    std::size_t offered_ = 0;
};

/// The worker's side of a request connection.
class RequestReader : public FrameInput {
public:
    /// `max_frame` bounds the whole frame, as the original's DYN_TCP_MAX_MESSAGE_SIZE.
    explicit RequestReader(
        std::size_t max_frame = default_max_request, std::shared_ptr<BufferBudget> budget = {}
    ) noexcept
        : FrameInput{std::move(budget)}, max_frame_{max_frame} {}

    /// The next complete frame, nothing if more bytes are needed. Errors: protocol
    /// "dynamo.bad_frame" (a path of no or more than max_path_size bytes), payload_too_large
    /// "dynamo.frame_too_large"; the connection is of no use afterwards, and read_error_text gives
    /// the acknowledgement that tells the client why. A frame that cannot be afforded comes as soon
    /// as that is known, `dropped`; what follows of it is read and thrown away.
    Result<std::optional<RequestFrame>> next();
    /// Bytes of a frame that is not complete: 0 between two of them.
    std::size_t begun() const noexcept { return pending() + thrown_away_; }

private:
    bool throw_away() noexcept;

    std::size_t max_frame_;
    std::size_t to_throw_away_ = 0;
    std::size_t thrown_away_ = 0;  // of the same frame
};

struct MessageLimits {
    std::size_t header = default_max_header;
    std::size_t body = default_max_item;
};

/// Either side of a connection of the response plane.
class MessageReader : public FrameInput {
public:
    explicit MessageReader(
        MessageLimits limits = {}, std::shared_ptr<BufferBudget> budget = {}
    ) noexcept
        : FrameInput{std::move(budget)}, limits_{limits} {}

    /// For the frames from here on: until a peer has said what it wants, little is enough.
    void limit(MessageLimits limits) noexcept { limits_ = limits; }
    /// The next complete message, nothing if more bytes are needed. Errors: payload_too_large
    /// "dynamo.frame_too_large"; the connection is of no use afterwards.
    Result<std::optional<Message>> next();
    /// `next` has nothing because the process has no memory left for so large a message: read
    /// nothing, and call it again in a while.
    bool starved() const noexcept { return starved_; }

private:
    MessageLimits limits_;
    bool starved_ = false;
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
