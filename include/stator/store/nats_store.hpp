// NatsStore: a bucket of NATS's JetStream as a KeyValueStore.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "stator/nats/options.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::store {

struct NatsStoreOptions {
    nats::ClientOptions client{};
    std::string bucket = "stator";  ///< letters, digits, "-" and "_"
    /// Of a bucket that is not there yet: what becomes of a key that nobody renews. Zero: it stays.
    Duration ttl = std::chrono::seconds{30};
    bool create = true;        ///< a bucket that is not there
    std::size_t replicas = 1;  ///< of a bucket that is not there
    Duration call_timeout = std::chrono::seconds{5};
};

/// A key is a subject, so that any NATS tool can read it (docs/store-tools.md). A bucket whose keys
/// run out keeps what leases and sessions write, by having it written again twice in that time; in
/// one whose keys stay there are neither, only `put_lasting`. One time for a whole bucket is what
/// the server has: no lease has another.
///
/// Watches go on after the server was away, with a snapshot if anything is different. Not for
/// discovery, since its keys come and go with each write.
///
/// Errors: those of nats::Client; unimplemented "nats.no_jetstream", "store.bucket" (one that does
/// not allow direct reads), "store.no_ttl" (leases in a bucket whose keys stay),
/// "store.keys_expire"
/// (`put_lasting` in one whose keys run out); not_found "store.no_bucket"; invalid_request
/// "store.ttl", "store.options".
class NatsStore final : public KeyValueStore {
public:
    static Task<std::shared_ptr<NatsStore>> open(Loop& loop, NatsStoreOptions options);
    ~NatsStore() override;

    std::string_view backend() const noexcept override { return "nats"; }
    bool has_sessions() const noexcept override;
    /// After which a key is gone that nobody renews; zero: never.
    Duration ttl() const noexcept;
    /// A key that stays until it is removed. The revision.
    Task<std::uint64_t> put_lasting(std::string key, std::string value);

private:
    class Impl;
    NatsStore(Loop& loop, std::unique_ptr<Impl> impl);
    static Task<std::shared_ptr<NatsStore>> open_here(Loop* loop, NatsStoreOptions options);

    Task<std::shared_ptr<LeaseBody>> do_grant_lease(LeaseOptions options) override;
    Task<> do_refresh(std::shared_ptr<LeaseBody> lease) override;
    Task<> do_revoke(std::shared_ptr<LeaseBody> lease) override;
    Task<std::optional<Entry>> do_get(std::string key) override;
    Task<std::vector<Entry>> do_list(std::string prefix) override;
    Task<> do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) override;
    Task<bool> do_create(std::string key, std::string value, std::shared_ptr<LeaseBody> lease)
        override;
    Task<bool> do_remove(std::string key) override;
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
