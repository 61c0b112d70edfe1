// Plane: how events get from publishers to the queues of subscribers.
#pragma once

#include <memory>
#include <optional>
#include <string>

#include "events/event_queue.hpp"
#include "stator/base/deadline.hpp"
#include "stator/events/channel_record.hpp"
#include "stator/events/envelope.hpp"
#include "stator/runtime/task.hpp"

namespace stator::events {

/// One publisher's way out. Owned by it; its end is the end of publishing.
class Outlet {
public:
    Outlet() = default;
    Outlet(const Outlet&) = delete;
    Outlet& operator=(const Outlet&) = delete;
    virtual ~Outlet() = default;

    /// What its record says; nothing where publishers are not listed.
    virtual std::optional<ChannelTransport> channel() const = 0;
    /// Null: the event was handed over. Else nobody has got it: of that queue `room` is to be
    /// awaited first. Waits for nobody; one call at a time, any thread. Errors: the plane's.
    virtual Result<std::shared_ptr<EventQueue>> send(const EventEnvelope& event) = 0;
};

/// Shared by a bus and what it runs. Any loop may call.
class Plane {
public:
    Plane() = default;
    Plane(const Plane&) = delete;
    Plane& operator=(const Plane&) = delete;
    virtual ~Plane() = default;

    /// Whether a subscriber can hold publishers up.
    virtual bool can_block() const noexcept { return false; }
    /// `id` is good for records and envelopes.
    virtual Task<std::shared_ptr<Outlet>> open(
        EventScope scope, std::string topic, std::uint64_t id
    ) = 0;
    /// Puts in what is published from now on, until the queue is closed.
    virtual Task<> subscribe(std::shared_ptr<EventQueue> queue) = 0;
    /// `close` comes, after the publishers have ended.
    virtual void ending(Deadline) noexcept {}
    /// Closes the queues, and waits for what it runs. Never throws. Cancel safety: not interrupted.
    virtual Task<> close(Deadline deadline) = 0;
};

}  // namespace stator::events
