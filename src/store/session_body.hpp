// What a Session handle shares with its store, and what a backend does for one.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "stator/base/error.hpp"
#include "stator/runtime/event.hpp"
#include "stator/store/session.hpp"

namespace stator::store {

/// The backend's part of a session. On the store's loop; `end` is called once and last.
class SessionHold {
public:
    explicit SessionHold(Duration ttl) noexcept : ttl_{ttl} {}
    SessionHold(const SessionHold&) = delete;
    SessionHold& operator=(const SessionHold&) = delete;
    virtual ~SessionHold() = default;

    /// As the backend has granted it.
    Duration ttl() const noexcept { return ttl_; }
    /// False: the backend has dropped it. From the beginning of a call that returns true it keeps
    /// the keys for `ttl`, at least.
    virtual Task<bool> renew() = 0;
    virtual Task<GuardedReply> write(GuardedWrite write) = 0;
    virtual Task<> end() = 0;

private:
    const Duration ttl_;
};

/// Thread-safe apart from `hold`, which belongs to the store's loop. Kept by the handles and by the
/// store's tasks, whichever is longer.
class SessionBody {
public:
    SessionBody(
        std::shared_ptr<KeyValueStore> store,
        std::shared_ptr<SessionHold> hold,
        const CancellationToken& bound_to,
        TimePoint begun
    );

    const std::shared_ptr<KeyValueStore> store;
    const std::shared_ptr<SessionHold> hold;
    const std::string id;
    const CancellationToken token;
    /// Cancelled by its owner, who has stopped, or never began, whatever it was for.
    const CancellationToken given_up = CancellationToken::make();
    Event ended;  // its keys are gone, or left to run out

    Duration ttl() const noexcept { return hold->ttl(); }
    /// When its holder must take it for lost unless it is renewed.
    TimePoint valid_until() const noexcept {
        return TimePoint{Duration{valid_until_.load(std::memory_order_acquire)}};
    }
    bool alive() const noexcept;
    /// It was renewed by a call that began at `when`.
    void renewed(TimePoint when) noexcept;
    /// Tells the holder; the first reason stays.
    void lose(std::string why);
    bool lost() const;
    Error lost_error() const;
    /// Of the owner's.
    void give_up() noexcept;

    /// What a holder has to stop once it is told that the session is lost: so much before others
    /// may take the keys for gone.
    Duration margin() const noexcept { return ttl() / 10; }

private:
    std::atomic<Duration::rep> valid_until_;
    mutable std::mutex lock_;
    std::string why_;
};

}  // namespace stator::store
