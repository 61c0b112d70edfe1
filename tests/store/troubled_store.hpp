// A store that a test can get in the way of, one call at a time.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "stator/store/key_value_store.hpp"
#include "store/lease_body.hpp"
#include "store/session_body.hpp"

namespace stator::test {

/// Everything is done by the store behind it, whose sessions do not run out. What is set is awaited
/// on the way: it may throw, or take its time.
class TroubledStore : public store::KeyValueStore {
    using Entry = store::Entry;
    using LeasePtr = std::shared_ptr<store::LeaseBody>;

public:
    TroubledStore(Loop& loop, std::shared_ptr<KeyValueStore> behind)
        : KeyValueStore{loop}, behind_{std::move(behind)} {}

    std::string_view backend() const noexcept override { return "troubled"; }
    bool has_sessions() const noexcept override { return true; }

    std::function<Task<>(std::string prefix)> before_watch;
    std::function<Task<>()> before_list;
    std::function<Task<>()> before_renewal;  ///< of a session, as what follows
    std::function<Task<>()> before_end;
    std::function<Task<>(std::string key)> after_write;  ///< its first
    /// Nothing is in the way any more.
    void let_go() {
        before_watch = nullptr;
        before_list = nullptr;
        before_renewal = nullptr;
        before_end = nullptr;
        after_write = nullptr;
    }

private:
    class Hold final : public store::SessionHold {
    public:
        Hold(std::shared_ptr<TroubledStore> store, store::Session session, Duration ttl)
            : SessionHold{ttl}, store_{std::move(store)}, session_{std::move(session)} {}
        Task<bool> renew() override {
            if (store_->before_renewal) co_await store_->before_renewal();
            co_return session_.alive();
        }
        Task<store::GuardedReply> write(store::GuardedWrite write) override {
            auto reply = co_await session_.write(write);
            if (store_->after_write) co_await store_->after_write(write.puts.front().key);
            co_return reply;
        }
        Task<> end() override {
            if (store_->before_end) co_await store_->before_end();
            co_await session_.close();
        }

    private:
        const std::shared_ptr<TroubledStore> store_;
        const store::Session session_;
    };

    static Error no_leases() { return Error{ErrorCode::unimplemented, "a store of sessions"}; }
    Task<LeasePtr> do_grant_lease(store::LeaseOptions) override { throw no_leases(); }
    Task<> do_refresh(LeasePtr) override { throw no_leases(); }
    Task<> do_revoke(LeasePtr) override { throw no_leases(); }
    Task<> do_put(std::string, std::string, LeasePtr) override { throw no_leases(); }
    Task<bool> do_create(std::string, std::string, LeasePtr) override { throw no_leases(); }
    Task<bool> do_remove(std::string key) override { return behind_->remove(std::move(key)); }
    Task<std::optional<Entry>> do_get(std::string key) override {
        return behind_->get(std::move(key));
    }
    Task<std::vector<Entry>> do_list(std::string prefix) override {
        if (before_list) co_await before_list();
        co_return co_await behind_->list(std::move(prefix));
    }
    Task<store::Watch> do_watch(std::string prefix) override {
        if (before_watch) co_await before_watch(prefix);
        co_return co_await behind_->watch(std::move(prefix));
    }
    Task<std::shared_ptr<store::SessionHold>> do_open_session(Duration ttl) override {
        auto session = co_await behind_->open_session({});
        if (ttl == Duration::zero()) ttl = session.ttl();
        co_return std::make_shared<Hold>(
            std::static_pointer_cast<TroubledStore>(shared_from_this()), std::move(session), ttl
        );
    }
    Task<> do_close() override { return behind_->close(Deadline::in(std::chrono::seconds{5})); }

    const std::shared_ptr<KeyValueStore> behind_;
};

}  // namespace stator::test
