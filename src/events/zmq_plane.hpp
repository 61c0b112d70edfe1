// ZmqPlane: events from process to process by ZeroMQ.
#pragma once

#include "events/plane.hpp"
#include "stator/events/event_bus.hpp"
#include "stator/runtime/loop.hpp"
#include "stator/store/key_value_store.hpp"

namespace stator::events {

/// Sockets are looked after on `loop`; events are brought by the loop that has subscribed. Errors:
/// as EventBus::open.
Task<std::shared_ptr<Plane>> open_zmq_plane(
    Loop* loop, ZmqEventOptions options, std::shared_ptr<store::KeyValueStore> store
);

}  // namespace stator::events
