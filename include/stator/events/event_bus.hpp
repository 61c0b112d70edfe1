// EventBus: a process's part in publishing and subscribing.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "stator/base/deadline.hpp"
#include "stator/events/publisher.hpp"
#include "stator/events/subscriber.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::events {

/// How events travel.
enum class EventPlane : std::uint8_t {
    in_process,  ///< by reference, between the buses of a process that have the same name
    nats,        ///< by the subjects of a NATS server
    zmq,         ///< from process to process by ZeroMQ; publishers are found in the store
};
std::string_view to_string(EventPlane plane) noexcept;

struct ZmqEventOptions {
    std::string bind_host = "127.0.0.1";  ///< each socket has a free port of it
    std::string advertise_host{
    };  ///< numeric, what records say instead; needed where all are bound
    /// Events that may wait for one subscriber at a publisher, and for us at each: what is more is
    /// missed.
    int most_unsent = 100'000;
    /// Bytes of events of 1 KiB and more that may wait at one socket, for however many subscribers:
    /// what is more is refused, overloaded "events.unsent".
    std::size_t most_unsent_bytes = std::size_t{256} << 20U;
    /// A subscriber that takes nothing for so long while something waits for it loses its
    /// connection, and what waits; it connects again by itself.
    Duration most_stall = std::chrono::seconds{10};
    std::string module{};  ///< the file that speaks ZeroMQ; empty: looked for
};

struct EventBusOptions {
    EventPlane plane = EventPlane::in_process;
    std::string name = "default";  ///< in-process: who hears each other
    nats::Client nats{};           ///< of that plane; stays the caller's
    ZmqEventOptions zmq{};
    std::shared_ptr<store::KeyValueStore> store{};  ///< where publishers are listed; null: nowhere
    store::Lease lease{};  ///< of their records; none: as long as the store
};

/// Shared by `shared_ptr`; thread-safe. Its tasks run on the loop that it is made for, a secondary
/// one; but over ZeroMQ the loop that subscribes brings the events, so that they take no hop.
/// Whoever made it ends it with `close`, before the store and the connection.
class EventBus {
public:
    class Core;

    /// Errors: invalid_request "events.options" naming what the plane needs; unimplemented
    /// "events.module" when what speaks ZeroMQ is not there; unavailable "events.sockets". Cancel
    /// safety: throws `cancelled`.
    static Task<std::shared_ptr<EventBus>> open(Loop& loop, EventBusOptions options);
    explicit EventBus(std::shared_ptr<Core> core) noexcept;
    EventBus(const EventBus&) = delete;
    EventBus& operator=(const EventBus&) = delete;
    ~EventBus();

    EventPlane plane() const noexcept;

    /// Listed in discovery when it returns, where the plane has records. Errors: invalid_request
    /// "events.scope", "events.topic", "name.invalid"; unavailable "events.closed"; the store's and
    /// the plane's. Cancel safety: throws `cancelled`; its record may be there until `close`.
    Task<Publisher> publisher(EventScope scope, std::string topic);
    /// Gets what is published from now on. Errors: as above; invalid_request "events.bounds";
    /// unimplemented "events.block": the plane has no means to slow publishers down. Cancel safety:
    /// throws `cancelled`, there is none then.
    Task<Subscriber> subscribe(SubscribeOptions options);

    /// Ends subscribers (they yield what waits, then nothing) and publishers, and takes their
    /// records back as far as `deadline` allows. Never throws; idempotent. Cancel safety: not
    /// interrupted.
    Task<> close(Deadline deadline);

private:
    static Task<std::shared_ptr<EventBus>> open_here(Loop* loop, EventBusOptions options);
    std::shared_ptr<Core> core_;
};

}  // namespace stator::events
