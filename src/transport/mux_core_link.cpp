// The connection as a whole: handshake, liveness, drain, end.
#include <algorithm>
#include <cassert>
#include <chrono>
#include <cstring>
#include <utility>

#include <fmt/format.h>

#include "stator/transport/mux_error.hpp"
#include "transport/mux_core.hpp"

namespace stator::transport {

using mux::FrameHeader;
using mux::FrameType;

namespace {

constexpr std::size_t answers_slack = 1U << 20U;
constexpr std::size_t answer_per_stream = 128;
constexpr Duration budget_retry = std::chrono::milliseconds{10};

}  // namespace

MuxSession::Core::Core(
    MuxRole own_role, const MuxConfig& own_config, MuxHandler& owner, TimePoint at
)
    : role{own_role},
      config{own_config},
      handler{owner},
      state{own_role == MuxRole::dialler ? State::hello : State::preface},
      input{own_config.receive_block},
      streams{own_config.epoch},
      ledger{own_config},
      liveness{own_config, at},
      write_stall{own_config.write_stall},
      now{at},
      started{at},
      answers_limit{
          own_config.output_limit + own_config.fragment + answers_slack +
          answer_per_stream * own_config.max_streams
      } {}

void MuxSession::Core::start() {
    if (role != MuxRole::dialler) return;
    const auto preface = mux::Preface{}.encode();
    std::ranges::copy(preface, output.extend(preface.size()));
    send_hello(mux::highest_version);
}

void MuxSession::Core::send_hello(std::uint16_t version) {
    mux::Hello hello;
    hello.version = version;
    hello.epoch = config.epoch;
    hello.max_frame = config.max_frame;
    hello.max_message = config.max_message;
    hello.stream_credit = config.request_credit;
    hello.connection_credit = ledger.open_window();
    hello.max_streams = config.max_streams;
    hello.max_head = config.max_head;
    const auto payload = hello.encode(role == MuxRole::dialler);
    std::ranges::copy(payload, frame(FrameType::hello, 0, 0, payload.size()));
}

void MuxSession::Core::feed(std::span<const std::byte> bytes, TimePoint at) {
    while (!bytes.empty() && state != State::closed) {
        std::array<iovec, 2> space{};
        std::size_t taken = 0;
        const auto vectors = input.space(space);
        for (std::size_t i = 0; i < vectors && taken < bytes.size(); ++i) {
            const auto part = std::min(space[i].iov_len, bytes.size() - taken);
            std::memcpy(space[i].iov_base, bytes.data() + taken, part);
            taken += part;
        }
        assert(taken > 0);
        bytes = bytes.subspan(taken);
        received(taken, at);
    }
}

void MuxSession::Core::received(std::size_t size, TimePoint at) {
    now = at;
    if (state == State::closed || size == 0) return;
    if (liveness.heard(at)) handler.on_healthy();
    if (state == State::closed) return;
    if (input.received(size)) finish_direct();
    parse();
    if (!ghosts.empty()) bury();
    if (role == MuxRole::acceptor && state == State::ready && output.size() > answers_limit) {
        protocol_error("mux.answers_unread", "the peer provokes answers and does not read them");
    }
}

bool MuxSession::Core::take_preface() {
    if (input.size() < mux::preface_size) {
        input.make_room(mux::preface_size);
        return false;
    }
    const auto preface = mux::Preface::decode(
        std::span<const std::byte, mux::preface_size>{input.data(), mux::preface_size}
    );
    input.consume(mux::preface_size);
    if (!preface) {
        close(preface.error(), &preface.error(), true);
        return false;
    }
    const auto version = mux::choose_version(*preface, mux::Preface{});
    if (!version) {
        close(version.error(), &version.error(), true);
        return false;
    }
    state = State::hello;
    send_hello(*version);
    return true;
}

void MuxSession::Core::take_hello(const FrameHeader& header, std::span<const std::byte> payload) {
    if (state != State::hello) {
        return protocol_error("mux.unexpected_frame", "HELLO in the middle of a connection");
    }
    auto hello = mux::Hello::decode(payload.first(header.length));
    if (!hello) return close(hello.error(), &hello.error(), true);
    const bool known =
        hello->version >= mux::lowest_version && hello->version <= mux::highest_version;
    // A dialler names the highest that it speaks, which may be above what was chosen.
    if (hello->version == 0 || (role == MuxRole::dialler && !known)) {
        return protocol_error(
            "mux.bad_hello", fmt::format("version {} was not offered", hello->version)
        );
    }
    peer = *hello;
    credit = static_cast<std::int64_t>(peer.connection_credit);
    max_piece = std::min<std::size_t>(config.fragment, peer.max_frame - mux::size_announcement);
    state = State::ready;
    input.grow();
    watching_changed();
    handler.on_ready(peer);
}

void MuxSession::Core::take_goodbye(std::span<const std::byte> payload) {
    const auto error = mux::decode_error(payload);
    if (!error) return close(error.error(), nullptr, false);
    const Error ended{ErrorCode::disconnected, "mux.goodbye", "the peer ended the connection"};
    close(error->value_or(ended), nullptr, false);
}

void MuxSession::Core::take_ping(const std::byte* payload) {
    std::copy_n(payload, pong.size(), pong.begin());
    pong_due = true;
}

void MuxSession::Core::take_pong(const std::byte* payload) {
    if (mux::load<std::uint64_t>(payload) == ping_number && ping_waits) {
        ping_waits = false;
        round_trip = now - ping_sent;
    }
}

void MuxSession::Core::take_drain(std::span<const std::byte> payload) {
    const InstanceId instance{mux::load<std::uint64_t>(payload.data())};
    const auto text = payload.subspan(8);
    if (!instance) no_more_calls = true;
    handler.on_drain(
        instance, mux::clean_text({reinterpret_cast<const char*>(text.data()), text.size()})
    );
}

TimePoint MuxSession::Core::next_timer() const noexcept {
    if (state == State::closed) return TimePoint::max();
    if (state != State::ready) return started + config.handshake_timeout;
    auto due = std::min(liveness.due(), write_stall.due(!output.empty(), now));
    // Nobody tells when another connection gives back what it has reserved.
    if (!budget.empty() && ledger.waits_for_others()) due = std::min(due, now + budget_retry);
    return due;
}

void MuxSession::Core::on_timer(TimePoint at) {
    now = at;
    if (state == State::closed) return;
    if (state != State::ready) {
        if (at < started + config.handshake_timeout) return;
        return break_off(
            ErrorCode::unavailable,
            "mux.handshake_timeout",
            "the peer did not complete the handshake"
        );
    }
    if (write_stall.stalled(!output.empty(), output.total_written(), at)) {
        return break_off(
            ErrorCode::disconnected, "mux.write_stalled", "the peer does not take our output"
        );
    }
    if (!budget.empty()) serve_budget();
    using Step = mux::Liveness::Step;
    for (auto step = liveness.step(at); step != Step::nothing; step = liveness.step(at)) {
        if (step == Step::ping) {
            ping_waits = true;
            ping_sent = at;
            mux::store(frame(FrameType::ping, 0, 0, 8), ++ping_number);
        } else if (step == Step::suspect) {
            handler.on_suspect();
            if (state == State::closed) return;
        } else {
            return break_off(
                ErrorCode::disconnected, "mux.peer_silent", "the peer does not answer"
            );
        }
    }
}

void MuxSession::Core::watch(bool wanted, TimePoint at) {
    now = at;
    watched = wanted;
    watching_changed();
}

void MuxSession::Core::drain(InstanceId instance, std::string_view reason) {
    constexpr std::size_t max_reason = 256;
    if (state != State::ready) return;
    reason = reason.substr(0, max_reason);
    auto* payload = frame(FrameType::drain, 0, 0, 8 + reason.size());
    mux::store(payload, instance.value());
    std::ranges::copy(std::as_bytes(std::span{reason}), payload + 8);
    if (role == MuxRole::dialler && !instance) no_more_calls = true;
}

void MuxSession::Core::goodbye(const std::optional<Error>& error) {
    const Error ended{ErrorCode::disconnected, "mux.goodbye", "this side ended the connection"};
    close(error.value_or(ended), error ? &*error : nullptr, true);
}

void MuxSession::Core::break_off(ErrorCode code, std::string_view detail, std::string message) {
    const Error error{code, std::string{detail}, std::move(message)};
    close(error, &error, true);
}

void MuxSession::Core::close(const Error& error, const Error* goodbye, bool write_goodbye) {
    if (state == State::closed) return;
    if (write_goodbye) error_frame(FrameType::goodbye, 0, 0, goodbye);
    state = State::closed;
    const auto ended =
        Error{ErrorCode::disconnected, "mux.disconnected", "the connection ended"}.with_cause(error
        );
    for (const auto id : streams.ids()) {
        auto* stream = streams.find(id);
        if (stream == nullptr || stream->over) continue;
        over(*stream);
        report_end(*stream, ended, stream->accepted ? CallFate::accepted : CallFate::not_accepted);
    }
    bury();
    handler.on_closed(error);
}

}  // namespace stator::transport
