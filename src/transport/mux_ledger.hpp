// The receiver's books: what the peer may still send, what is held, what to give back.
#pragma once

#include <algorithm>
#include <cstdint>
#include <memory>

#include "stator/transport/buffer_budget.hpp"
#include "stator/transport/mux_config.hpp"
#include "stator/transport/mux_frame.hpp"

namespace stator::transport::mux {

/// The part of the books that belongs to one stream's incoming direction.
struct StreamBook {
    std::int64_t balance = 0;     ///< what the peer may still send
    std::uint64_t held = 0;       ///< charges received and not taken
    std::uint64_t reserved = 0;   ///< set aside for large messages, received or still to come
    std::uint64_t assembled = 0;  ///< charge received of a message that is still incomplete
    std::uint64_t announced = 0;  ///< charge of that message if it is reserved, else 0
};

/// The connection's side of docs/protocol/mux.md, section 5.3: C, M, A, H are named as there.
class Ledger {
public:
    explicit Ledger(const MuxConfig& config) noexcept
        : most_window_{config.window},
          most_memory_{config.memory_limit},
          large_budget_{config.large_budget},
          least_{config.least_window},
          most_{config.most_window},
          process_{config.process},
          window_{config.window},
          memory_limit_{config.memory_limit},
          balance_{static_cast<std::int64_t>(config.window)} {}
    Ledger(const Ledger&) = delete;
    Ledger& operator=(const Ledger&) = delete;
    ~Ledger();

    /// The connection's first window, by what the process has left. Before anything is received.
    std::uint64_t open_window() noexcept;
    /// Tells the process what has changed, and learns what it has left. Now and then.
    void settle() noexcept;
    /// Whether the last reservation failed for lack of what other connections hold.
    bool waits_for_others() const noexcept { return waits_for_others_; }

    /// What a stream may hold and have unspent at this moment.
    std::uint32_t stream_target() const noexcept {
        const auto free = held_ < window_ ? window_ - held_ : 0;
        return static_cast<std::uint32_t>(std::clamp<std::uint64_t>(free / 8, least_, most_));
    }
    bool covers(std::uint64_t charge) const noexcept {
        return static_cast<std::int64_t>(charge) <= balance_;
    }
    /// A charged frame that is dropped.
    void charge_dropped(std::uint64_t charge) noexcept {
        balance_ -= static_cast<std::int64_t>(charge);
    }
    /// A charged frame of a stream; `incomplete`: its message goes on after it.
    void charge(StreamBook& book, std::uint64_t charge, bool incomplete) noexcept;
    /// Sets `total` aside for the stream's incomplete message, if the budget allows.
    bool reserve(StreamBook& book, std::uint64_t total) noexcept;
    /// The application took a message.
    void taken(StreamBook& book, std::uint64_t charge) noexcept;
    /// The rest of the stream's incomplete message will not come.
    void drop_incomplete(StreamBook& book) noexcept;
    /// The stream is forgotten.
    void forget(StreamBook& book) noexcept;

    /// Credit to give to the stream now, 0: not worth a frame.
    std::uint32_t stream_due(const StreamBook& book) const noexcept;
    /// Credit to give to the connection now, 0: not worth a frame.
    std::uint32_t connection_due() const noexcept;
    static void give(StreamBook& book, std::uint32_t amount) noexcept { book.balance += amount; }
    void give(std::uint32_t amount) noexcept { balance_ += amount; }

    std::int64_t balance() const noexcept { return balance_; }
    std::uint64_t held() const noexcept { return held_; }
    std::uint64_t reserved() const noexcept { return reserved_; }

private:
    std::uint64_t exposure() const noexcept;
    void adapt() noexcept;
    void unreserve(std::uint64_t size) noexcept;

    const std::uint64_t most_window_;
    const std::uint64_t most_memory_;
    const std::uint64_t large_budget_;
    const std::uint32_t least_;
    const std::uint32_t most_;
    const std::shared_ptr<BufferBudget> process_;
    std::uint64_t window_;        ///< at the moment
    std::uint64_t memory_limit_;  ///< at the moment
    std::uint64_t reported_ = 0;  ///< of our windows, to the process
    bool waits_for_others_ = false;
    std::int64_t balance_;
    std::uint64_t held_ = 0;
    std::uint64_t reserved_ = 0;
    std::uint64_t missing_ = 0;  ///< of reserved messages, not yet received
};

}  // namespace stator::transport::mux
