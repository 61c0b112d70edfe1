#include "events/local_plane.hpp"

#include <algorithm>
#include <map>
#include <mutex>
#include <utility>
#include <vector>

namespace stator::events {

namespace {

/// The queues of one topic. Thread-safe.
class Topic {
public:
    void add(std::shared_ptr<EventQueue> queue) {
        const std::lock_guard guard{lock_};
        std::erase_if(queues_, [](const auto& other) { return other->closed(); });
        queues_.push_back(std::move(queue));
    }

    /// All or none: no other event comes in between, so who has room keeps it.
    std::shared_ptr<EventQueue> send(const EventEnvelope& event) {
        const std::lock_guard guard{lock_};
        std::erase_if(queues_, [](const auto& queue) { return queue->closed(); });
        const auto size = EventQueue::size_of(event);
        for (const auto& queue : queues_) {
            if (queue->blocks(size)) return queue;
        }
        for (const auto& queue : queues_) queue->put(event);
        return nullptr;
    }

private:
    std::mutex lock_;
    std::vector<std::shared_ptr<EventQueue>> queues_;
};

/// The topics of one name. Thread-safe.
class Hub {
public:
    std::shared_ptr<Topic> topic(const EventScope& scope, const std::string& name) {
        const std::lock_guard guard{lock_};
        std::erase_if(topics_, [](const auto& entry) { return entry.second.expired(); });
        auto& place = topics_[channels_prefix(scope, name)];
        auto topic = place.lock();
        if (!topic) place = topic = std::make_shared<Topic>();
        return topic;
    }

    static std::shared_ptr<Hub> of(const std::string& name) {
        static std::mutex lock;
        static std::map<std::string, std::weak_ptr<Hub>> hubs;
        const std::lock_guard guard{lock};
        std::erase_if(hubs, [](const auto& entry) { return entry.second.expired(); });
        auto& place = hubs[name];
        auto hub = place.lock();
        if (!hub) place = hub = std::make_shared<Hub>();
        return hub;
    }

private:
    std::mutex lock_;
    std::map<std::string, std::weak_ptr<Topic>> topics_;
};

class LocalOutlet final : public Outlet {
public:
    explicit LocalOutlet(std::shared_ptr<Topic> topic) : topic_{std::move(topic)} {}
    std::optional<ChannelTransport> channel() const override { return std::nullopt; }
    Result<std::shared_ptr<EventQueue>> send(const EventEnvelope& event) override {
        return topic_->send(event);
    }

private:
    std::shared_ptr<Topic> topic_;
};

class LocalPlane final : public Plane {
public:
    explicit LocalPlane(std::shared_ptr<Hub> hub) : hub_{std::move(hub)} {}

    bool can_block() const noexcept override { return true; }

    Task<std::shared_ptr<Outlet>> open(EventScope scope, std::string topic, std::uint64_t)
        override {
        co_return std::make_shared<LocalOutlet>(hub_->topic(scope, topic));
    }

    Task<> subscribe(std::shared_ptr<EventQueue> queue) override {
        const auto& options = queue->options();
        auto topic = hub_->topic(options.scope, options.topic);
        topic->add(queue);
        // The topic is there as long as somebody listens, so that it is the one who publishes next
        // finds.
        queue->on_close([topic = std::move(topic)] {});
        co_return;
    }

    Task<> close(Deadline) override { co_return; }

private:
    std::shared_ptr<Hub> hub_;
};

}  // namespace

std::shared_ptr<Plane> make_local_plane(const std::string& name) {
    return std::make_shared<LocalPlane>(Hub::of(name));
}

}  // namespace stator::events
