// Calls: opening, ending and forgetting them.
#include <algorithm>
#include <cstring>
#include <functional>
#include <limits>
#include <utility>

#include <fmt/format.h>

#include "transport/mux_core.hpp"

namespace stator::transport {

using mux::FrameHeader;
using mux::FrameType;
using mux::Stream;

namespace {

/// So many times the output limit may wait before calls are turned away.
constexpr std::size_t congestion = 8;
constexpr StreamId last_id = std::numeric_limits<StreamId>::max();
constexpr std::size_t tidy_from = 1024;
/// So many calls before the ids run out, another connection is asked for.
constexpr StreamId replace_before = 1U << 17U;

}  // namespace

/// Why no call can be opened now.
std::optional<Error> MuxSession::Core::may_open(const Bytes* first) {
    using enum ErrorCode;
    const auto no = [](ErrorCode code, const char* detail, const char* message) {
        return Error{code, detail, message};
    };
    if (state == State::closed) return no(unavailable, "mux.closed", "the connection ended");
    if (state != State::ready) {
        return no(unavailable, "mux.not_ready", "the connection is being set up");
    }
    if (role != MuxRole::dialler) {
        return no(unimplemented, "mux.not_dialler", "only the dialling side opens calls");
    }
    if (highest == last_id) {
        return no(unavailable, "mux.ids_exhausted", "the connection has used all stream ids");
    }
    if (no_more_calls) return no(draining, "mux.draining", "the connection takes no more calls");
    if (open_streams >= peer.max_streams) {
        return no(overloaded, "mux.too_many_streams", "the peer serves its maximum of calls");
    }
    if (output.size() >= congestion * config.output_limit) {
        congested = true;
        return no(overloaded, "mux.congested", "too much output waits to be written");
    }
    if (first != nullptr && first->size() > peer.max_message) {
        return Error{
            payload_too_large,
            "mux.message_too_large",
            fmt::format("{} bytes, the peer accepts {}", first->size(), peer.max_message)
        };
    }
    return std::nullopt;
}

Result<StreamId> MuxSession::Core::open(
    const CallHead& head, const Bytes* first, bool end, void* context, TimePoint at
) {
    now = at;
    if (auto why = may_open(first)) return std::unexpected{std::move(*why)};
    if (end && first == nullptr && one_request(head.shape)) {
        return stator::fail(
            ErrorCode::invalid_request, "mux.missing_message", "a call without its request"
        );
    }
    CallHead full = head;
    full.response_credit = ledger.stream_target();
    const auto size = mux::head_size(full, std::min(peer.max_head, peer.max_frame));
    if (!size) return std::unexpected{size.error()};

    auto& stream = streams.insert(next_id());
    stream.shape = head.shape;
    stream.context = context;
    stream.credit = peer.stream_credit;
    stream.in.balance = full.response_credit;
    if (open_streams++ == 0) watching_changed();
    write_open(stream, full, *size, first, end);
    const auto id = stream.id;
    if (highest == last_id) drain(InstanceId{}, "stream ids are used up");
    if (last_id - highest <= replace_before && !std::exchange(replace_said, true)) {
        handler.on_replace();
    }
    return id;
}

void MuxSession::Core::write_open(
    Stream& stream, const CallHead& head, std::size_t size, const Bytes* first, bool end
) {
    const auto body = first == nullptr ? 0 : first->size();
    const auto charge = static_cast<std::int64_t>(body + mux::message_overhead);
    const bool inside = first != nullptr && size + body <= peer.max_frame && body <= max_piece &&
                        charge <= stream.credit && charge <= credit;
    const bool refer = inside && body >= mux::reference_from;
    unsigned flags = end && (inside || first == nullptr) ? mux::flag_end : 0U;
    if (inside) flags |= mux::flag_message;

    const auto copied = inside && !refer ? body : 0;
    auto* at = output.extend(mux::frame_header_size + size + copied);
    FrameHeader{
        static_cast<std::uint32_t>(size + (inside ? body : 0)),
        static_cast<std::uint8_t>(FrameType::open),
        static_cast<std::uint8_t>(flags),
        0,
        stream.id
    }
        .encode(at);
    ++frames_out;
    mux::encode_head(head, size, at + mux::frame_header_size);
    stream.sent_message = first != nullptr;
    stream.sent_end = end;
    if (inside) {
        stream.credit -= charge;
        credit -= charge;
        if (refer) {
            output.refer(*first);
        } else if (copied > 0) {
            std::memcpy(at + mux::frame_header_size + size, first->data(), copied);
        }
    } else if (first != nullptr) {
        hold_output(stream, *first, end);
        advance(stream);
    }
}

StreamId MuxSession::Core::next_id() {
    highest = highest == 0 ? config.first_stream : highest + 2;
    return highest;
}

void MuxSession::Core::stop(StreamId id, CancelReason reason) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || role != MuxRole::dialler) return;
    if (std::exchange(stream->stop_seen, true)) return;
    mux::store(frame(FrameType::stop, 0, id, 1), static_cast<std::uint8_t>(reason));
}

void MuxSession::Core::kill(StreamId id, CancelReason reason) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || role != MuxRole::dialler) return;
    mux::store(frame(FrameType::kill, 0, id, 1), static_cast<std::uint8_t>(reason));
    over(*stream);
}

void MuxSession::Core::accept(StreamId id) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || role != MuxRole::acceptor) return;
    if (stream->accepted || std::exchange(stream->accept_due, true)) return;
    accepts.push_back(id);
}

void MuxSession::Core::fail(StreamId id, const Error& error, bool refused) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || role != MuxRole::acceptor) return;
    if (stream->out_pending) {
        // What was sent before comes first.
        if (stream->out_end || stream->out_error != nullptr) return;
        stream->sent_end = true;
        stream->out_error = std::make_unique<Error>(error);
        return;
    }
    const auto flags = refused && !stream->accepted ? mux::flag_refused : std::uint8_t{0};
    error_frame(FrameType::error, flags, id, &error);
    over(*stream);
}

void MuxSession::Core::end(StreamId id) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over || std::exchange(stream->sent_end, true)) return;
    if (stream->out_pending) {
        stream->out_end = true;
        return;
    }
    frame(FrameType::end, 0, id, 0);
    implied_accept(*stream);
    half_closed(*stream);
}

void MuxSession::Core::reset(StreamId id, const Error& error) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->over) return;
    error_frame(FrameType::reset, 0, id, &error);
    over(*stream);
}

void MuxSession::Core::release(StreamId id) {
    auto* stream = streams.find(id);
    if (stream == nullptr || stream->released) return;
    if (!stream->over && role == MuxRole::acceptor && stream->out_pending && stream->sent_end) {
        // The answer is complete but for its way through the credit: it leaves without its owner.
        stream->released = true;
        ++unsent_answers;
        stream->drop_assembly();
        ledger.forget(stream->in);
        return serve_budget();
    }
    if (!stream->over && role == MuxRole::dialler) {
        kill(id, CancelReason::requested);
    } else if (!stream->over) {
        const Error gone{ErrorCode::internal, "mux.abandoned", "the handler went away"};
        error_frame(FrameType::error, 0, id, &gone);
        over(*stream);
    }
    ledger.forget(stream->in);
    streams.erase(*stream);
    serve_budget();
    tidy_lists();
}

/// Forgets released streams whose answer has left. Not in the middle of anything that uses one.
void MuxSession::Core::bury() {
    for (const auto id : ghosts) {
        if (auto* stream = streams.find(id); stream != nullptr) streams.erase(*stream);
    }
    ghosts.clear();
}

/// While output is blocked, a peer that opens and kills could fill the lists with forgotten ids.
void MuxSession::Core::tidy_lists() {
    const auto most = 2 * streams.size() + tidy_from;
    const auto known = [this](StreamId id) { return streams.find(id) != nullptr; };
    if (sending.size() > most) sending.keep_if(known);
    if (budget.size() > most) budget.keep_if(known);
    if (accepts.size() > most) std::erase_if(accepts, std::not_fn(known));
    if (credits.size() > most) std::erase_if(credits, std::not_fn(known));
}

/// The stream is over on the wire: nothing more is sent, nothing more is reported.
void MuxSession::Core::over(Stream& stream) {
    stream.over = true;
    if (stream.released) {
        --unsent_answers;
        ghosts.push_back(stream.id);
    }
    stream.accept_due = false;
    // Others may have waited behind it for the connection's credit.
    if (stream.queued) pump_wanted = true;
    stream.drop_output();
    if (stream.assembly_size > 0) {
        ledger.drop_incomplete(stream.in);
        stream.drop_assembly();
        serve_budget();
    }
    if (--open_streams == 0) watching_changed();
}

}  // namespace stator::transport
