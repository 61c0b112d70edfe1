// MemoryStore: a store inside this process.
#pragma once

#include <memory>
#include <string>

#include "stator/store/key_value_store.hpp"

namespace stator::store {

/// Everyone who opens the same name in this process sees the same keys; other processes see
/// nothing. An object is one party, as a process is with the other backends: closing it drops its
/// leases and its keys. Leases do not expire while the process lives; sessions do, when they are
/// not renewed in time.
class MemoryStore final : public KeyValueStore {
public:
    struct Options {
        std::string name = "default";
        Duration ttl = std::chrono::seconds{10};  ///< of sessions; what leases say
    };
    static std::shared_ptr<MemoryStore> open(Loop& loop, Options options);
    static std::shared_ptr<MemoryStore> open(Loop& loop) { return open(loop, Options{}); }
    ~MemoryStore() override;

    std::string_view backend() const noexcept override { return "mem"; }
    bool has_sessions() const noexcept override { return true; }

    /// For tests of what is built on a store. While unavailable every call but `close` fails with
    /// `unavailable` and nothing is renewed. Any thread.
    void simulate_outage(bool unavailable) noexcept;
    /// The backend forgets the keys of `lease`, which is `recovering` until it is next renewed.
    /// Any thread.
    void simulate_loss(const Lease& lease);
    /// Every watch of the name gets a fresh snapshot. Any thread.
    void simulate_resync();

private:
    struct State;
    class Hold;
    MemoryStore(Loop& loop, Options options);
    static Task<> sweep(std::shared_ptr<State> state);

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
    Task<Watch> do_watch(std::string prefix) override;
    Task<std::shared_ptr<SessionHold>> do_open_session(Duration ttl) override;
    Task<> do_close() override;

    std::shared_ptr<State> state_;  // with its sessions
};

}  // namespace stator::store
