#include "events/zmq_outlets.hpp"

#include <array>
#include <set>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"

namespace stator::events {

namespace {

constexpr std::size_t most_frame = std::size_t{64} << 20U;

std::string in_address(const std::string& host) {
    return host.contains(':') ? fmt::format("[{}]", host) : host;
}

}  // namespace

/// One socket; ends with the last publisher that uses it.
class ZmqOutlets::Bound {
public:
    Bound(
        std::shared_ptr<ZmqContext> context, std::unique_ptr<ZmqPublishing> socket, std::string at
    )
        : endpoint{std::move(at)}, context_{std::move(context)}, socket_{std::move(socket)} {}

    ZmqStatus send(std::span<const std::string_view> parts) {
        const std::lock_guard guard{lock_};
        return socket_->send(parts);
    }
    void tend() {
        const std::lock_guard guard{lock_};
        socket_->tend();
    }
    /// False if somebody has it.
    bool take(const std::string& topic) {
        const std::lock_guard guard{lock_};
        return topics_.insert(topic).second;
    }
    void give_back(const std::string& topic) {
        const std::lock_guard guard{lock_};
        topics_.erase(topic);
    }

    const std::string endpoint;

private:
    const std::shared_ptr<ZmqContext> context_;  // outlives the socket
    std::mutex lock_;
    std::unique_ptr<ZmqPublishing> socket_;
    std::set<std::string> topics_;
};

class ZmqOutlets::Sending final : public Outlet {
public:
    Sending(std::shared_ptr<Bound> by, std::string topic)
        : by_{std::move(by)}, topic_{std::move(topic)} {}
    ~Sending() override { by_->give_back(topic_); }

    std::optional<ChannelTransport> channel() const override { return ZmqChannel{by_->endpoint}; }

    Result<std::shared_ptr<EventQueue>> send(const EventEnvelope& event) override {
        const auto parts = write_parts(event);
        if (!parts) return std::unexpected{parts.error()};
        if (parts->back().size() > most_frame)
            return fail(ErrorCode::payload_too_large, "events.too_large", "an event above 64 MiB");
        std::array<std::string_view, std::tuple_size_v<EventParts>> views;
        for (std::size_t i = 0; i < views.size(); ++i) views[i] = (*parts)[i].view();
        const auto sent = by_->send(views);
        if (sent.full) {
            sink().count("events_refused_total", 1);
            return fail(ErrorCode::overloaded, "events.unsent", sent.message);
        }
        if (!sent.ok) return fail(ErrorCode::unavailable, "events.sockets", sent.message);
        return nullptr;
    }

private:
    const std::shared_ptr<Bound> by_;
    const std::string topic_;
};

ZmqOutlets::ZmqOutlets(std::shared_ptr<ZmqContext> context, ZmqEventOptions options)
    : context_{std::move(context)}, options_{std::move(options)} {}

Result<std::shared_ptr<ZmqOutlets::Bound>> ZmqOutlets::bind() {
    ZmqStatus status;
    const auto address = fmt::format("tcp://{}:*", in_address(options_.bind_host));
    auto socket = context_->bind(address, status);
    if (!socket) {
        return fail(
            ErrorCode::unavailable,
            "events.sockets",
            fmt::format("cannot bind {}: {}", address, status.message)
        );
    }
    const auto& host =
        options_.advertise_host.empty() ? options_.bind_host : options_.advertise_host;
    auto endpoint = fmt::format("tcp://{}:{}", in_address(host), socket->port());
    return std::make_shared<Bound>(context_, std::move(socket), std::move(endpoint));
}

Result<std::shared_ptr<Outlet>> ZmqOutlets::open(const std::string& topic) {
    const std::lock_guard guard{lock_};
    std::erase_if(bound_, [](const auto& bound) { return bound.expired(); });
    for (const auto& known : bound_) {
        if (auto bound = known.lock(); bound && bound->take(topic))
            return std::make_shared<Sending>(std::move(bound), topic);
    }
    auto made = bind();
    if (!made) return std::unexpected{std::move(made).error()};
    (void)(*made)->take(topic);
    bound_.push_back(*made);
    return std::make_shared<Sending>(std::move(*made), topic);
}

void ZmqOutlets::tend() {
    const std::lock_guard guard{lock_};
    for (const auto& known : bound_) {
        if (const auto bound = known.lock()) bound->tend();
    }
}

}  // namespace stator::events
