// The state of a session and its parts; MuxSession is the face of it.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "stator/transport/mux_frame.hpp"
#include "stator/transport/mux_session.hpp"
#include "transport/mux_id_queue.hpp"
#include "transport/mux_input.hpp"
#include "transport/mux_ledger.hpp"
#include "transport/mux_liveness.hpp"
#include "transport/mux_output.hpp"
#include "transport/mux_streams.hpp"

namespace stator::transport {

/// Callbacks may open, end and release streams: after each one, streams are looked up again.
struct MuxSession::Core {
    enum class State : std::uint8_t { preface, hello, ready, closed };

    Core(MuxRole own_role, const MuxConfig& own_config, MuxHandler& owner, TimePoint now);

    // --- connection (mux_core_link.cpp)
    void start();
    void feed(std::span<const std::byte> bytes, TimePoint now);
    void received(std::size_t size, TimePoint now);
    bool take_preface();
    void take_hello(const mux::FrameHeader& header, std::span<const std::byte> payload);
    void take_goodbye(std::span<const std::byte> payload);
    void take_ping(const std::byte* payload);
    void take_pong(const std::byte* payload);
    void take_drain(std::span<const std::byte> payload);
    void send_hello(std::uint16_t version);
    TimePoint next_timer() const noexcept;
    void on_timer(TimePoint now);
    void watch(bool wanted, TimePoint now);
    void goodbye(const std::optional<Error>& error);
    void drain(InstanceId instance, std::string_view reason);
    void close(const Error& error, const Error* goodbye, bool write_goodbye);
    /// A connection error: section 7 of the specification.
    void break_off(ErrorCode code, std::string_view detail, std::string message);
    void protocol_error(std::string_view detail, std::string message) {
        break_off(ErrorCode::protocol, detail, std::move(message));
    }
    void watching_changed() noexcept { liveness.watch(watched || open_streams > 0, now); }

    // --- frames received (mux_core_frames.cpp)
    void parse();
    bool take_frame();
    static Result<Error> error_in(std::span<const std::byte> payload, std::string_view frame_name);
    bool header_is_good(const mux::FrameHeader& header);
    bool may_send(mux::FrameType type) const noexcept;
    bool begin_partial(const mux::FrameHeader& header);
    void dispatch(const mux::FrameHeader& header, const std::byte* payload);
    void take_stream_frame(const mux::FrameHeader& header, std::span<const std::byte> payload);
    void take_released(
        mux::Stream& stream, const mux::FrameHeader& header, const std::byte* payload
    );
    void take_accept(mux::Stream& stream);
    void take_end(mux::Stream& stream);
    void take_error(mux::Stream& stream, bool refused, std::span<const std::byte> payload);
    void take_stop(mux::Stream& stream, CancelReason reason);
    void take_kill(mux::Stream& stream, CancelReason reason);
    void take_reset(mux::Stream& stream, std::span<const std::byte> payload);
    void take_stream_credit(mux::Stream& stream, std::uint32_t amount);
    void take_connection_credit(std::uint32_t amount);
    /// The stream, or null if it is over or forgotten. An id never opened closes the connection.
    mux::Stream* live_stream(StreamId id);
    /// Ends one stream because the peer broke the contract on it.
    void violate(mux::Stream& stream, ErrorCode code, std::string_view detail, std::string message);
    void report_violation(StreamId id, const Error& error, CallFate fate);
    void report_end(mux::Stream& stream, const Error& error, CallFate fate);

    // --- messages received (mux_core_data.cpp)
    /// What a frame with message bytes carries.
    struct Piece {
        const std::byte* data = nullptr;
        std::size_t size = 0;
        std::uint64_t announced = 0;  ///< size of the message, with MESSAGE and MORE
        std::uint8_t flags = 0;
        bool begins() const noexcept { return (flags & mux::flag_message) != 0; }
        bool goes_on() const noexcept { return (flags & mux::flag_more) != 0; }
        bool ends() const noexcept { return (flags & mux::flag_end) != 0; }
        std::uint64_t charge() const noexcept {
            return size + (begins() ? mux::message_overhead : 0);
        }
    };
    struct Defect {
        ErrorCode code;
        std::string_view detail;
        std::string_view message;
    };
    bool read_piece(std::uint8_t flags, const std::byte* data, std::size_t size, Piece& piece);
    bool covered(const Piece& piece);
    std::optional<Defect> defect(const mux::Stream& stream, const Piece& piece) const noexcept;
    static std::string_view misfit(
        const Piece& piece, std::uint64_t filled, std::uint64_t total
    ) noexcept;
    void take_open(const mux::FrameHeader& header, const std::byte* payload);
    void admit_open(StreamId id, const CallHead& head, const Piece* piece, bool end);
    void refuse_open(StreamId id, const Defect& defect, std::uint64_t charge);
    void take_data(const mux::FrameHeader& header, const std::byte* payload);
    bool begin_direct(const mux::FrameHeader& header);
    /// The stream of a DATA frame if the piece is acceptable, charged; else it is dealt with.
    mux::Stream* admit_piece(StreamId id, const Piece& piece);
    std::byte* place(mux::Stream& stream, const Piece& piece);
    void finish_direct();
    void finish_piece(mux::Stream& stream, std::uint8_t flags);
    void deliver(mux::Stream& stream, Bytes message, bool end);
    void consumed(StreamId id, std::size_t size);
    void serve_budget();
    void list_credit(mux::Stream& stream);

    // --- calls (mux_core_calls.cpp)
    std::optional<Error> may_open(const Bytes* first);
    Result<StreamId> open(
        const CallHead& head, const Bytes* first, bool end, void* context, TimePoint at
    );
    void write_open(
        mux::Stream& stream, const CallHead& head, std::size_t size, const Bytes* first, bool end
    );
    StreamId next_id();
    void stop(StreamId id, CancelReason reason);
    void kill(StreamId id, CancelReason reason);
    void accept(StreamId id);
    void fail(StreamId id, const Error& error, bool refused);
    void end(StreamId id);
    void reset(StreamId id, const Error& error);
    void release(StreamId id);
    void over(mux::Stream& stream);
    void tidy_lists();
    void bury();

    // --- messages and frames sent (mux_core_output.cpp)
    std::byte* frame(mux::FrameType type, std::uint8_t flags, StreamId id, std::size_t length);
    void error_frame(mux::FrameType type, std::uint8_t flags, StreamId id, const Error* error);
    SendStatus send(StreamId id, Bytes* owned, std::span<const std::byte> message, bool end);
    bool sends_at_once(const mux::Stream& stream, std::size_t size) const noexcept;
    void write_data(
        mux::Stream& stream,
        std::uint8_t flags,
        std::uint64_t announced,
        const Bytes* owner,
        std::span<const std::byte> piece
    );
    enum class Step : std::uint8_t { moved, done, stream_blocked, connection_blocked };
    void hold_output(mux::Stream& stream, Bytes message, bool end);
    Step write_fragment(mux::Stream& stream);
    bool advance(mux::Stream& stream);
    void enqueue(mux::Stream& stream);
    void finish_output(mux::Stream& stream);
    void half_closed(mux::Stream& stream);
    void implied_accept(mux::Stream& stream) noexcept;
    void pump();
    bool has_output() const noexcept;
    void end_turn();
    void write_credits();
    void written(std::size_t size, TimePoint at);

    const MuxRole role;
    const MuxConfig config;
    MuxHandler& handler;
    State state;
    mux::Hello peer;
    mux::Input input;
    mux::Output output;
    mux::Streams streams;
    mux::Ledger ledger;
    mux::Liveness liveness;
    mux::WriteStall write_stall;
    mux::HeaderScratch header_scratch{};
    TimePoint now;
    TimePoint started;

    StreamId highest = 0;            ///< id opened last, by whichever side opens
    std::size_t open_streams = 0;    ///< not over
    std::size_t unsent_answers = 0;  ///< of those, released
    std::int64_t credit = 0;         ///< of the connection: what we may still send
    std::size_t max_piece = 0;       ///< most message bytes in one frame that we send
    std::size_t answers_limit;
    std::size_t skip = 0;  ///< bytes of a frame that is not looked at

    struct {
        StreamId stream = 0;
        std::uint8_t flags = 0;
    } direct;  ///< the fragment that input receives into its place

    mux::IdQueue sending;           ///< streams that wait for the connection, in turn
    mux::IdQueue budget;            ///< streams that wait for a reservation, in turn
    std::vector<StreamId> accepts;  ///< streams whose ACCEPT is due at the end of the turn
    std::vector<StreamId> ghosts;   ///< released streams that are over by now
    std::vector<StreamId> credits;  ///< streams that may be due credit at the end of the turn
    std::array<std::byte, 8> pong{};
    std::uint64_t ping_number = 0;
    TimePoint ping_sent{};
    Duration round_trip{0};
    bool ping_waits = false;
    bool pong_due = false;
    bool pump_wanted = false;
    bool congested = false;      ///< an open was turned away
    bool no_more_calls = false;  ///< either side said that no more calls are opened
    bool watched = false;
    bool replace_said = false;
    std::uint64_t frames_in = 0;
    std::uint64_t frames_out = 0;
    std::uint64_t dropped_frames = 0;
    std::uint64_t violations = 0;
};

/// The reason with that wire number.
CancelReason cancel_reason_from_wire(std::uint8_t number) noexcept;

}  // namespace stator::transport
