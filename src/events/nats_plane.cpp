#include "events/nats_plane.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/runtime/task_scope.hpp"

namespace stator::events {

namespace {

std::string subject_of(const EventScope& scope, std::string_view topic) {
    return fmt::format("{}.{}", scope.to_subject(), percent_encoded(topic));
}

class NatsOutlet final : public Outlet {
public:
    NatsOutlet(nats::Client client, const EventScope& scope, std::string_view topic)
        : client_{std::move(client)},
          prefix_{scope.to_subject()},
          subject_{subject_of(scope, topic)} {}

    std::optional<ChannelTransport> channel() const override { return NatsChannel{prefix_}; }

    Result<std::shared_ptr<EventQueue>> send(const EventEnvelope& event) override {
        auto written = write_envelope(event);
        if (!written) return std::unexpected{std::move(written).error()};
        auto sent = client_.publish(
            {.subject = subject_, .payload = std::move(*written), .headers = {}, .reply = {}}
        );
        if (!sent) return std::unexpected{std::move(sent).error()};
        return nullptr;
    }

private:
    const nats::Client client_;
    const std::string prefix_;
    const std::string subject_;
};

void put(EventQueue& queue, const Bytes& message) {
    auto event = read_envelope(message);
    if (!event || event->topic != queue.options().topic) return queue.count_unreadable();
    queue.put(std::move(*event));
}

/// Until the subscription ends, by the queue's end or the client's.
Task<> bring(std::shared_ptr<nats::Subscription> from, std::shared_ptr<EventQueue> to) {
    const auto queue = std::move(to);
    const auto subscription = std::move(from);
    while (const auto message = co_await subscription->next()) put(*queue, message->payload);
    queue->close();
}

class NatsPlane final : public Plane {
public:
    NatsPlane(Loop& loop, nats::Client client) : loop_{loop}, client_{std::move(client)} {}

    Task<std::shared_ptr<Outlet>> open(EventScope scope, std::string topic, std::uint64_t)
        override {
        co_return std::make_shared<NatsOutlet>(client_, scope, topic);
    }

    Task<> subscribe(std::shared_ptr<EventQueue> queue) override {
        const auto& options = queue->options();
        nats::SubscribeOptions wanted;
        wanted.subjects = {subject_of(options.scope, options.topic)};
        wanted.without_statuses = true;
        auto subscription =
            std::make_shared<nats::Subscription>(co_await client_.subscribe(std::move(wanted)));
        queue->on_close([subscription] { subscription->close(); });
        scope_.spawn_on(loop_, bring(std::move(subscription), std::move(queue)));
    }

    Task<> close(Deadline) override { co_await scope_.close(); }

private:
    Loop& loop_;
    const nats::Client client_;
    TaskScope scope_;
};

}  // namespace

std::shared_ptr<Plane> make_nats_plane(Loop& loop, nats::Client client) {
    return std::make_shared<NatsPlane>(loop, std::move(client));
}

}  // namespace stator::events
