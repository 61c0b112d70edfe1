// Subscription: messages of some subjects, in a queue with a bound.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/nats/message.hpp"
#include "stator/runtime/task.hpp"

namespace stator::nats {

class Session;
class Mailbox;

/// What a full queue does with one more message. Senders are never slowed down: NATS has no means.
enum class Overflow : std::uint8_t { drop_newest, drop_oldest };

struct SubscribeOptions {
    std::vector<std::string> subjects{};  ///< may have wildcards
    std::string queue{};                  ///< of those in one group one gets each message
    std::size_t most_messages = 65'536;
    std::size_t most_bytes = std::size_t{64} << 20U;
    Overflow overflow = Overflow::drop_newest;
    /// A message with the status `connection_lost` comes when messages may have been missed.
    bool tell_losses = false;
    /// What comes does so sooner, but not that nobody answers a message whose `reply` this is.
    bool without_statuses = false;
};

/// Its messages wait in a queue that whoever awaits `next` takes from, on any loop; several may,
/// each message goes to one. It survives the connection: the server is told again of what is
/// subscribed.
///
/// Movable, one owner; dropping it closes it, without waiting.
class Subscription {
public:
    Subscription() noexcept = default;
    Subscription(Subscription&&) noexcept = default;
    Subscription& operator=(Subscription&& other) noexcept;
    ~Subscription();

    /// The next message; nothing once it is closed, or its client, and all is taken.
    /// Cancel safety: throws `cancelled`, no message is lost.
    Task<std::optional<Message>> next() const;
    /// What is there already.
    std::optional<Message> try_next() const;

    /// As `close`, but what the server has sent until it knows is still put in: no message that
    /// somebody sent to this subscription alone is lost. Any thread; does not wait: `next` yields
    /// nothing at the end.
    void drain() noexcept;
    /// No more messages are put in; those that wait are still given out. Any thread.
    void close() noexcept;

    std::size_t waiting() const noexcept;
    /// Messages for which there was no room.
    std::uint64_t dropped() const noexcept;
    explicit operator bool() const noexcept { return mailbox_ != nullptr; }

private:
    friend class Session;
    Subscription(std::shared_ptr<Session> session, std::shared_ptr<Mailbox> mailbox) noexcept;
    std::shared_ptr<Session> session_;
    std::shared_ptr<Mailbox> mailbox_;
};

}  // namespace stator::nats
