// KvCache<T>: a local copy of a prefix that follows the store.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "stator/codec/payload.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/watch_channel.hpp"
#include "stator/store/typed_watch.hpp"

namespace stator::store {

namespace detail {

/// Throws Error{invalid_request}, detail "store.key", unless the prefix ends with "/".
void check_cache_prefix(std::string_view prefix);

}  // namespace detail

/// Reading costs no call: it is a look at an immutable snapshot. Writing goes to the store, and
/// comes back through the watch, the only thing that changes the copy: so the copy goes through the
/// values of a key in the order in which the store had them, and whoever has written sees what was
/// written, or what replaced it, when the write returns.
///
/// Each change copies the map (of pointers); what comes together is applied together. Values that
/// cannot be decoded are reported and left out.
///
/// Shared by `shared_ptr`, neither copyable nor movable; thread-safe. Whoever opened it ends it
/// with `close`.
template <class T>
    requires Encodable<T> && Decodable<T>
class KvCache {
public:
    struct Item {
        T value;
        std::string encoded;
    };
    /// By name: the key without the prefix.
    using Map = std::map<std::string, std::shared_ptr<const Item>, std::less<>>;
    using Seen = typename WatchChannel<Map>::Seen;
    using Change = TypedEvent<T>;

    struct Options {
        PayloadCodec codec = PayloadCodec::json;
        std::map<std::string, T> initial{};  ///< written where there is nothing
        Lease lease{};                       ///< of what is written here; none: the store's own
        /// Told of each change, in order, on the store's loop; must not block or throw.
        std::function<void(const Change&)> on_change{};
        /// How long a write waits for the copy to show it. After that it returns all the same.
        Duration show_within = std::chrono::seconds{5};
    };

    /// The prefix ends with "/". The copy is complete, and the initial values are in it, when this
    /// returns. Errors: the store's; of the codec, for initial values.
    /// Cancel safety: throws `cancelled`; initial values may have been written.
    static Task<std::shared_ptr<KvCache>> open(
        std::shared_ptr<KeyValueStore> store, std::string prefix, Options options = {}
    ) {
        detail::check_cache_prefix(prefix);
        auto initial = std::exchange(options.initial, {});
        for (const auto& [name, value] : initial)
            co_await store->create(prefix + name, encode(value, options.codec), options.lease);
        auto watch = co_await SteadyWatch::open(store, prefix);
        std::shared_ptr<KvCache> cache{
            new KvCache{std::move(store), std::move(prefix), std::move(options)}
        };
        cache->scope_.spawn_on(cache->store_->loop(), follow(cache.get(), std::move(watch)));
        auto filled = co_await as_result(wait_until_filled(cache));
        if (!filled) {
            co_await cache->close();
            throw std::move(filled.error());
        }
        co_return cache;
    }
    KvCache(const KvCache&) = delete;
    KvCache& operator=(const KvCache&) = delete;

    /// Null if there is no such value.
    std::shared_ptr<const T> find(std::string_view name) const {
        const auto seen = map_.latest();
        const auto found = seen.value->find(name);
        if (found == seen.value->end()) return nullptr;
        return {found->second, &found->second->value};
    }
    /// Everything at one moment, with the version that `changed` waits to be surpassed.
    Seen all() const { return map_.latest(); }
    /// Everything, once something is different. Errors: what ended the watch; unavailable
    /// "store.closed". Cancel safety: throws `cancelled`, nothing is missed.
    Task<Seen> changed(std::uint64_t version) {
        if (const auto why = failure()) throw *why;
        auto seen = co_await map_.newer_than(version);
        if (const auto why = failure()) throw *why;
        co_return seen;
    }

    /// Errors: the store's; the codec's. Cancel safety: throws
    /// `cancelled`; the change may have happened.
    Task<> put(std::string name, T value) {
        auto text = encode(value, options_.codec);
        co_await store_->put(prefix_ + name, text, options_.lease);
        co_await until_shown(std::move(name), std::move(text));
    }
    /// False, and nothing changed, if there is something already. Otherwise as `put`.
    Task<bool> create(std::string name, T value) {
        auto text = encode(value, options_.codec);
        const bool created = co_await store_->create(prefix_ + name, text, options_.lease);
        co_await until_shown(std::move(name), std::move(text));
        co_return created;
    }
    /// False if there was nothing. Otherwise as `put`.
    Task<bool> remove(std::string name) {
        const bool removed = co_await store_->remove(prefix_ + name);
        co_await until_shown(std::move(name), std::nullopt);
        co_return removed;
    }

    /// Ends the watch. What was written stays. Never throws; idempotent.
    Task<> close() { co_await scope_.close(); }

private:
    KvCache(std::shared_ptr<KeyValueStore> store, std::string prefix, Options options)
        : store_{std::move(store)}, prefix_{std::move(prefix)}, options_{std::move(options)} {}

    static std::string encode(const T& value, PayloadCodec codec) {
        const auto bytes = Payload<T>::encode(value, codec);
        if (!bytes) throw bytes.error();
        return bytes->to_string();
    }

    static Task<> wait_until_filled(std::shared_ptr<KvCache> cache) {
        (void)co_await cache->changed(0);
    }

    /// On the store's loop until the scope ends; the cache outlives its scope.
    static Task<> follow(KvCache* self, SteadyWatch watch) {
        auto ended = co_await as_result(self->follow_until_it_ends(&watch));
        if (!ended && ended.error().code() == ErrorCode::cancelled) co_return;
        self->fail(
            ended ? Error{ErrorCode::unavailable, "store.closed", "the store is closed"}
                  : std::move(ended.error())
        );
    }
    Task<> follow_until_it_ends(SteadyWatch* watch) {
        WatchDiff diff;
        Map map;
        for (bool first = true;; first = false) {
            auto event = co_await watch->next();
            if (!event) co_return;
            bool changed = apply(map, diff.apply(std::move(*event)));
            // What waits already becomes one change of the copy.
            while (auto more = watch->try_next())
                changed = apply(map, diff.apply(std::move(*more))) || changed;
            if (changed || first) map_.send(map);
        }
    }
    bool apply(Map& map, const std::vector<KeyChange>& changes) {
        bool changed = false;
        for (const auto& change : changes) changed = apply(map, change) || changed;
        return changed;
    }
    bool apply(Map& map, const KeyChange& change) {
        const auto name = change.key.substr(prefix_.size());
        if (change.kind == KeyChange::Kind::put) {
            auto value = Payload<T>::decode(Bytes::copy_of(change.value), options_.codec);
            if (value) {
                const auto item =
                    std::make_shared<const Item>(Item{std::move(*value), change.value});
                map.insert_or_assign(name, item);
                tell({Change::Kind::put, name, {item, &item->value}});
                return true;
            }
            detail::report_undecodable(change.key, value.error());
        }
        if (map.erase(name) == 0) return false;
        tell({Change::Kind::removed, name, nullptr});
        return true;
    }
    void tell(const Change& change) const {
        if (options_.on_change) options_.on_change(change);
    }

    bool shows(std::string_view name, const std::optional<std::string>& text) const {
        const auto seen = map_.latest();
        const auto found = seen.value->find(name);
        if (found == seen.value->end()) return !text;
        return text && found->second->encoded == *text;
    }
    Task<> until_shown(std::string name, std::optional<std::string> text) {
        const auto deadline = Deadline::in(options_.show_within);
        auto shown =
            co_await as_result(with_deadline(deadline, compare(std::move(name), std::move(text))));
        if (!shown && shown.error().code() == ErrorCode::cancelled) throw std::move(shown.error());
    }
    /// Until the copy has of the key what the store had at some time since.
    Task<> compare(std::string name, std::optional<std::string> text) {
        for (;;) {
            const auto version = map_.latest().version;
            if (shows(name, text)) co_return;
            (void)co_await when_any(wait_past(version), pause());
            if (shows(name, text)) co_return;
            // Perhaps it was replaced before the watch could tell.
            const auto entry = co_await store_->get(prefix_ + name);
            text.reset();
            if (entry && Payload<T>::decode(Bytes::copy_of(entry->value), options_.codec))
                text = entry->value;
        }
    }
    Task<> wait_past(std::uint64_t version) { (void)co_await changed(version); }
    static Task<> pause() { co_await sleep_for(std::chrono::milliseconds{50}); }

    std::optional<Error> failure() const {
        const std::lock_guard guard{lock_};
        return failure_;
    }
    void fail(Error error) {
        {
            const std::lock_guard guard{lock_};
            failure_ = std::move(error);
        }
        map_.send(Map{*map_.latest().value});  // wakes who waits
    }

    const std::shared_ptr<KeyValueStore> store_;
    const std::string prefix_;
    const Options options_;
    WatchChannel<Map> map_{Map{}};
    mutable std::mutex lock_;
    std::optional<Error> failure_;
    TaskScope scope_;
};

}  // namespace stator::store
