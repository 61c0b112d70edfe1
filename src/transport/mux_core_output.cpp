// Messages and frames sent: under credit, in turn, small ones copied and large ones referred to.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <utility>

#include "stator/transport/mux_error.hpp"
#include "transport/mux_core.hpp"

namespace stator::transport {

using mux::FrameHeader;
using mux::FrameType;
using mux::Stream;

std::byte* MuxSession::Core::frame(
    FrameType type, std::uint8_t flags, StreamId id, std::size_t length
) {
    auto* at = output.extend(mux::frame_header_size + length);
    FrameHeader{static_cast<std::uint32_t>(length), static_cast<std::uint8_t>(type), flags, 0, id}
        .encode(at);
    ++frames_out;
    return at + mux::frame_header_size;
}

void MuxSession::Core::error_frame(
    FrameType type, std::uint8_t flags, StreamId id, const Error* error
) {
    const auto block = mux::encode_error(error);
    std::ranges::copy(block, frame(type, flags, id, block.size()));
}

SendStatus MuxSession::Core::send(
    StreamId id, Bytes* owned, std::span<const std::byte> message, bool end
) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || stream->sent_end) return SendStatus::gone;
    assert(!stream->out_pending && "send before on_writable");
    const bool one =
        role == MuxRole::dialler ? one_request(stream->shape) : one_response(stream->shape);
    if (stream->out_pending || (one && stream->sent_message)) return SendStatus::gone;
    if (message.size() > peer.max_message) return SendStatus::too_large;
    stream->sent_message = true;
    stream->sent_end = end;
    if (sends_at_once(*stream, message.size())) {
        const auto flags = mux::flag_message | (end ? mux::flag_end : 0);
        write_data(*stream, static_cast<std::uint8_t>(flags), 0, owned, message);
        if (end) half_closed(*stream);
        return SendStatus::more;
    }
    hold_output(*stream, owned != nullptr ? std::move(*owned) : Bytes::copy_of(message), end);
    return advance(*stream) ? SendStatus::more : SendStatus::wait;
}

bool MuxSession::Core::sends_at_once(const Stream& stream, std::size_t size) const noexcept {
    const auto charge = static_cast<std::int64_t>(size + mux::message_overhead);
    return sending.empty() && output.size() < config.output_limit && size <= max_piece &&
           charge <= stream.credit && charge <= credit;
}

void MuxSession::Core::write_data(
    Stream& stream,
    std::uint8_t flags,
    std::uint64_t announced,
    const Bytes* owner,
    std::span<const std::byte> piece
) {
    const std::size_t prefix = announced > 0 ? mux::size_announcement : 0;
    const bool refer = owner != nullptr && piece.size() >= mux::reference_from;
    const auto copied = prefix + (refer ? 0 : piece.size());
    auto* at = output.extend(mux::frame_header_size + copied);
    const auto length = static_cast<std::uint32_t>(prefix + piece.size());
    FrameHeader{length, static_cast<std::uint8_t>(FrameType::data), flags, 0, stream.id}.encode(at);
    at += mux::frame_header_size;
    if (prefix > 0) mux::store(at, announced);
    if (refer) {
        output.refer(
            owner->slice(static_cast<std::size_t>(piece.data() - owner->data()), piece.size())
        );
    } else if (!piece.empty()) {
        std::memcpy(at + prefix, piece.data(), piece.size());
    }
    const auto overhead = (flags & mux::flag_message) != 0 ? mux::message_overhead : 0;
    const auto charge = static_cast<std::int64_t>(piece.size() + overhead);
    stream.credit -= charge;
    credit -= charge;
    ++frames_out;
    implied_accept(stream);
}

void MuxSession::Core::hold_output(Stream& stream, Bytes message, bool end) {
    stream.out = std::move(message);
    stream.out_sent = 0;
    stream.out_pending = true;
    stream.out_begun = false;
    stream.out_end = end;
}

/// Writes as much of the stream's message as one frame and the credit take.
MuxSession::Core::Step MuxSession::Core::write_fragment(Stream& stream) {
    const auto left = stream.out.size() - stream.out_sent;
    const std::int64_t overhead = stream.out_begun ? 0 : mux::message_overhead;
    const auto affordable = std::min(stream.credit, credit) - overhead;
    auto size = std::min(left, max_piece);
    if (affordable < static_cast<std::int64_t>(size)) {
        if (affordable < static_cast<std::int64_t>(mux::least_fragment)) {
            return stream.credit <= credit ? Step::stream_blocked : Step::connection_blocked;
        }
        size = static_cast<std::size_t>(affordable);
    }
    const bool last = size == left;
    unsigned flags = last ? (stream.out_end ? mux::flag_end : 0U) : mux::flag_more;
    std::uint64_t announced = 0;
    if (!std::exchange(stream.out_begun, true)) {
        flags |= mux::flag_message;
        if (!last) announced = stream.out.size();
    }
    const auto piece = stream.out.span().subspan(stream.out_sent, size);
    stream.out_sent += size;
    write_data(stream, static_cast<std::uint8_t>(flags), announced, &stream.out, piece);
    return last ? Step::done : Step::moved;
}

/// Sends of a message that was just given what can be sent now. True if all of it.
bool MuxSession::Core::advance(Stream& stream) {
    while (sending.empty() && output.size() < config.output_limit) {
        const auto step = write_fragment(stream);
        if (step == Step::done) {
            finish_output(stream);
            return true;
        }
        if (step == Step::stream_blocked) return false;
        if (step == Step::connection_blocked) break;
    }
    enqueue(stream);
    return false;
}

void MuxSession::Core::enqueue(Stream& stream) {
    if (std::exchange(stream.queued, true)) return;
    sending.push(stream.id);
}

/// The message being sent has left completely.
void MuxSession::Core::finish_output(Stream& stream) {
    stream.out = Bytes{};
    stream.out_pending = false;
    if (stream.out_error != nullptr) {
        const auto error = std::move(stream.out_error);
        error_frame(FrameType::error, 0, stream.id, error.get());
        over(stream);
    } else if (stream.out_end) {
        half_closed(stream);
    }
}

void MuxSession::Core::half_closed(Stream& stream) {
    if (role == MuxRole::acceptor) over(stream);
}

void MuxSession::Core::implied_accept(Stream& stream) noexcept {
    if (role == MuxRole::dialler) return;
    stream.accepted = true;
    stream.accept_due = false;
}

/// Lets streams that wait send in turn, one fragment each, as far as credit and room go.
void MuxSession::Core::pump() {
    pump_wanted = false;
    while (!sending.empty() && output.size() < config.output_limit && state == State::ready) {
        const auto id = sending.front();
        auto* stream = streams.find(id);
        if (stream == nullptr || !stream->out_pending) {
            sending.pop();
            if (stream != nullptr) stream->queued = false;
            continue;
        }
        const auto step = write_fragment(*stream);
        if (step == Step::connection_blocked) return;
        sending.pop();
        stream->queued = false;
        if (step == Step::moved) enqueue(*stream);
        if (step != Step::done) continue;
        finish_output(*stream);
        if (!stream->sent_end) handler.on_writable(id, stream->context);
    }
}

bool MuxSession::Core::has_output() const noexcept {
    if (!output.empty()) return true;
    return state != State::closed && (pong_due || pump_wanted || !accepts.empty() ||
                                      !credits.empty() || ledger.connection_due() > 0);
}

/// Forms the frames that are put off until the end of a turn.
void MuxSession::Core::end_turn() {
    if (state != State::ready) return;
    if (pump_wanted) pump();
    if (!ghosts.empty()) bury();
    if (std::exchange(pong_due, false)) {
        std::ranges::copy(pong, frame(FrameType::pong, 0, 0, pong.size()));
    }
    for (const auto id : accepts) {
        auto* stream = streams.find(id);
        if (stream == nullptr || !std::exchange(stream->accept_due, false) || stream->over)
            continue;
        stream->accepted = true;
        frame(FrameType::accept, 0, id, 0);
    }
    accepts.clear();
    ledger.settle();
    // A peer that does not read gets no more credit than the last that it was told of.
    if (output.size() < config.output_limit + config.fragment) write_credits();
}

void MuxSession::Core::write_credits() {
    if (const auto amount = ledger.connection_due(); amount > 0) {
        ledger.give(amount);
        mux::store(frame(FrameType::credit, 0, 0, 4), amount);
    }
    for (const auto id : credits) {
        auto* stream = streams.find(id);
        if (stream == nullptr || !std::exchange(stream->credit_listed, false)) continue;
        if (stream->over || stream->received_end || stream->released) continue;
        const auto amount = ledger.stream_due(stream->in);
        if (amount == 0) continue;
        mux::Ledger::give(stream->in, amount);
        mux::store(frame(FrameType::credit, 0, id, 4), amount);
    }
    credits.clear();
}

void MuxSession::Core::written(std::size_t size, TimePoint at) {
    now = at;
    output.written(size);
    if (state != State::ready) return;
    if (!sending.empty()) pump();
    if (!ghosts.empty()) bury();
    if (congested && output.size() < config.output_limit) {
        congested = false;
        handler.on_uncongested();
    }
}

}  // namespace stator::transport
