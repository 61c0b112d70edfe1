// Subscriber: the events of one topic, in a queue with a bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/events/envelope.hpp"
#include "stator/events/scope.hpp"
#include "stator/runtime/task.hpp"

namespace stator::events {

class EventQueue;

/// What a full queue does with one more event. Only `block` slows anybody down, and only who
/// publishes in the same process.
enum class Overflow : std::uint8_t {
    drop_newest,
    drop_oldest,
    /// An event takes the place of the one with the same key that waits; of one key the order
    /// stays. When there is no room for another key, the oldest is dropped.
    keep_latest,
    /// Publishers wait for room. In-process only.
    block,
};

struct SubscribeOptions {
    EventScope scope{};
    std::string topic{};
    std::size_t most_events = 65'536;
    std::size_t most_bytes = std::size_t{64} << 20U;
    Overflow overflow = Overflow::drop_newest;
    /// Of `keep_latest`; none: events of one publisher replace each other. Called on the threads
    /// that bring events: it must not throw or block.
    std::function<std::string(const EventEnvelope&)> key{};
};

/// Of one publisher, as this subscriber has seen it. What it has sent between `first` and `last`
/// has been delivered, waits, is `dropped` or is `missed`: last - first + 1 events.
struct SourceCounts {
    std::uint64_t publisher_id = 0;
    std::uint64_t first = 0;    ///< the sequence of the first event that came
    std::uint64_t last = 0;     ///< and of the latest
    std::uint64_t dropped = 0;  ///< had come, and there was no room
    std::uint64_t missed = 0;   ///< never came: gaps between sequences
    friend bool operator==(const SourceCounts&, const SourceCounts&) = default;
};

struct SubscriberCounts {
    std::uint64_t delivered = 0;
    std::uint64_t dropped = 0;
    std::uint64_t missed = 0;
    std::uint64_t repeated = 0;    ///< had come before, by their sequence
    std::uint64_t unreadable = 0;  ///< not an event, or one of another topic
    std::size_t waiting = 0;
};

/// Events wait in a queue that whoever awaits `next` takes from, on any loop; several may, each
/// event goes to one. Publishers come and go meanwhile. A subscriber that takes nothing slows no
/// other one.
///
/// Movable, one owner; dropping it ends it, without waiting.
class Subscriber {
public:
    /// The sources that are told apart at a time; beyond it one is forgotten, with its gaps.
    static constexpr std::size_t most_sources = 65'536;

    Subscriber() noexcept = default;
    explicit Subscriber(std::shared_ptr<EventQueue> queue) noexcept;
    Subscriber(Subscriber&&) noexcept = default;
    Subscriber& operator=(Subscriber&& other) noexcept;
    ~Subscriber();

    /// The next event; nothing once it is closed, or its bus, and all is taken.
    /// Cancel safety: throws `cancelled`, no event is lost.
    Task<std::optional<EventEnvelope>> next() const;
    /// What is there already.
    std::optional<EventEnvelope> try_next() const;

    /// No more events are put in; those that wait are still given out. Any thread.
    void close() const noexcept;

    SubscriberCounts counts() const;
    /// Sorted by publisher.
    std::vector<SourceCounts> sources() const;
    explicit operator bool() const noexcept { return queue_ != nullptr; }

private:
    std::shared_ptr<EventQueue> queue_;
};

}  // namespace stator::events
