// The working parts of a NatsStore.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/nats/client.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/store/nats_store.hpp"
#include "store/jetstream/bucket.hpp"
#include "store/jetstream/watches.hpp"
#include "store/key_gates.hpp"
#include "store/lease_body.hpp"

namespace stator::store {

/// Everything on the store's loop.
class NatsStore::Impl {
public:
    Impl(nats::Client client, std::shared_ptr<jetstream::Bucket> bucket);
    void belongs_to(NatsStore& store, TaskScope& scope);

    std::shared_ptr<LeaseBody> grant(const LeaseOptions& options);
    Task<> refresh(std::shared_ptr<LeaseBody> lease);
    Task<> revoke(std::shared_ptr<LeaseBody> lease);
    /// What a write may replace.
    enum class Over : std::uint8_t { anything, own, nothing };
    Task<bool> write(Entry entry, std::shared_ptr<LeaseBody> lease, Over over);
    Task<bool> remove(std::string key);
    Task<> remove_own(std::string key, std::shared_ptr<LeaseBody> lease);
    Task<std::uint64_t> put_lasting(std::string key, std::string value);

    const nats::Client client;
    const std::shared_ptr<jetstream::Bucket> bucket;
    std::unique_ptr<jetstream::Watches> watches;

private:
    using Body = std::shared_ptr<LeaseBody>;
    /// The last write of a key by us.
    struct Written {
        std::uint64_t sequence = 0;
        std::uint64_t revision = 0;
        std::uint64_t created = 0;
    };
    struct HeldLease {
        std::string owner;  ///< what the header of its keys says
        std::map<std::string, Written, std::less<>> written;
        Semaphore turn{1};  ///< of what renews or revokes
    };
    using Held = std::shared_ptr<HeldLease>;
    Held held(const Body& lease) const;
    Task<> publish_one(Body lease, Held mine, std::string key);
    Task<> remove_written(std::string key, Held mine);
    Task<std::optional<Written>> write_over(
        const Entry* entry, const HeldLease* mine, Over over, std::optional<Written> known
    );
    static bool may_replace(
        const std::optional<jetstream::Record>& now, const HeldLease* mine, Over over
    );
    void own(const Entry& entry, const Body& lease, HeldLease& mine, Written written);
    void disown(const std::string& key);
    static void leave_to_others(const std::string& key, const Body& lease);
    static void is_ours_again(const std::string& key, const Body& lease);

    NatsStore* store_ = nullptr;
    std::map<const LeaseBody*, Held> leases_;
    std::map<std::string, std::weak_ptr<LeaseBody>, std::less<>> owners_;
    KeyGates gates_;
};

}  // namespace stator::store
