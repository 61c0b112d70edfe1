// EventQueue: where a plane puts events and a subscriber takes them.
#pragma once

#include <deque>
#include <functional>
#include <mutex>
#include <string>
#include <unordered_map>
#include <vector>

#include "stator/events/subscriber.hpp"
#include "stator/runtime/event.hpp"

namespace stator::events {

/// Bounded in events and bytes. Thread-safe. Shared by a subscriber and its plane.
class EventQueue {
public:
    explicit EventQueue(SubscribeOptions options);
    EventQueue(const EventQueue&) = delete;
    EventQueue& operator=(const EventQueue&) = delete;
    ~EventQueue();

    const SubscribeOptions& options() const noexcept { return options_; }

    // ---- of the plane

    /// One that came before, by its sequence, is only counted.
    void put(EventEnvelope event);
    void count_unreadable() noexcept;
    /// Whether publishers have to wait for `room` before an event of that size.
    bool blocks(std::size_t size);
    /// Returns when something has been taken since `blocks` said so, or it is closed. Must not
    /// outlive the queue.
    Task<> room();
    /// Called once, by `close` or at once if it is closed; any thread; must not throw.
    void on_close(std::move_only_function<void()> then);
    bool closed() const;

    // ---- of the subscriber

    std::optional<EventEnvelope> take();
    /// Nothing once it is closed and empty. Must not outlive the queue.
    Task<std::optional<EventEnvelope>> next();
    /// What is in it stays to be taken.
    void close() noexcept;
    /// Closes it and drops what waits: nobody takes it any more.
    void abandon() noexcept;
    SubscriberCounts counts() const;
    std::vector<SourceCounts> sources() const;

    static std::size_t size_of(const EventEnvelope& event) noexcept {
        return event.payload.size() + event.topic.size();
    }

private:
    struct Entry {
        EventEnvelope event;
        std::string key;  // of keep_latest
    };
    // All below with the lock held.
    bool has_room(std::size_t size) const noexcept;
    bool is_new(const EventEnvelope& event);
    void add(EventEnvelope event, std::string key);
    bool replace(EventEnvelope& event, const std::string& key);
    void count_drop(std::uint64_t publisher_id);
    EventEnvelope pop();

    const SubscribeOptions options_;
    mutable std::mutex lock_;
    std::deque<Entry> entries_;
    std::uint64_t first_place_ = 0;  // of the entries: that of the front
    std::unordered_map<std::string, std::uint64_t> place_of_key_;
    std::size_t bytes_ = 0;
    std::unordered_map<std::uint64_t, SourceCounts> sources_;
    SubscriberCounts counts_;
    bool closed_ = false;
    std::move_only_function<void()> on_close_;
    Event ready_;  // set while there is something to take, or nothing will ever be
    Event room_;   // reset by `blocks`
};

}  // namespace stator::events
