// EtcdStore: an etcd cluster as a KeyValueStore.
#pragma once

#include <memory>
#include <string>

#include "stator/store/etcd_client.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::store {

/// What is written is kept by a lease of etcd, so it is gone a TTL after its process. A lease that
/// etcd has dropped is replaced by a new one under which the same keys are published again: where
/// a key is still there it is taken over, if it is still the one that was written here; one that
/// somebody else has created since stays theirs, with a warning. docs/etcd.md.
///
/// All watches of the store share one stream of etcd, and those of one prefix share one watch.
/// They survive whatever happens to members: a watch goes on where it was, or begins again with a
/// snapshot where the history is gone or the store has become another one.
///
/// Errors: as of EtcdClient, and unimplemented "store.module", invalid_request "store.options",
/// invalid_request "store.ttl".
class EtcdStore final : public KeyValueStore {
public:
    /// Waits for a first answer, at most `options.startup_timeout`; at once if the answer is no.
    static Task<std::shared_ptr<EtcdStore>> open(Loop& loop, EtcdOptions options);
    ~EtcdStore() override;

    std::string_view backend() const noexcept override { return "etcd"; }
    bool has_sessions() const noexcept override { return true; }
    EtcdClient client() const noexcept;
    /// etcd's id of the lease, which changes when it is lost: for transactions of one's own. Keys
    /// that are put under it behind the store's back are not published again. 0 if it is revoked.
    Task<std::int64_t> server_lease(Lease lease);
    /// The address of this machine from which etcd is reached: numeric, loopback if etcd is there.
    Task<std::string> local_address();

private:
    class Impl;
    EtcdStore(Loop& loop, std::shared_ptr<etcd::Link> link);
    friend struct EtcdStoreAccess;  // of the tests, which bring their own members
    static Task<std::shared_ptr<EtcdStore>> open_over(Loop* loop, std::shared_ptr<etcd::Link> link);
    static Task<std::shared_ptr<EtcdStore>> open_here(Loop* loop, EtcdOptions options);

    Task<std::shared_ptr<LeaseBody>> do_grant_lease(LeaseOptions options) override;
    Task<> do_refresh(std::shared_ptr<LeaseBody> lease) override;
    Task<> do_revoke(std::shared_ptr<LeaseBody> lease) override;
    Task<std::optional<Entry>> do_get(std::string key) override;
    Task<std::vector<Entry>> do_list(std::string prefix) override;
    Task<> do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) override;
    Task<bool> do_create(std::string key, std::string value, std::shared_ptr<LeaseBody> lease)
        override;
    Task<bool> do_remove(std::string key) override;
    Task<bool> do_replace(std::string old, Entry entry, std::shared_ptr<LeaseBody> lease) override;
    Task<bool> do_claim(std::string key, std::string value, std::shared_ptr<LeaseBody> lease)
        override;
    Task<> do_remove_own(std::string key, std::string value, std::shared_ptr<LeaseBody> lease)
        override;
    Task<Watch> do_watch(std::string prefix) override;
    Task<std::shared_ptr<SessionHold>> do_open_session(Duration ttl) override;
    Task<> do_close() override;

    std::unique_ptr<Impl> impl_;
};

}  // namespace stator::store
