// Publisher: sends the events of one topic.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <utility>

#include "stator/base/bytes.hpp"
#include "stator/codec/payload.hpp"
#include "stator/events/scope.hpp"
#include "stator/runtime/task.hpp"

namespace stator::events {

/// It counts its events from 0. Who subscribes later, or is not reached, misses what was sent and
/// sees so by the numbers. Thread-safe.
///
/// Movable, one owner; dropping it takes its record back in the background.
///
/// Errors of all: unavailable "events.closed"; payload_too_large "events.too_large"; those of the
/// plane (of NATS: nats::Client's). After an error the event was not sent, and its number goes to
/// the next one.
class Publisher {
public:
    Publisher() noexcept = default;
    Publisher(Publisher&&) noexcept = default;
    Publisher& operator=(Publisher&& other) noexcept;
    ~Publisher();

    /// Hands the event over and returns its number. Waits for nobody but subscribers of the same
    /// process whose policy is `block`. Cancel safety: throws `cancelled`, nothing was sent.
    Task<std::uint64_t> publish(Bytes payload) const;
    /// The same in MessagePack. Errors as well: Payload's.
    template <Encodable T>
        requires(!std::same_as<T, Bytes>)
    Task<std::uint64_t> publish(T event) const {
        auto payload = Payload<T>::encode(event, PayloadCodec::msgpack);
        if (!payload) throw payload.error();
        co_return co_await publish(std::move(*payload));
    }
    /// Never waits. Errors as well: overloaded "events.full" where `publish` would wait; nobody
    /// has got the event then.
    Result<std::uint64_t> try_publish(Bytes payload) const;

    /// Takes its record back; nothing can be published any more. Idempotent. Errors: the store's;
    /// the record runs out by itself then. Cancel safety: throws `cancelled`, as after an error.
    Task<> close() const;

    std::uint64_t id() const noexcept;
    const EventScope& scope() const noexcept;
    const std::string& topic() const noexcept;
    /// How many have been sent: the number of the next one.
    std::uint64_t sent() const;
    explicit operator bool() const noexcept { return state_ != nullptr; }

    class State;  // for events itself
    explicit Publisher(std::shared_ptr<State> state) noexcept : state_{std::move(state)} {}

private:
    std::shared_ptr<State> state_;
};

}  // namespace stator::events
