// The working parts of an EtcdStore.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/store/etcd_store.hpp"
#include "store/etcd/held_lease.hpp"
#include "store/etcd/identity.hpp"
#include "store/etcd/link.hpp"
#include "store/etcd/watches.hpp"
#include "store/key_gates.hpp"
#include "store/lease_body.hpp"

namespace stator::store {

/// Everything on the store's loop. Besides the calls there run: a keep-alive per lease
/// (KeyValueStore's), and what Watches needs while somebody watches.
class EtcdStore::Impl {
public:
    Impl(EtcdStore& store, std::shared_ptr<etcd::Link> link);

    Task<> start();
    Task<std::shared_ptr<LeaseBody>> grant(LeaseOptions options);
    Task<> refresh(std::shared_ptr<LeaseBody> lease);
    Task<> revoke(std::shared_ptr<LeaseBody> lease);
    /// What a write may replace.
    enum class Over : std::uint8_t { anything, own, nothing };
    Task<bool> write(Entry entry, std::shared_ptr<LeaseBody> lease, Over over);
    Task<bool> remove(std::string key);
    Task<bool> replace(std::string old, Entry entry, std::shared_ptr<LeaseBody> lease);
    Task<> remove_own(Entry entry, std::shared_ptr<LeaseBody> lease);
    std::int64_t id_of(const LeaseBody* lease) const noexcept;
    void close();

    const std::shared_ptr<etcd::Link> link;
    std::unique_ptr<etcd::Watches> watches;

private:
    friend struct EtcdStoreAccess;  // of the tests
    using Body = std::shared_ptr<LeaseBody>;
    using HeldLease = etcd::HeldLease;
    using Held = std::shared_ptr<HeldLease>;

    Held held(const Body& lease) const;
    Deadline renewal_deadline(const LeaseBody& lease) const;
    Task<> recover(Body lease, Held mine);
    Task<> check_keys(Body lease, Held mine);
    Task<> publish_again(Body lease, Held mine, std::vector<std::string> keys);
    Task<> publish_one(Body lease, Held mine, std::string key);
    Task<bool> replace_once(std::string old, Entry entry, Body lease, Held mine);
    Task<bool> write_once(Entry entry, Body lease, Held mine, Over over);
    Held give_up(const Entry& entry, const Body& lease);
    Held give_up(const std::string& key);
    Task<> remove_kept(Held mine, Entry entry);
    static void to_be_removed(HeldLease& mine, const Entry& entry);
    static void removed(HeldLease& mine, const std::string& key);
    void own(const Entry& entry, const Body& lease, HeldLease& mine);
    static void leave_to_others(const std::string& key, const Body& lease);
    static void is_ours_again(const std::string& key, const Body& lease);
    void on_change_of_own(const std::string& key, std::optional<std::int64_t> by);
    void disown(const std::string& key);
    void everything_anew();

    EtcdStore& store_;
    const std::shared_ptr<etcd::Identity> identity_;
    std::map<const LeaseBody*, Held> leases_;
    std::map<std::string, std::weak_ptr<LeaseBody>, std::less<>> owners_;
    KeyGates gates_;
};

}  // namespace stator::store
