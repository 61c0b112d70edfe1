#include "stator/store/memory_store.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "stator/runtime/timer.hpp"
#include "stator/runtime/version_gate.hpp"
#include "store/lease_body.hpp"
#include "store/session_body.hpp"
#include "store/watch_hub.hpp"

namespace stator::store {

namespace {

/// The keys of one name, shared by everyone who opened it. Thread-safe. An owner's keys are taken
/// out before it dies.
class Space {
public:
    using SessionId = std::uint64_t;

    WatchHub& hub() noexcept { return *hub_; }

    bool put(const Entry& entry, LeaseBody* owner, bool only_new) {
        const std::lock_guard guard{lock_};
        drop_expired();
        if (only_new && owners_.contains(entry.key)) return false;
        owner->keys.insert_or_assign(entry.key, entry.value);
        write(entry.key, entry.value, {.lease = owner});
        return true;
    }
    bool replace(const std::string& old, const Entry& entry, LeaseBody* owner) {
        const std::lock_guard guard{lock_};
        drop_expired();
        const auto taken = owners_.find(entry.key);
        const auto same = owner->keys.find(entry.key);
        if (taken != owners_.end() && (taken->second.lease != owner || same->second != entry.value))
            return false;
        owner->keys.insert_or_assign(entry.key, entry.value);
        write(entry.key, entry.value, {.lease = owner});
        remove_known(old, owner->store.lock().get());
        return true;
    }
    /// `by` forgets the key if it was its own; another party's owner may put it again.
    bool remove(const std::string& key, const KeyValueStore* by) {
        const std::lock_guard guard{lock_};
        return remove_known(key, by);
    }
    void publish_again(LeaseBody* owner) {
        const std::lock_guard guard{lock_};
        for (const auto& [key, value] : owner->keys) {
            if (!owners_.contains(key)) write(key, value, {.lease = owner});
        }
    }
    void forget(const LeaseBody* owner) {
        const std::lock_guard guard{lock_};
        erase_of([owner](const Owner& its) { return its.lease == owner; });
    }

    SessionId begin_session(Duration ttl) {
        const std::lock_guard guard{lock_};
        drop_expired();
        sessions_[++last_session_] = now() + ttl;
        begun_.advance();
        return last_session_;
    }
    bool renew_session(SessionId session, Duration ttl) {
        const std::lock_guard guard{lock_};
        drop_expired();
        const auto found = sessions_.find(session);
        if (found == sessions_.end()) return false;
        found->second = now() + ttl;
        return true;
    }
    void end_session(SessionId session) {
        const std::lock_guard guard{lock_};
        if (sessions_.erase(session) != 0) erase_keys(session);
    }
    /// Drops what has run out; when there may be more to drop, never if there is no session.
    Deadline sweep() {
        const std::lock_guard guard{lock_};
        drop_expired();
        Deadline next;
        for (const auto& [session, end] : sessions_) next = earliest(next, Deadline::at(end));
        return next;
    }
    /// Advances with each session that begins.
    VersionGate& begun() noexcept { return begun_; }
    /// Nothing if there is no such session any more.
    std::optional<GuardedReply> write_guarded(SessionId session, const GuardedWrite& wanted) {
        const std::lock_guard guard{lock_};
        drop_expired();
        if (!sessions_.contains(session)) return std::nullopt;
        GuardedReply reply{.done = true};
        for (const auto& condition : wanted.guards) {
            reply.found.push_back(hub_->find(condition.key));
            const auto& now_there = reply.found.back();
            if ((now_there ? now_there->created : 0) != condition.created) reply.done = false;
        }
        if (!reply.done) return reply;
        reply.found.clear();
        reply.revision = ++revision_;
        for (const auto& put : wanted.puts)
            write_at(reply.revision, put.key, put.value, {.session = session});
        return reply;
    }

private:
    /// One of the two: a lease that puts the key again, or a session that does not.
    struct Owner {
        LeaseBody* lease = nullptr;
        SessionId session = 0;
    };
    static TimePoint now() { return Clock::current().now(); }

    void write(const std::string& key, const std::string& value, Owner owner) {
        write_at(++revision_, key, value, owner);
    }
    void write_at(
        std::uint64_t revision, const std::string& key, const std::string& value, Owner owner
    ) {
        const auto before = hub_->find(key);
        owners_.insert_or_assign(key, owner);
        hub_->put(Entry{
            .key = key,
            .value = value,
            .revision = revision,
            .created = before ? before->created : revision,
        });
    }
    bool remove_known(const std::string& key, const KeyValueStore* by) {
        const auto found = owners_.find(key);
        if (found == owners_.end()) return false;
        auto* const lease = found->second.lease;
        if (lease != nullptr && lease->store.lock().get() == by) lease->keys.erase(key);
        erase(key);
        return true;
    }
    void erase(const std::string& key) {
        owners_.erase(key);
        ++revision_;
        hub_->remove(key);
    }
    template <class Which>
    void erase_of(Which which) {
        std::vector<std::string> lost;
        for (const auto& [key, owner] : owners_) {
            if (which(owner)) lost.push_back(key);
        }
        for (const auto& key : lost) erase(key);
    }
    void erase_keys(SessionId session) {
        erase_of([session](const Owner& its) { return its.session == session; });
    }
    void drop_expired() {
        const auto past = now();
        std::erase_if(sessions_, [&](const auto& item) {
            const bool over = item.second <= past;
            if (over) erase_keys(item.first);
            return over;
        });
    }

    std::mutex lock_;  // above the hub's
    std::map<std::string, Owner, std::less<>> owners_;
    std::map<SessionId, TimePoint> sessions_;  // and when they run out
    SessionId last_session_ = 0;
    VersionGate begun_;
    std::uint64_t revision_ = 0;
    std::shared_ptr<WatchHub> hub_ = std::make_shared<WatchHub>();
};

/// One space per name, for as long as somebody uses it.
std::shared_ptr<Space> space_of(const std::string& name) {
    static std::mutex lock;
    static std::map<std::string, std::weak_ptr<Space>> spaces;
    const std::lock_guard guard{lock};
    std::erase_if(spaces, [](const auto& item) { return item.second.expired(); });
    auto& known = spaces[name];
    auto space = known.lock();
    if (!space) known = space = std::make_shared<Space>();
    return space;
}

}  // namespace

struct MemoryStore::State {
    explicit State(Options options_)
        : options{std::move(options_)}, space{space_of(options.name)} {}

    void check_available() const {
        if (outage.load(std::memory_order_acquire))
            throw Error{ErrorCode::unavailable, "store.outage", "the memory store is told to fail"};
    }
    void check_lease(const LeaseBody& lease) const {
        check_available();
        if (lease.token.cancelled())
            throw Error{ErrorCode::unavailable, "store.lease_revoked", "the lease is revoked"};
    }

    const Options options;
    const std::shared_ptr<Space> space;
    std::atomic<bool> outage{false};
    bool sweeping = false;
    std::vector<std::weak_ptr<WatchQueue>> watches;  // end with this party; those of others go on
};

std::shared_ptr<MemoryStore> MemoryStore::open(Loop& loop, Options options) {
    return std::shared_ptr<MemoryStore>{new MemoryStore{loop, std::move(options)}};
}

MemoryStore::MemoryStore(Loop& loop, Options options)
    : KeyValueStore{loop}, state_{std::make_shared<State>(std::move(options))} {}

MemoryStore::~MemoryStore() = default;

void MemoryStore::simulate_outage(bool unavailable) noexcept {
    state_->outage.store(unavailable, std::memory_order_release);
}

void MemoryStore::simulate_loss(const Lease& lease) {
    const auto& body = body_of(lease);
    state_->space->forget(body.get());
    body->set_state(LeaseState::recovering);
}

void MemoryStore::simulate_resync() { state_->space->hub().resync(); }

Task<std::shared_ptr<LeaseBody>> MemoryStore::do_grant_lease(LeaseOptions options) {
    state_->check_available();
    const auto ttl = options.ttl == Duration::zero() ? state_->options.ttl : options.ttl;
    co_return add_lease(ttl, ttl / 3, options.bound_to);
}

Task<> MemoryStore::do_refresh(std::shared_ptr<LeaseBody> lease) {
    state_->check_available();
    state_->space->publish_again(lease.get());
    co_return;
}

Task<> MemoryStore::do_revoke(std::shared_ptr<LeaseBody> lease) {
    state_->space->forget(lease.get());
    lease->keys.clear();
    co_return;
}

Task<std::optional<Entry>> MemoryStore::do_get(std::string key) {
    state_->check_available();
    co_return state_->space->hub().find(key);
}

Task<std::vector<Entry>> MemoryStore::do_list(std::string prefix) {
    state_->check_available();
    co_return state_->space->hub().list(prefix);
}

Task<> MemoryStore::do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) {
    state_->check_lease(*lease);
    state_->space->put(Entry{std::move(key), std::move(value)}, lease.get(), false);
    co_return;
}

Task<bool> MemoryStore::do_create(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    state_->check_lease(*lease);
    co_return state_->space->put(Entry{std::move(key), std::move(value)}, lease.get(), true);
}

Task<bool> MemoryStore::do_remove(std::string key) {
    state_->check_available();
    co_return state_->space->remove(key, this);
}

/// Whoever watches sees sessions run out, even if nobody is left who renews one.
Task<> MemoryStore::sweep(std::shared_ptr<State> state) {
    for (;;) {
        const auto seen = state->space->begun().version();
        const auto next = state->space->sweep();
        if (next.is_never())
            (void)co_await state->space->begun().wait_past(seen);
        else
            co_await sleep_until(next);
    }
}

Task<bool> MemoryStore::do_replace(std::string old, Entry entry, std::shared_ptr<LeaseBody> lease) {
    state_->check_lease(*lease);
    co_return state_->space->replace(old, entry, lease.get());
}

Task<Watch> MemoryStore::do_watch(std::string prefix) {
    state_->check_available();
    std::erase_if(state_->watches, [](const auto& watch) { return watch.expired(); });
    auto queue = state_->space->hub().subscribe(std::move(prefix));
    state_->watches.push_back(queue);
    if (!std::exchange(state_->sweeping, true)) scope().spawn(sweep(state_));
    co_return Watch{std::move(queue)};
}

/// A session in the space; a party that is told to fail reaches it no more.
class MemoryStore::Hold final : public SessionHold {
public:
    Hold(std::shared_ptr<State> state, Duration ttl)
        : SessionHold{ttl}, state_{std::move(state)}, session_{state_->space->begin_session(ttl)} {}

    Task<bool> renew() override {
        state_->check_available();
        co_return state_->space->renew_session(session_, ttl());
    }
    Task<GuardedReply> write(GuardedWrite write) override {
        state_->check_available();
        auto reply = state_->space->write_guarded(session_, write);
        if (!reply)
            throw Error{
                ErrorCode::unavailable, "store.session_lost", "the store has dropped the session"
            };
        co_return std::move(*reply);
    }
    Task<> end() override {
        state_->check_available();
        state_->space->end_session(session_);
        co_return;
    }

private:
    const std::shared_ptr<State> state_;
    const Space::SessionId session_;
};

Task<std::shared_ptr<SessionHold>> MemoryStore::do_open_session(Duration ttl) {
    state_->check_available();
    co_return std::make_shared<Hold>(state_, ttl == Duration::zero() ? state_->options.ttl : ttl);
}

Task<> MemoryStore::do_close() {
    for (const auto& watch : state_->watches) {
        if (const auto queue = watch.lock()) queue->close();
    }
    co_return;
}

}  // namespace stator::store
