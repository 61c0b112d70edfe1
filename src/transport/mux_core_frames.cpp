// Frames received: which they are, whether they may come now, and what the small ones do.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "stator/transport/mux_error.hpp"
#include "transport/mux_core.hpp"

namespace stator::transport {

using mux::FrameHeader;
using mux::FrameType;
using mux::Stream;

namespace {

/// A fragment of which that much is missing is received straight into its place.
constexpr std::size_t direct_from = 4096;

}  // namespace

CancelReason cancel_reason_from_wire(std::uint8_t number) noexcept {
    const auto last = static_cast<std::uint8_t>(CancelReason::peer_gone);
    return number >= 1 && number <= last ? static_cast<CancelReason>(number)
                                         : CancelReason::requested;
}

void MuxSession::Core::parse() {
    while (state != State::closed && !input.directing()) {
        if (skip > 0) {
            const auto part = std::min(skip, input.size());
            input.consume(part);
            skip -= part;
            if (skip > 0) return;
        }
        if (!(state == State::preface ? take_preface() : take_frame())) return;
    }
}

/// False when it has to wait for more.
bool MuxSession::Core::take_frame() {
    if (input.size() < mux::frame_header_size) {
        input.make_room(mux::frame_header_size);
        return false;
    }
    const auto header = FrameHeader::decode(input.data());
    if (!header_is_good(header)) return false;
    const auto whole = mux::frame_header_size + header.length;
    if (input.size() < whole) return begin_partial(header);
    const auto* payload = input.data() + mux::frame_header_size;
    input.consume(whole);
    ++frames_in;
    dispatch(header, payload);
    return true;
}

/// The error of a frame that must carry one.
Result<Error> MuxSession::Core::error_in(
    std::span<const std::byte> payload, std::string_view frame_name
) {
    auto decoded = mux::decode_error(payload);
    if (!decoded) return std::unexpected{std::move(decoded).error()};
    if (auto error = std::move(*decoded)) return *std::move(error);
    return stator::fail(
        ErrorCode::protocol, "mux.bad_error", fmt::format("{} frame of class 0", frame_name)
    );
}

bool MuxSession::Core::header_is_good(const FrameHeader& header) {
    const bool greeting = header.type == static_cast<std::uint8_t>(FrameType::hello) ||
                          header.type == static_cast<std::uint8_t>(FrameType::goodbye);
    const auto most = state == State::ready ? config.max_frame : mux::max_frame_before_hello;
    if (state == State::hello && !greeting) {
        protocol_error(
            "mux.expected_hello", fmt::format("the first frame has type {:#04x}", header.type)
        );
    } else if (header.length > most) {
        protocol_error(
            "mux.frame_too_large",
            fmt::format("a frame of {} bytes, at most {} are accepted", header.length, most)
        );
    } else if (const auto detail = mux::check_frame_header(header); !detail.empty()) {
        protocol_error(
            detail,
            fmt::format(
                "frame type {:#04x} flags {:#04x} length {} stream {}",
                header.type,
                header.flags,
                header.length,
                header.stream
            )
        );
    } else if (!may_send(static_cast<FrameType>(header.type))) {
        protocol_error(
            "mux.unexpected_frame",
            fmt::format("frame type {:#04x} is not the peer's to send", header.type)
        );
    } else {
        return true;
    }
    return false;
}

bool MuxSession::Core::may_send(FrameType type) const noexcept {
    switch (type) {
        case FrameType::open:
        case FrameType::stop:
        case FrameType::kill:
            return role == MuxRole::acceptor;
        case FrameType::accept:
        case FrameType::error:
            return role == MuxRole::dialler;
        default:
            return true;
    }
}

/// The frame at the front is incomplete. True if it was dealt with so far and parsing goes on.
bool MuxSession::Core::begin_partial(const FrameHeader& header) {
    const auto here = input.size() - mux::frame_header_size;
    const auto missing = header.length - here;
    if (header.type >= mux::first_extension_type) {
        ++frames_in;
        input.consume(mux::frame_header_size + here);
        skip = missing;
        return false;
    }
    const bool fragment =
        header.type == static_cast<std::uint8_t>(FrameType::data) &&
        ((header.flags & mux::flag_more) != 0 || (header.flags & mux::flag_message) == 0);
    if (fragment && missing >= direct_from) {
        if (here >= mux::size_announcement) return begin_direct(header);
        input.make_room(mux::frame_header_size + mux::size_announcement);
        return false;
    }
    input.make_room(mux::frame_header_size + header.length);
    return false;
}

void MuxSession::Core::dispatch(const FrameHeader& header, const std::byte* payload) {
    const std::span<const std::byte> bytes{payload, header.length};
    switch (static_cast<FrameType>(header.type)) {
        case FrameType::data:
            return take_data(header, payload);
        case FrameType::open:
            return take_open(header, payload);
        case FrameType::hello:
            return take_hello(header, bytes);
        case FrameType::goodbye:
            return take_goodbye(bytes);
        case FrameType::ping:
            return take_ping(payload);
        case FrameType::pong:
            return take_pong(payload);
        case FrameType::drain:
            return take_drain(bytes);
        case FrameType::credit:
            if (mux::load<std::uint32_t>(payload) == 0) {
                return protocol_error("mux.bad_frame", "a CREDIT of nothing");
            }
            if (header.stream == 0) {
                return take_connection_credit(mux::load<std::uint32_t>(payload));
            }
            break;
        default:
            break;
    }
    if (header.type < mux::first_extension_type) take_stream_frame(header, bytes);
}

void MuxSession::Core::take_stream_frame(
    const FrameHeader& header, std::span<const std::byte> payload
) {
    auto* stream = live_stream(header.stream);
    if (stream == nullptr) {
        ++dropped_frames;
        return;
    }
    if (stream->released) return take_released(*stream, header, payload.data());
    const auto reason = [&] {
        return cancel_reason_from_wire(mux::load<std::uint8_t>(payload.data()));
    };
    switch (static_cast<FrameType>(header.type)) {
        case FrameType::accept:
            return take_accept(*stream);
        case FrameType::end:
            return take_end(*stream);
        case FrameType::error:
            return take_error(*stream, (header.flags & mux::flag_refused) != 0, payload);
        case FrameType::stop:
            return take_stop(*stream, reason());
        case FrameType::kill:
            return take_kill(*stream, reason());
        case FrameType::reset:
            return take_reset(*stream, payload);
        default:
            return take_stream_credit(*stream, mux::load<std::uint32_t>(payload.data()));
    }
}

/// A stream whose owner has left its answer behind: only what concerns the answer counts.
void MuxSession::Core::take_released(
    Stream& stream, const FrameHeader& header, const std::byte* payload
) {
    const auto type = static_cast<FrameType>(header.type);
    if (type == FrameType::credit) {
        take_stream_credit(stream, mux::load<std::uint32_t>(payload));
    } else if (type == FrameType::kill || type == FrameType::reset) {
        over(stream);
    }
}

Stream* MuxSession::Core::live_stream(StreamId id) {
    auto* stream = streams.find(id);
    if (stream != nullptr) return stream->over ? nullptr : stream;
    if (id > highest) {
        protocol_error("mux.unknown_stream", fmt::format("stream {} was never opened", id));
    }
    return nullptr;
}

void MuxSession::Core::take_accept(Stream& stream) {
    if (stream.accepted) {
        return violate(
            stream, ErrorCode::protocol, "mux.unexpected_accept", "the call was accepted before"
        );
    }
    stream.accepted = true;
    handler.on_accept(stream.id, stream.context);
}

void MuxSession::Core::take_end(Stream& stream) {
    const bool one =
        role == MuxRole::acceptor ? one_request(stream.shape) : one_response(stream.shape);
    if (stream.received_end) {
        return violate(
            stream, ErrorCode::protocol, "mux.data_after_end", "the stream was ended before"
        );
    }
    if (stream.assembly_size > 0) {
        return violate(
            stream, ErrorCode::protocol, "mux.bad_fragment", "the stream ended inside a message"
        );
    }
    if (one && !stream.received_message) {
        return violate(
            stream,
            ErrorCode::protocol,
            "mux.missing_message",
            "the stream ended without its message"
        );
    }
    stream.received_end = true;
    if (role == MuxRole::dialler) {
        stream.accepted = true;
        over(stream);
    }
    handler.on_end(stream.id, stream.context);
}

void MuxSession::Core::take_error(
    Stream& stream, bool refused, std::span<const std::byte> payload
) {
    const auto error = error_in(payload, "an ERROR");
    const bool late = refused && stream.accepted;
    over(stream);
    if (!error || late) {
        const Error late_refusal{
            ErrorCode::protocol, "mux.late_refusal", "the call was refused after it was accepted"
        };
        return report_violation(
            stream.id, error ? late_refusal.with_cause(*error) : error.error(), CallFate::accepted
        );
    }
    report_end(stream, *error, refused ? CallFate::refused : CallFate::accepted);
}

void MuxSession::Core::take_stop(Stream& stream, CancelReason reason) {
    if (std::exchange(stream.stop_seen, true)) return;
    handler.on_stop(stream.id, stream.context, reason);
}

void MuxSession::Core::take_kill(Stream& stream, CancelReason reason) {
    over(stream);
    handler.on_kill(stream.id, stream.context, reason);
}

void MuxSession::Core::take_reset(Stream& stream, std::span<const std::byte> payload) {
    const auto error = error_in(payload, "a RESET");
    const auto fate = stream.accepted ? CallFate::accepted : CallFate::not_accepted;
    over(stream);
    if (!error) return report_violation(stream.id, error.error(), fate);
    report_end(stream, *error, fate);
}

void MuxSession::Core::take_stream_credit(Stream& stream, std::uint32_t amount) {
    stream.credit += amount;
    if (stream.credit > mux::max_balance) {
        return violate(
            stream, ErrorCode::protocol, "mux.credit_overflow", "more credit than can be counted"
        );
    }
    if (!stream.out_pending) return;
    enqueue(stream);
    pump();
}

void MuxSession::Core::take_connection_credit(std::uint32_t amount) {
    credit += amount;
    if (credit > mux::max_balance) {
        return protocol_error("mux.credit_overflow", "more credit than can be counted");
    }
    pump();
}

void MuxSession::Core::violate(
    Stream& stream, ErrorCode code, std::string_view detail, std::string message
) {
    const Error error{code, std::string{detail}, std::move(message)};
    error_frame(FrameType::reset, 0, stream.id, &error);
    const auto fate = stream.accepted ? CallFate::accepted : CallFate::not_accepted;
    over(stream);
    report_violation(stream.id, error, fate);
}

void MuxSession::Core::report_violation(StreamId id, const Error& error, CallFate fate) {
    ++violations;
    handler.on_violation(id, error.detail());
    if (auto* stream = streams.find(id); stream != nullptr) report_end(*stream, error, fate);
}

void MuxSession::Core::report_end(Stream& stream, const Error& error, CallFate fate) {
    if (stream.released) return;
    if (role == MuxRole::dialler) {
        handler.on_error(stream.id, stream.context, error, fate);
    } else {
        handler.on_reset(stream.id, stream.context, error);
    }
}

}  // namespace stator::transport
