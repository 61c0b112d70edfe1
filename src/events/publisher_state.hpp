// What is behind a Publisher.
#pragma once

#include <mutex>

#include "events/plane.hpp"
#include "stator/events/event_bus.hpp"
#include "stator/events/publisher.hpp"

namespace stator::events {

/// Thread-safe.
class Publisher::State {
public:
    State(std::shared_ptr<EventBus::Core> bus, EventChannel identity, std::shared_ptr<Outlet> out);

    Result<std::uint64_t> try_publish(Bytes payload);
    /// As Publisher's; the state lives until it ends.
    static Task<std::uint64_t> publish(std::shared_ptr<State> state, Bytes payload);
    /// Nothing is published any more.
    void end() noexcept;
    std::uint64_t sent() const;

    const std::shared_ptr<EventBus::Core> bus;
    const EventChannel identity;  // its transport is the record's, if there is one

private:
    /// The queue to wait for, or the number that the event has got.
    struct Outcome {
        std::shared_ptr<EventQueue> full;
        std::uint64_t sequence = 0;
    };
    Result<Outcome> attempt(const Bytes& payload);

    mutable std::mutex lock_;
    std::uint64_t next_ = 0;
    std::shared_ptr<Outlet> out_;  // null: ended
};

}  // namespace stator::events
