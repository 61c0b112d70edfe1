// ZmqIntake: what a bus gets over ZeroMQ, and whose it is.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "events/event_queue.hpp"
#include "events/zmq_wire.hpp"
#include "stator/runtime/readiness.hpp"

namespace stator::events {

/// One socket dials every publisher that somebody here wants to hear, once each, however many
/// subscribers there are. Events of publishers that nobody has named are dropped. Loop-affine.
class ZmqIntake {
public:
    explicit ZmqIntake(std::unique_ptr<ZmqSubscribing> socket);
    ZmqIntake(const ZmqIntake&) = delete;
    ZmqIntake& operator=(const ZmqIntake&) = delete;

    /// These two run until they are cancelled. What is changed below may take the socket's signal
    /// away, so it is emptied after each change, too.
    Task<> watch_socket(Descriptor of_socket);
    Task<> watch_changes();

    void add_topic(const std::string& topic);
    void remove_topic(const std::string& topic);
    /// The queue gets that publisher's events of its topic.
    void add(std::uint64_t publisher, const std::string& endpoint, std::shared_ptr<EventQueue> to);
    void remove(std::uint64_t publisher, const std::string& endpoint, const EventQueue* to);

private:
    /// Until there is nothing: from then on the socket says when there is.
    Task<> drain();
    void take(const std::vector<std::string_view>& parts);

    const std::unique_ptr<ZmqSubscribing> socket_;
    std::map<std::string, std::size_t> topics_;     // how often each is wanted
    std::map<std::string, std::size_t> endpoints_;  // likewise
    std::unordered_map<std::uint64_t, std::vector<std::shared_ptr<EventQueue>>> routes_;
    Event changed_;
};

}  // namespace stator::events
