// ZmqOutlets: the bound sockets of a bus, and which publisher sends by which.
#pragma once

#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "events/plane.hpp"
#include "events/zmq_wire.hpp"
#include "stator/events/event_bus.hpp"

namespace stator::events {

/// A subscriber takes what a socket sends by the topic alone, so publishers of one topic have a
/// socket each; those of different topics share. Thread-safe.
class ZmqOutlets {
public:
    ZmqOutlets(std::shared_ptr<ZmqContext> context, ZmqEventOptions options);

    /// Errors: unavailable "events.sockets".
    Result<std::shared_ptr<Outlet>> open(const std::string& topic);
    /// Lets the sockets take note of subscribers that have come and gone.
    void tend();

private:
    class Bound;
    class Sending;
    Result<std::shared_ptr<Bound>> bind();

    const std::shared_ptr<ZmqContext> context_;
    const ZmqEventOptions options_;
    std::mutex lock_;
    std::vector<std::weak_ptr<Bound>> bound_;
};

}  // namespace stator::events
