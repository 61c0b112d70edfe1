// TypedWatch<T>: the values below a prefix, decoded.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "stator/codec/payload.hpp"
#include "stator/store/steady_watch.hpp"
#include "stator/store/watch_diff.hpp"

namespace stator::store {

template <class T>
struct TypedEvent {
    enum class Kind : std::uint8_t {
        put = 1,      ///< `value` is new
        removed = 2,  ///< the key is gone, or what it holds now cannot be decoded
        synced = 3,   ///< everything that was there at the beginning has been told
    };
    Kind kind = Kind::synced;
    std::string name;                ///< the key without the prefix
    std::shared_ptr<const T> value;  ///< of a put
};

namespace detail {

/// Counts it in store_undecodable_values_total, and warns.
void report_undecodable(std::string_view key, const Error& why);

}  // namespace detail

/// First every value that is there, then `synced`, then each change. A watch that lost continuity
/// shows as the difference that it made: nothing is told twice. A value that cannot be decoded is
/// reported and left out; where another was known before, that one is removed.
///
/// Owned by one reader, movable; one `next` at a time, on any loop. Dropping it unsubscribes.
///
///     auto cards = co_await TypedWatch<Card>::open(store, "v1/cards/");
///     while (auto event = co_await cards.next()) { ... }
template <Decodable T>
class TypedWatch {
public:
    using Event = TypedEvent<T>;

    /// Established when it returns. Errors and cancel safety: as KeyValueStore::watch.
    static Task<TypedWatch> open(
        std::shared_ptr<KeyValueStore> store,
        std::string prefix,
        PayloadCodec codec = PayloadCodec::json
    ) {
        auto watch = co_await SteadyWatch::open(std::move(store), std::move(prefix));
        co_return TypedWatch{std::move(watch), codec};
    }

    /// The next event; nothing once the store is closed. Errors and cancel safety: as SteadyWatch.
    Task<std::optional<Event>> next() {
        while (events_.empty()) {
            auto event = co_await watch_.next();
            if (!event) co_return std::nullopt;
            take(std::move(*event));
        }
        co_return pop();
    }
    /// The next event if one waits already.
    std::optional<Event> try_next() {
        while (events_.empty()) {
            auto event = watch_.try_next();
            if (!event) return std::nullopt;
            take(std::move(*event));
        }
        return pop();
    }

private:
    TypedWatch(SteadyWatch watch, PayloadCodec codec) : watch_{std::move(watch)}, codec_{codec} {}

    Event pop() {
        auto event = std::move(events_.front());
        events_.pop_front();
        return event;
    }
    void take(WatchEvent event) {
        for (const auto& change : diff_.apply(std::move(event))) tell(change);
        if (!std::exchange(synced_, true)) events_.push_back({});
    }
    void tell(const KeyChange& change) {
        auto name = change.key.substr(watch_.prefix().size());
        if (change.kind == KeyChange::Kind::put) {
            auto value = Payload<T>::decode(Bytes::copy_of(change.value), codec_);
            if (value) {
                told_.insert(name);
                events_.push_back(
                    {Event::Kind::put, std::move(name), std::make_shared<const T>(std::move(*value))
                    }
                );
                return;
            }
            detail::report_undecodable(change.key, value.error());
        }
        if (told_.erase(name) != 0)
            events_.push_back({Event::Kind::removed, std::move(name), nullptr});
    }

    SteadyWatch watch_;
    PayloadCodec codec_;
    WatchDiff diff_;
    std::set<std::string> told_;  // those whose last event was a put
    std::deque<Event> events_;
    bool synced_ = false;
};

}  // namespace stator::store
