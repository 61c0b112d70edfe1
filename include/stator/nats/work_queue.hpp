// WorkQueue: items that each go to one worker, and come again until somebody says that they are
// done.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "stator/nats/jetstream.hpp"

namespace stator::nats {

struct WorkQueueOptions {
    std::string name{};  ///< "/" and "\" become "_"
    /// An item that is not acknowledged for so long goes to somebody again.
    Duration ack_wait = std::chrono::seconds{30};
    Duration max_age{};                  ///< items older than that are dropped; zero: none
    std::int64_t most_deliveries = -1;   ///< of an item; after that it is left alone; -1: any
    std::int64_t most_in_work = 10'000;  ///< items that all workers together have at a time
    std::size_t replicas = 1;
    Duration call_timeout = std::chrono::seconds{5};
};

/// What a worker has got. Movable, one owner. One that is dropped comes again after `ack_wait`.
///
/// Errors of all: those of Client::request. They mean that the server may not know of it: the item
/// may come again, marked as redelivered. Cancel safety: throws `cancelled`; as an error.
class WorkItem {
public:
    const Bytes& payload() const noexcept { return message_.payload; }
    const std::vector<Header>& headers() const noexcept { return message_.headers; }
    std::uint64_t sequence() const noexcept { return delivery_.sequence; }
    std::uint64_t deliveries() const noexcept { return delivery_.deliveries; }
    /// It was given to somebody before, or may have been: a server that is killed forgets what it
    /// did in its last moments, so everything that was enqueued before that counts, and what
    /// `enqueue` said again since it had no answer.
    bool redelivered() const noexcept { return doubtful_ || delivery_.deliveries > 1; }
    /// Until when it is this worker's.
    Deadline due() const noexcept { return due_; }

    /// It is done. Returns once the server knows.
    Task<> acknowledge();
    /// Somebody else should do it: at once, or after `delay`.
    Task<> give_back(Duration delay = {});
    /// It takes longer: `due` is an `ack_wait` from now.
    Task<> in_progress();
    /// Nobody can do it: it does not come again.
    Task<> discard();

private:
    friend class WorkQueue;
    struct Terms {
        Client client{};
        Duration ack_wait{};
        Duration call_timeout{};
    };
    WorkItem(Terms terms, Message message, Delivery delivery, TimePoint received, bool doubtful);
    Task<> tell(std::string what) const;

    Terms terms_;
    Message message_;
    Delivery delivery_;
    Deadline due_;
    bool doubtful_;
};

struct QueueSize {
    std::uint64_t waiting = 0;
    std::uint64_t in_work = 0;  ///< given to workers that have not said anything yet
};

/// A stream of JetStream for work (subjects "<name>.*") with one durable consumer, "worker-group",
/// that all workers share. Survives whatever happens to the server but the loss of its disk; calls
/// wait for a server that is away. Close it before its client.
///
/// A cheap copy. Any loop; `dequeue` serves one caller at a time, in their order: open one per
/// worker where that is too slow. Errors of all: those of JetStream; invalid_request "nats.queue".
class WorkQueue {
public:
    static Task<WorkQueue> open(Client client, WorkQueueOptions options);

    /// Returns once it is stored: its sequence. With an id, one that was enqueued with the same id
    /// in the last two minutes is not enqueued again. Cancel safety: throws `cancelled`; it may be
    /// enqueued.
    Task<std::uint64_t> enqueue(Bytes payload, std::string id = {}) const;
    /// The next item; nothing if none came in time. Cancel safety: throws `cancelled`; no item is
    /// lost or delayed: one that was on its way is the next call's.
    Task<std::optional<WorkItem>> dequeue(Deadline deadline) const;
    Task<QueueSize> size() const;
    /// Takes no more: calls that wait throw unavailable "nats.closed". What was on its way goes to
    /// others: at once, or after `ack_wait` if the server does not hear of it within a second,
    /// which is the longest that this takes.
    Task<> close() const;

private:
    struct State;
    explicit WorkQueue(std::shared_ptr<State> state) noexcept : state_{std::move(state)} {}
    std::shared_ptr<State> state_;
};

}  // namespace stator::nats
