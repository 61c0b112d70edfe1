// DynamoLink: one socket of Dynamo's TCP planes, whatever is spoken on it.
#pragma once

#include <sys/uio.h>

#include <array>
#include <cstddef>
#include <memory>
#include <optional>

#include "stator/net/stream.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/signal.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/transport/buffer_budget.hpp"
#include "transport/mux_output.hpp"

namespace stator::transport {

/// Whose link it is. Called on the link's loop, from inside its reader or its writer. Must not
/// throw, nor drop the link; it may close it.
class DynamoLinkUser {
public:
    virtual ~DynamoLinkUser() = default;
    /// Where the next bytes go, as FrameInput::space.
    virtual std::size_t space(std::array<iovec, 2>& vectors) = 0;
    /// `size` bytes came.
    virtual void received(std::size_t size) = 0;
    /// The peer sends nothing more (FIN); it may still read.
    virtual void peer_finished() noexcept = 0;
    /// The link is not full any more.
    virtual void writable() noexcept {}
    /// The task that runs the link was cancelled: last words may be put, and leave as far as the
    /// socket takes them at once. `lost` follows.
    virtual void cancelled() noexcept {}
    /// After a `rest`: reading goes on where it is resumed.
    virtual void rested() {}
    /// Everything that was put has been given to the kernel.
    virtual void all_written() noexcept {}
    /// The socket is of no more use: reset or closed by the peer ("net.disconnected"), or the task
    /// that runs it was cancelled. Not told of a `close` from here.
    virtual void lost(const Error& why) noexcept = 0;
};

/// Reads as long as its user wants; what one turn of the loop puts into the output leaves in one
/// write at its end, large bodies without a copy.
///
/// Owned by its user. Loop-affine. `run` keeps it going; before it, output may be put already.
/// Cancelling `run` ends it; what was written still reaches a peer that reads it soon.
class DynamoLink {
public:
    /// `most_unwritten`: from so many bytes on it is full. `budget`, if any, outlives the link:
    /// what is unwritten beyond a little counts there, and while that is used up such a link is
    /// full.
    explicit DynamoLink(
        DynamoLinkUser& user,
        std::size_t most_unwritten = 256U << 10U,
        BufferBudget* budget = nullptr
    );
    DynamoLink(const DynamoLink&) = delete;
    DynamoLink& operator=(const DynamoLink&) = delete;
    ~DynamoLink();

    /// Reads and writes until the link is closed or lost. A connection may still be under way (see
    /// net::start_dial). Never throws.
    Task<> run(std::unique_ptr<net::Stream> stream);

    /// Instead of `run`: writes what was put on a connection that is no stream yet. True if all of
    /// it has left; else there is more for `run`, or the link is lost.
    bool write_first(net::Outgoing& connection) noexcept;

    /// Put frames here (dynamo_writer.hpp), then `touch`.
    mux::Output& output() noexcept { return output_; }
    /// There is something to be written: at the end of this turn, earlier if it is much.
    void touch() noexcept;
    /// Nothing more should be put until `writable` is told.
    bool full() const noexcept { return full_; }

    /// Reads no further until `resume`. What the kernel holds stays there: the peer has to wait.
    void pause() noexcept { paused_ = true; }
    void resume() noexcept;
    bool paused() const noexcept { return paused_; }
    /// Pauses, and tells `rested` in a moment: what lacks now may be there then.
    void rest();

    /// Now, without what has not been written.
    void close() noexcept;
    /// When everything is written, with a moment for the peer to read it. Reads nothing more. One
    /// that takes nothing for `patience` is given up.
    void close_when_written(Duration patience = std::chrono::seconds{10}) noexcept;
    /// Until there is nothing unwritten: the link is lost ("dynamo.unread") if the peer takes
    /// nothing for so long.
    void expect_reader(Duration patience);
    bool closed() const noexcept { return closed_; }

    /// Bytes that the kernel took: whether there is progress.
    std::uint64_t written() const noexcept { return output_.total_written(); }
    /// Whether a byte has gone either way, so that there is a connection.
    bool connected() const noexcept { return reads_ > 0 || written() > 0; }
    std::uint64_t reads() const noexcept { return reads_; }
    std::uint64_t writes() const noexcept { return writes_; }

private:
    struct Hook : runtime::detail::TurnHook {
        explicit Hook(DynamoLink& link_) noexcept
            : TurnHook{[](TurnHook& hook) noexcept { static_cast<Hook&>(hook).link.flush(); }},
              link{link_} {}
        DynamoLink& link;
    };

    Task<> read_to_end();
    Task<> write_on();
    Task<> linger();
    Task<> close_soon();
    Task<> come_back();
    Task<> watch_reader(Duration patience);
    void book() noexcept;
    bool is_full() const noexcept {
        const bool used_up = booked_ > 0 && budget_->room() == 0;
        return used_up || output_.size() >= most_unwritten_;
    }
    void finish() noexcept;
    TaskScope& helpers();
    void flush() noexcept;
    template <class Connection>
    bool write_some(Connection& connection) noexcept;
    void lose(const Error& why) noexcept;

    static constexpr std::size_t early_write = 16U << 10U;
    /// So much may be unwritten on each link whatever the process holds.
    static constexpr std::size_t unbooked = 16U << 10U;
    /// There is a link for each request: most of them never need more.
    static constexpr std::size_t small_chunk = (4U << 10U) - sizeof(Buffer);

    DynamoLinkUser& user_;
    const std::size_t most_unwritten_;
    BufferBudget* const budget_;
    std::size_t booked_ = 0;
    std::unique_ptr<net::Stream> stream_;
    mux::Output output_{small_chunk};
    Hook at_end_{*this};
    Hook early_{*this};
    std::uint64_t reads_ = 0;
    std::uint64_t writes_ = 0;
    bool blocked_ = false;  // the socket takes nothing now
    bool full_ = false;     // the user waits for `writable`
    bool resting_ = false;
    Duration patience_{};   // while finishing
    bool watched_ = false;  // whether the peer reads
    bool paused_ = false;
    bool finishing_ = false;  // to be closed when written
    bool finished_ = false;   // ... and it is
    bool peer_finished_ = false;
    bool closed_ = false;
    Signal resumed_;
    Event over_;
    std::optional<TaskScope> helpers_;  // what waits beside the reader, once there is any
};

}  // namespace stator::transport
