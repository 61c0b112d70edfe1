// Session: keys that are gone for good once their holder may be, in an order that everybody agrees
// on. What locks, elections and barriers are made of.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/task.hpp"
#include "stator/store/entry.hpp"

namespace stator::store {

class KeyValueStore;
class SessionBody;

struct SessionOptions {
    /// Cancelled: the session ends, with its keys.
    CancellationToken bound_to{};
    /// How long its keys outlive a holder that is heard of no more; zero: the backend's own. etcd
    /// counts whole seconds and may take more.
    Duration ttl{};
};

/// What a key must be for a GuardedWrite to happen.
struct Guard {
    std::string key;
    std::uint64_t created = 0;  ///< `Entry::created` of it; 0: the key must not be there
};

/// Happens as a whole or not at all. What it puts is kept by the session.
struct GuardedWrite {
    struct Put {
        std::string key;
        std::string value;
    };
    std::vector<Guard> guards;
    std::vector<Put> puts;
};

struct GuardedReply {
    bool done = false;
    std::uint64_t revision = 0;  ///< of what was put, if it is done
    /// Otherwise the keys of the guards, in their order, as they are instead.
    std::vector<std::optional<Entry>> found{};
};

/// Unlike a Lease it never recovers: once its time has run out without a renewal, the backend has
/// dropped it, or somebody has removed a key that it keeps, it is lost, its token is cancelled with
/// `peer_gone`, and its keys never come back. The token fires a tenth of the TTL before anybody can
/// take keys that are there for gone (or its holder closes it), as long as the holder's loops run;
/// one that is held up (a stopped process) has fencing tokens: `Entry::created` of a key it keeps.
///
/// A cheap copyable handle; thread-safe. Once the last one is gone, the session is closed.
class Session {
public:
    Session() noexcept = default;

    explicit operator bool() const noexcept { return owner_ != nullptr; }
    /// 16 hex digits, of this session only.
    const std::string& id() const noexcept;
    Duration ttl() const noexcept;
    const std::shared_ptr<KeyValueStore>& store() const noexcept;
    /// Cancelled once it is lost (`peer_gone`) or closed.
    const CancellationToken& token() const noexcept;
    /// Whether it is certain at this moment that nobody else takes its keys for gone. Looks at the
    /// clock, so it is right even before the token could fire.
    bool alive() const noexcept;

    /// Errors: unavailable "store.session_lost" once it is not alive; the store's.
    /// Cancel safety: throws `cancelled`; the write may have happened.
    Task<GuardedReply> write(GuardedWrite write) const;
    /// Removes its keys; returns when that is confirmed or given up after 5 s (they run out by
    /// themselves then). Never throws but `cancelled`; idempotent. Cancel safety: it is closed all
    /// the same.
    Task<> close() const;
    /// Throws unavailable "store.session_lost" with the reason, once it is lost.
    Task<> until_lost() const;

private:
    friend class KeyValueStore;
    struct Owner;
    explicit Session(std::shared_ptr<SessionBody> body);
    std::shared_ptr<Owner> owner_;
};

}  // namespace stator::store
