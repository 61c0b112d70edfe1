// EtcdClient: etcd itself, for what a KeyValueStore does not offer.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/base/clock.hpp"
#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/runtime/task.hpp"
#include "stator/settings/settings.hpp"
#include "stator/store/etcd_transaction.hpp"

namespace stator::store {

namespace etcd {
class Link;
}

struct EtcdOptions {
    /// "http://host:port" or "https://host:port", tried in turn.
    std::vector<std::string> endpoints{"http://localhost:2379"};
    std::string username{};  ///< empty: nobody in particular
    std::string password{};
    // PEM texts, or the files that hold them.
    std::string ca{};  ///< whose certificates a member may have; empty: the system's
    std::string client_cert{};
    std::string client_key{};
    Duration lease_ttl = std::chrono::seconds{30};         ///< whole seconds
    Duration startup_timeout = std::chrono::seconds{120};  ///< for the first answer
    Duration call_timeout = std::chrono::seconds{5};       ///< of a call, with all its attempts
    Duration ping_interval = std::chrono::seconds{15};     ///< of a silent connection; 0: never
    Duration ping_timeout = std::chrono::seconds{10};
    std::string module{};  ///< the file of the module that speaks with etcd; empty: looked for

    /// Reads the files. Errors: invalid_request "store.options" naming what is wrong.
    static Result<EtcdOptions> from_settings(const settings::EtcdSettings& settings);
};

/// All keys below a prefix as they were at one revision.
struct EtcdListing {
    std::vector<EtcdEntry> entries{};  ///< sorted by key
    std::int64_t revision = 0;
};

struct EtcdStatus {
    std::string endpoint{};  ///< which member answered
    std::string version{};
    std::uint64_t member_id = 0;
    std::uint64_t leader = 0;
    EtcdHeader header{};
};

/// A cheap copy over shared state; any loop (the work is done on the store's own). It ends with
/// its store: every call fails with unavailable "store.closed" then. Keys are any bytes.
///
/// A call tries one member after the other, with back-off once all have failed, until the options'
/// `call_timeout` is over; `with_deadline` shortens it. Errors: unavailable "store.unreachable",
/// "store.no_leader", "store.tls"; unauthenticated "store.authentication"; permission_denied
/// "store.permission"; overloaded "store.no_space"; payload_too_large "store.too_large";
/// invalid_request "store.request"; unavailable "store.outcome_unknown" for a transaction that is
/// not `repeatable`, if the member that was asked is gone; `put` and `remove` are done again then.
/// Cancel safety: throws `cancelled`; a change that had begun may have happened.
class EtcdClient {
public:
    Task<EtcdTransactionReply> txn(EtcdTransaction transaction) const;

    Task<std::optional<EtcdEntry>> get(std::string key) const;
    /// In pages, all of the same revision.
    Task<EtcdListing> list(std::string prefix) const;
    /// Writes the key and says what it is now. `lease` is etcd's id of one; 0: the key stays.
    Task<EtcdEntry> put(std::string key, std::string value, std::int64_t lease = 0) const;
    /// The key as it was created; nothing if it existed. Repeated inside without being taken in by
    /// its own earlier attempt, if `value` and `lease` tell that one from those of others.
    Task<std::optional<EtcdEntry>> create(
        std::string key, std::string value, std::int64_t lease = 0
    ) const;
    /// The key as it is now if it had not changed since `mod_revision`, nothing otherwise.
    Task<std::optional<EtcdEntry>> compare_and_swap(
        std::string key, std::string value, std::int64_t mod_revision, std::int64_t lease = 0
    ) const;
    /// How many keys are gone.
    Task<std::int64_t> remove(std::string key) const;
    Task<std::int64_t> remove_prefix(std::string prefix) const;
    /// Its keys are gone. A lease that a store holds is replaced by it, with its keys. False if
    /// there is none of that id.
    Task<bool> revoke_lease(std::int64_t lease) const;
    /// Forgets what was before `revision`.
    Task<> compact(std::int64_t revision) const;
    Task<EtcdStatus> status() const;

private:
    friend class EtcdStore;
    EtcdClient(Loop& loop, std::shared_ptr<etcd::Link> link) noexcept
        : loop_{&loop}, link_{std::move(link)} {}
    Loop* loop_;
    std::shared_ptr<etcd::Link> link_;
};

}  // namespace stator::store
