#include "stator/store/memory_store.hpp"

#include <atomic>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

#include "store/lease_body.hpp"
#include "store/watch_hub.hpp"

namespace stator::store {

namespace {

/// The keys of one name, shared by everyone who opened it. Thread-safe. An owner's keys are taken
/// out before it dies.
class Space {
public:
    WatchHub& hub() noexcept { return *hub_; }

    bool put(const Entry& entry, LeaseBody* owner, bool only_new) {
        const std::lock_guard guard{lock_};
        if (only_new && owners_.contains(entry.key)) return false;
        owner->keys.insert_or_assign(entry.key, entry.value);
        write(entry.key, entry.value, owner);
        return true;
    }
    /// `by` forgets the key if it was its own; another party's owner may put it again.
    bool remove(const std::string& key, const KeyValueStore* by) {
        const std::lock_guard guard{lock_};
        const auto found = owners_.find(key);
        if (found == owners_.end()) return false;
        if (found->second->store.lock().get() == by) found->second->keys.erase(key);
        erase(key);
        return true;
    }
    void publish_again(LeaseBody* owner) {
        const std::lock_guard guard{lock_};
        for (const auto& [key, value] : owner->keys) {
            if (!owners_.contains(key)) write(key, value, owner);
        }
    }
    void forget(const LeaseBody* owner) {
        const std::lock_guard guard{lock_};
        std::vector<std::string> lost;
        for (const auto& [key, its_owner] : owners_) {
            if (its_owner == owner) lost.push_back(key);
        }
        for (const auto& key : lost) erase(key);
    }

private:
    void write(const std::string& key, const std::string& value, LeaseBody* owner) {
        owners_.insert_or_assign(key, owner);
        hub_->put(Entry{.key = key, .value = value, .revision = ++revision_});
    }
    void erase(const std::string& key) {
        owners_.erase(key);
        ++revision_;
        hub_->remove(key);
    }

    std::mutex lock_;  // above the hub's
    std::map<std::string, LeaseBody*, std::less<>> owners_;
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
    std::vector<std::weak_ptr<WatchQueue>> watches;  // end with this party; those of others go on
};

std::shared_ptr<MemoryStore> MemoryStore::open(Loop& loop, Options options) {
    return std::shared_ptr<MemoryStore>{new MemoryStore{loop, std::move(options)}};
}

MemoryStore::MemoryStore(Loop& loop, Options options)
    : KeyValueStore{loop}, state_{std::make_unique<State>(std::move(options))} {}

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

Task<Watch> MemoryStore::do_watch(std::string prefix) {
    state_->check_available();
    std::erase_if(state_->watches, [](const auto& watch) { return watch.expired(); });
    auto queue = state_->space->hub().subscribe(std::move(prefix));
    state_->watches.push_back(queue);
    co_return Watch{std::move(queue)};
}

Task<> MemoryStore::do_close() {
    for (const auto& watch : state_->watches) {
        if (const auto queue = watch.lock()) queue->close();
    }
    co_return;
}

}  // namespace stator::store
