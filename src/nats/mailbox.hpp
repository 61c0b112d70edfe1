// Mailbox: where threads of the connection put what tasks take.
#pragma once

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <vector>

#include "stator/nats/subscription.hpp"
#include "stator/runtime/event.hpp"

namespace stator::nats {

/// Bounded in messages and bytes. Thread-safe. Shared by the session and those that take from it.
class Mailbox {
public:
    Mailbox(std::size_t most_messages, std::size_t most_bytes, Overflow overflow);
    Mailbox(const Mailbox&) = delete;
    Mailbox& operator=(const Mailbox&) = delete;

    void put(Message message);
    std::optional<Message> take();
    /// What is in it stays to be taken.
    void close() noexcept;
    /// Nothing once it is closed and empty. Must not outlive the mailbox.
    Task<std::optional<Message>> next();

    std::size_t size() const;
    std::uint64_t dropped() const;

    std::vector<std::uint64_t> subscriptions{};  ///< the session's, under its lock

private:
    std::optional<Message> take_locked();
    bool has_room(std::size_t size) const noexcept;

    const std::size_t most_messages_;
    const std::size_t most_bytes_;
    const Overflow overflow_;
    mutable std::mutex lock_;
    std::deque<Message> messages_;
    std::size_t bytes_ = 0;
    std::uint64_t dropped_ = 0;
    bool closed_ = false;
    Event ready_;  // set while there is something to take, or nothing will ever be; under lock_
};

}  // namespace stator::nats
