#include "events/zmq_intake.hpp"

#include <algorithm>
#include <optional>
#include <source_location>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"

namespace stator::events {

namespace {

constexpr std::size_t events_in_a_row = 64;

std::uint64_t number_in(std::string_view part) {
    std::uint64_t number = 0;
    for (const char byte : part) number = number << 8U | static_cast<unsigned char>(byte);
    return number;
}

void report(
    const std::string& what,
    const ZmqStatus& status,
    std::source_location where = std::source_location::current()
) {
    sink().report(Severity::warn, "events", fmt::format("{}: {}", what, status.message), where);
}

}  // namespace

ZmqIntake::ZmqIntake(std::unique_ptr<ZmqSubscribing> socket) : socket_{std::move(socket)} {}

Task<> ZmqIntake::drain() {
    const auto token = co_await current_token();
    std::vector<std::string_view> parts;
    std::size_t taken = 0;
    while (socket_->receive(parts)) {
        take(parts);
        if (++taken % events_in_a_row != 0) continue;
        co_await yield();
        if (token.cancelled()) co_return;
    }
}

Task<> ZmqIntake::watch_socket(Descriptor of_socket) {
    auto readiness = std::move(of_socket);
    for (;;) {
        co_await readiness.readable();
        co_await drain();
    }
}

Task<> ZmqIntake::watch_changes() {
    for (;;) {
        co_await changed_.wait();
        changed_.reset();
        co_await drain();
    }
}

void ZmqIntake::take(const std::vector<std::string_view>& parts) {
    if (parts.size() < 2 || parts[1].size() != sizeof(std::uint64_t))
        return sink().count("events_malformed_total", 1);
    const auto route = routes_.find(number_in(parts[1]));
    if (route == routes_.end()) return;
    std::optional<EventEnvelope> event;
    if (parts.size() == std::tuple_size_v<EventParts>) {
        // Of the last one the payload is a slice; the others are only compared.
        auto read = read_parts(EventParts{
            Bytes::of_static(parts[0]),
            Bytes::of_static(parts[1]),
            Bytes::of_static(parts[2]),
            Bytes::copy_of(parts[3]),
        });
        if (read) event = std::move(*read);
    }
    for (const auto& queue : route->second) {
        if (queue->options().topic != parts[0]) continue;
        if (event) {
            queue->put(*event);
        } else {
            queue->count_unreadable();
        }
    }
}

void ZmqIntake::add_topic(const std::string& topic) {
    if (topics_[topic]++ > 0) return;
    if (const auto done = socket_->subscribe(topic); !done.ok) report("topic " + topic, done);
    changed_.set();
}

void ZmqIntake::remove_topic(const std::string& topic) {
    if (--topics_[topic] > 0) return;
    topics_.erase(topic);
    socket_->unsubscribe(topic);
    changed_.set();
}

void ZmqIntake::add(
    std::uint64_t publisher, const std::string& endpoint, std::shared_ptr<EventQueue> to
) {
    routes_[publisher].push_back(std::move(to));
    if (endpoints_[endpoint]++ > 0) return;
    if (const auto done = socket_->connect(endpoint); !done.ok)
        report("publisher at " + endpoint, done);
    changed_.set();
}

void ZmqIntake::remove(std::uint64_t publisher, const std::string& endpoint, const EventQueue* to) {
    auto& queues = routes_[publisher];
    const auto found = std::ranges::find_if(queues, [&](const auto& q) { return q.get() == to; });
    if (found != queues.end()) queues.erase(found);
    if (queues.empty()) routes_.erase(publisher);
    if (--endpoints_[endpoint] > 0) return;
    endpoints_.erase(endpoint);
    socket_->disconnect(endpoint);
    changed_.set();
}

}  // namespace stator::events
