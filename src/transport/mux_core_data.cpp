// Messages received: OPEN and DATA, their credit, and how fragments are put together.
#include <algorithm>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "transport/mux_core.hpp"

namespace stator::transport {

using mux::FrameHeader;
using mux::FrameType;
using mux::Stream;

/// Splits what follows a head or a DATA header; closes the connection if that is impossible.
bool MuxSession::Core::read_piece(
    std::uint8_t flags, const std::byte* data, std::size_t size, Piece& piece
) {
    piece.flags = flags;
    if (piece.begins() && piece.goes_on()) {
        if (size < mux::size_announcement) {
            protocol_error("mux.bad_frame", "a fragment without the size of its message");
            return false;
        }
        piece.announced = mux::load<std::uint64_t>(data);
        data += mux::size_announcement;
        size -= mux::size_announcement;
    }
    piece.data = data;
    piece.size = size;
    return true;
}

bool MuxSession::Core::covered(const Piece& piece) {
    if (ledger.covers(piece.charge())) return true;
    protocol_error("mux.credit_violation", "more was sent than the connection's credit allows");
    return false;
}

std::optional<MuxSession::Core::Defect> MuxSession::Core::defect(
    const Stream& stream, const Piece& piece
) const noexcept {
    using enum ErrorCode;
    const bool one =
        role == MuxRole::acceptor ? one_request(stream.shape) : one_response(stream.shape);
    const bool inside = stream.assembly_size > 0;
    const auto fragment = [](std::string_view why) {
        return Defect{protocol, "mux.bad_fragment", why};
    };
    if (stream.received_end) return Defect{protocol, "mux.data_after_end", "the half was closed"};
    if (inside && piece.begins()) return fragment("a message begins inside another");
    if (!inside && !piece.begins()) return fragment("no message is incomplete");
    if (piece.begins() && one && stream.received_message) {
        return Defect{protocol, "mux.too_many_messages", "this half has one message"};
    }
    const auto whole = piece.announced > 0 ? piece.announced : piece.size;
    if (piece.begins() && whole > config.max_message) {
        return Defect{payload_too_large, "mux.message_too_large", "above max_message"};
    }
    if (static_cast<std::int64_t>(piece.charge()) > stream.in.balance) {
        return Defect{protocol, "mux.credit_violation", "more than the stream's credit allows"};
    }
    if (piece.begins() && !piece.goes_on()) return std::nullopt;
    const auto total = piece.begins() ? piece.announced : stream.assembly_size;
    const auto why = misfit(piece, stream.assembly_filled + piece.size, total);
    if (why.empty()) return std::nullopt;
    return fragment(why);
}

/// What is wrong with a fragment after which `filled` of `total` bytes are there; empty: nothing.
std::string_view MuxSession::Core::misfit(
    const Piece& piece, std::uint64_t filled, std::uint64_t total
) noexcept {
    if (!piece.goes_on())
        return filled == total ? "" : "the fragments do not have the announced size";
    if (piece.size == 0) return "an empty fragment";
    return filled < total ? "" : "more fragments than the announced size allows";
}

void MuxSession::Core::take_open(const FrameHeader& header, const std::byte* payload) {
    const auto id = header.stream;
    if (id <= highest) {
        return protocol_error("mux.stream_reuse", fmt::format("stream {} was opened before", id));
    }
    const std::size_t head_size = mux::load<std::uint16_t>(payload);
    const bool has_message = (header.flags & mux::flag_message) != 0;
    if (head_size < mux::head_fixed_size || head_size > header.length ||
        (!has_message && head_size != header.length)) {
        return protocol_error("mux.bad_frame", fmt::format("impossible head size {}", head_size));
    }
    Piece piece;
    if (has_message) {
        const auto* message = payload + head_size;
        if (!read_piece(header.flags, message, header.length - head_size, piece)) return;
        if (!covered(piece)) return;
    }
    highest = id;
    const auto charge = has_message ? piece.charge() : 0;
    using enum ErrorCode;
    if (head_size > config.max_head) {
        return refuse_open(
            id, {payload_too_large, "mux.head_too_large", "the head is above max_head"}, charge
        );
    }
    if (streams.size() >= config.max_streams) {
        return refuse_open(
            id, {overloaded, "mux.too_many_streams", "the worker serves max_streams calls"}, charge
        );
    }
    CallHead head;
    const auto why = mux::decode_head({payload, head_size}, head, header_scratch);
    if (!why.empty()) return refuse_open(id, {invalid_request, "mux.bad_head", why}, charge);
    admit_open(id, head, has_message ? &piece : nullptr, (header.flags & mux::flag_end) != 0);
}

void MuxSession::Core::admit_open(StreamId id, const CallHead& head, const Piece* piece, bool end) {
    if (end && piece == nullptr && one_request(head.shape)) {
        return refuse_open(
            id, {ErrorCode::protocol, "mux.missing_message", "a call without its request"}, 0
        );
    }
    auto& stream = streams.insert(id);
    stream.shape = head.shape;
    stream.in.balance = config.request_credit;
    stream.credit = head.response_credit;
    Bytes first;
    if (piece != nullptr) {
        if (const auto found = defect(stream, *piece)) {
            streams.erase(stream);
            return refuse_open(id, *found, piece->charge());
        }
        stream.received_message = true;
        auto* to = piece->goes_on() ? place(stream, *piece) : nullptr;
        ledger.charge(stream.in, piece->charge(), piece->goes_on());
        if (to != nullptr) {
            std::memcpy(to, piece->data, piece->size);
        } else {
            first = input.slice(piece->data, piece->size);
        }
    }
    stream.received_end = end;
    if (open_streams++ == 0) watching_changed();
    const bool whole = piece != nullptr && !piece->goes_on();
    auto* context = handler.on_open(id, head, whole ? &first : nullptr, end);
    if (auto* again = streams.find(id); again != nullptr) again->context = context;
}

void MuxSession::Core::refuse_open(StreamId id, const Defect& defect, std::uint64_t charge) {
    const Error error{defect.code, std::string{defect.detail}, std::string{defect.message}};
    ledger.charge_dropped(charge);
    error_frame(FrameType::error, mux::flag_refused, id, &error);
    ++violations;
    handler.on_violation(id, defect.detail);
}

void MuxSession::Core::take_data(const FrameHeader& header, const std::byte* payload) {
    Piece piece;
    if (!read_piece(header.flags, payload, header.length, piece)) return;
    auto* stream = admit_piece(header.stream, piece);
    if (stream == nullptr) return;
    if (piece.begins() && !piece.goes_on()) {
        ledger.charge(stream->in, piece.charge(), false);
        return deliver(*stream, input.slice(piece.data, piece.size), piece.ends());
    }
    auto* to = place(*stream, piece);
    ledger.charge(stream->in, piece.charge(), piece.goes_on());
    if (piece.size > 0) std::memcpy(to, piece.data, piece.size);
    finish_piece(*stream, piece.flags);
}

/// A fragment that has not arrived completely: what is missing will be received into its place.
bool MuxSession::Core::begin_direct(const FrameHeader& header) {
    const auto* payload = input.data() + mux::frame_header_size;
    Piece piece;
    if (!read_piece(header.flags, payload, header.length, piece)) return false;
    input.consume(mux::frame_header_size + header.length - piece.size);
    ++frames_in;
    auto* stream = admit_piece(header.stream, piece);
    if (stream == nullptr) {
        skip = piece.size;
        return true;
    }
    auto* to = place(*stream, piece);
    ledger.charge(stream->in, piece.charge(), piece.goes_on());
    direct = {header.stream, header.flags};
    input.direct(stream->assembly, to, piece.size);
    return true;
}

Stream* MuxSession::Core::admit_piece(StreamId id, const Piece& piece) {
    if (!covered(piece)) return nullptr;
    auto* stream = live_stream(id);
    if (state == State::closed) return nullptr;
    if (stream == nullptr || stream->released) {
        ++dropped_frames;
        ledger.charge_dropped(piece.charge());
        return nullptr;
    }
    if (const auto found = defect(*stream, piece)) {
        ledger.charge_dropped(piece.charge());
        violate(*stream, found->code, found->detail, std::string{found->message});
        return nullptr;
    }
    if (piece.begins()) stream->received_message = true;
    if (role == MuxRole::dialler) stream->accepted = true;
    return stream;
}

/// Makes the place for a fragment that is about to be charged; the stream counts it as there.
std::byte* MuxSession::Core::place(Stream& stream, const Piece& piece) {
    auto& book = stream.in;
    if (piece.begins()) {
        stream.assembly_size = static_cast<std::uint32_t>(piece.announced);
        stream.assembly_filled = 0;
        const auto whole = piece.announced + mux::message_overhead;
        if (static_cast<std::int64_t>(whole) > book.balance &&
            (!budget.empty() || !ledger.reserve(book, whole))) {
            if (!std::exchange(stream.waits_for_budget, true)) budget.push(stream.id);
        }
        list_credit(stream);
    }
    const auto needed = stream.assembly_filled + piece.size;
    if (stream.assembly == nullptr || stream.assembly->capacity() < needed) {
        // Without a reservation there is room for what credit was given for, no more.
        const auto promised =
            needed + static_cast<std::size_t>(std::max<std::int64_t>(book.balance, 0));
        const std::size_t total = stream.assembly_size;
        auto* block = Buffer::allocate(book.announced > 0 ? total : std::min(total, promised));
        if (stream.assembly != nullptr) {
            std::memcpy(block->data(), stream.assembly->data(), stream.assembly_filled);
            stream.assembly->release();
        }
        stream.assembly = block;
    }
    auto* to = stream.assembly->data() + stream.assembly_filled;
    stream.assembly_filled = static_cast<std::uint32_t>(needed);
    return to;
}

void MuxSession::Core::finish_direct() {
    auto* stream = streams.find(direct.stream);
    if (stream != nullptr && !stream->over && !stream->released)
        finish_piece(*stream, direct.flags);
}

void MuxSession::Core::finish_piece(Stream& stream, std::uint8_t flags) {
    if ((flags & mux::flag_more) != 0) return;
    const std::size_t size = std::exchange(stream.assembly_size, 0U);
    auto message = Bytes::adopt(std::exchange(stream.assembly, nullptr), size);
    stream.assembly_filled = 0;
    deliver(stream, std::move(message), (flags & mux::flag_end) != 0);
}

void MuxSession::Core::deliver(Stream& stream, Bytes message, bool end) {
    if (end) {
        stream.received_end = true;
        if (role == MuxRole::dialler) over(stream);
    }
    handler.on_message(stream.id, stream.context, std::move(message), end);
}

void MuxSession::Core::consumed(StreamId id, std::size_t size) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->released) return;
    ledger.taken(stream->in, size + mux::message_overhead);
    list_credit(*stream);
    serve_budget();
}

void MuxSession::Core::list_credit(Stream& stream) {
    if (stream.credit_listed || stream.over || stream.received_end) return;
    if (ledger.stream_due(stream.in) == 0 && !stream.waits_for_budget && stream.in.announced == 0) {
        return;
    }
    stream.credit_listed = true;
    credits.push_back(stream.id);
}

/// Gives freed budget to those who wait for it, in turn.
void MuxSession::Core::serve_budget() {
    while (!budget.empty()) {
        auto* stream = streams.find(budget.front());
        // A message whose last fragment is on its way, straight into its place, is charged already.
        if (stream != nullptr && !stream->over && stream->in.assembled > 0) {
            const auto whole = std::uint64_t{stream->assembly_size} + mux::message_overhead;
            if (!ledger.reserve(stream->in, whole)) return;
            list_credit(*stream);
        }
        if (stream != nullptr) stream->waits_for_budget = false;
        budget.pop();
    }
}

}  // namespace stator::transport
