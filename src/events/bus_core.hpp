// What a bus shares with its publishers.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "events/plane.hpp"
#include "stator/events/event_bus.hpp"
#include "stator/runtime/task_scope.hpp"

namespace stator::events {

/// Thread-safe. Its tasks run on the bus's loop.
class EventBus::Core : public std::enable_shared_from_this<EventBus::Core> {
public:
    Core(Loop& loop, EventBusOptions options, std::shared_ptr<Plane> plane);

    Task<Publisher> publisher(EventScope scope, std::string topic);
    Task<Subscriber> subscribe(SubscribeOptions options);
    Task<> close(Deadline deadline);

    /// Takes the publisher's record back. Errors: the store's.
    static Task<> withdraw(std::shared_ptr<Core> core, std::string key);
    /// The same in the background.
    void withdraw_soon(std::string key) noexcept;

    const EventBusOptions options;

private:
    Task<> list(EventChannel channel);
    /// A call that is under way: the end of the bus waits for it.
    class Visit;
    Task<> wait_for_visits();
    std::optional<std::string> forget(const std::string& key);
    /// One that is still listed; it is forgotten.
    std::optional<std::pair<std::string, std::string>> any_record();

    Loop& loop_;
    const std::shared_ptr<Plane> plane_;
    mutable std::mutex lock_;
    bool closed_ = false;
    std::size_t visits_ = 0;
    std::map<std::string, std::string> records_;  // what is listed, by key
    std::vector<std::weak_ptr<Publisher::State>> publishers_;
    std::vector<std::weak_ptr<EventQueue>> queues_;
    Event empty_;  // of visits; under lock_
    TaskScope scope_;
};

}  // namespace stator::events
