// Leader election: one of many candidates leads, and everybody can see which.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "stator/store/key_value_store.hpp"
#include "stator/store/session.hpp"
#include "stator/store/steady_watch.hpp"

namespace stator::store {

struct ElectionOptions {
    /// How long a leader that is heard of no more stays leader; zero: the store's own.
    Duration ttl{};
    /// Cancelled: the candidate resigns.
    CancellationToken bound_to{};
};

/// Being the leader, until the session ends. Movable, one owner; thread-safe. Dropping it resigns.
class Leadership {
public:
    Leadership(Leadership&&) noexcept = default;
    Leadership& operator=(Leadership&&) noexcept = default;
    Leadership(const Leadership&) = delete;
    Leadership& operator=(const Leadership&) = delete;
    ~Leadership() = default;

    const std::string& id() const noexcept { return session_.id(); }
    const std::string& key() const noexcept { return key_; }
    /// Grows from leader to leader: see Lock.
    std::uint64_t fencing_token() const noexcept { return created_; }
    /// Cancelled once it is lost (`peer_gone`) or given up.
    const CancellationToken& token() const noexcept { return session_.token(); }
    /// Whether it leads at this moment for certain.
    bool leads() const noexcept { return session_.alive(); }

    /// Another value for the observers to see. Errors: unavailable "store.session_lost"; the
    /// store's. Cancel safety: throws `cancelled`; the value may have been written.
    Task<> proclaim(std::string value) const;
    /// As Session::close.
    Task<> resign() const { return session_.close(); }

private:
    friend Task<Leadership> campaign(
        std::shared_ptr<KeyValueStore>, std::string, std::string, ElectionOptions
    );
    Leadership(std::string key, std::uint64_t created, Session session) noexcept
        : key_{std::move(key)}, created_{created}, session_{std::move(session)} {}

    std::string key_;
    std::uint64_t created_ = 0;
    Session session_;
};

/// Stands for election and returns when elected: candidates lead in the order in which they stood.
/// `value`, 1 byte to 1 MiB, is what observers see of a leader. Errors: unimplemented
/// "store.no_sessions" (file); invalid_request "store.name"; unavailable "store.session_lost"; the
/// store's. Cancel safety: throws `cancelled`; the candidate has withdrawn.
Task<Leadership> campaign(
    std::shared_ptr<KeyValueStore> store,
    std::string name,
    std::string value,
    ElectionOptions options = {}
);

struct Leader {
    std::string id;
    std::string value;
    std::uint64_t fencing_token = 0;

    friend bool operator==(const Leader&, const Leader&) = default;
};

/// Who leads, without standing. Owned by one reader, movable; one `next` at a time, on any loop.
class LeaderWatch {
public:
    /// Errors: unimplemented "store.no_sessions"; invalid_request "store.name"; the store's.
    static Task<LeaderWatch> open(std::shared_ptr<KeyValueStore> store, std::string name);

    /// First who leads as far as this process has heard, then each time that it is another or
    /// proclaims another value; nothing while nobody leads. What was between two looks may be left
    /// out, and a process that is cut off sees the leader of before. Errors: unavailable
    /// "store.closed"; the store's. Cancel safety: throws `cancelled`, nothing is lost.
    Task<std::optional<Leader>> next();

private:
    class View;
    explicit LeaderWatch(SteadyWatch watch);

    SteadyWatch watch_;
    std::shared_ptr<View> view_;
};

}  // namespace stator::store
