#include "stator/events/event_bus.hpp"

#include <utility>

#include "events/bus_core.hpp"
#include "events/local_plane.hpp"
#include "events/nats_plane.hpp"
#include "events/publisher_state.hpp"
#include "events/zmq_plane.hpp"
#include "stator/base/random.hpp"
#include "stator/base/sink.hpp"
#include "stator/codec/utf8.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::events {

namespace {

constexpr std::size_t most_topic = 128;

Error bad_options(std::string why) {
    return {ErrorCode::invalid_request, "events.options", std::move(why)};
}

void check_topic(const EventScope& scope, const std::string& topic) {
    if (auto good = scope.check(); !good) throw good.error();
    if (topic.empty() || topic.size() > most_topic || !is_utf8(topic)) {
        throw Error{
            ErrorCode::invalid_request, "events.topic", "a topic has 1 to 128 bytes of UTF-8"
        };
    }
}

Task<std::shared_ptr<Plane>> open_plane(Loop* loop, EventBusOptions options) {
    switch (options.plane) {
        case EventPlane::in_process:
            break;
        case EventPlane::nats:
            if (!options.nats) throw bad_options("events by NATS need a client");
            co_return make_nats_plane(*loop, std::move(options.nats));
        case EventPlane::zmq:
            if (!options.store) throw bad_options("events by ZeroMQ need a store to be found in");
            co_return co_await open_zmq_plane(
                loop, std::move(options.zmq), std::move(options.store)
            );
    }
    co_return make_local_plane(options.name);
}

Error closed_error() {
    return {ErrorCode::unavailable, "events.closed", "the event bus has been closed"};
}

}  // namespace

std::string_view to_string(EventPlane plane) noexcept {
    switch (plane) {
        case EventPlane::in_process:
            return "in-process";
        case EventPlane::nats:
            return "nats";
        case EventPlane::zmq:
            return "zmq";
    }
    return "unknown";
}

EventBus::Core::Core(Loop& loop, EventBusOptions options_, std::shared_ptr<Plane> plane)
    : options{std::move(options_)}, loop_{loop}, plane_{std::move(plane)} {
    empty_.set();
}

class EventBus::Core::Visit {
public:
    /// Throws once the bus is closed.
    explicit Visit(Core& core) : core_{core} {
        const std::lock_guard guard{core_.lock_};
        if (core_.closed_) throw closed_error();
        ++core_.visits_;
        core_.empty_.reset();
    }
    Visit(const Visit&) = delete;
    Visit& operator=(const Visit&) = delete;
    ~Visit() {
        const std::lock_guard guard{core_.lock_};
        if (--core_.visits_ == 0) core_.empty_.set();
    }

private:
    Core& core_;
};

Task<> EventBus::Core::wait_for_visits() { co_await empty_.wait(); }

Task<> EventBus::Core::list(EventChannel channel) {
    auto record = to_record(channel);
    if (!record) throw record.error();
    const auto key = channel.key();
    {
        const std::lock_guard guard{lock_};
        if (closed_) throw closed_error();
        records_[key] = *record;
    }
    const auto written = co_await as_result(options.store->put(key, *record, options.lease));
    if (written) co_return;
    // It may be there all the same.
    withdraw_soon(key);
    throw written.error();
}

Task<Publisher> EventBus::Core::publisher(EventScope scope, std::string topic) {
    const auto self = shared_from_this();
    check_topic(scope, topic);
    const Visit visit{*this};
    EventChannel identity{std::move(scope), std::move(topic), 0, {}};
    while (identity.publisher_id == 0) identity.publisher_id = os_random() & max_publisher_id;
    auto outlet = co_await plane_->open(identity.scope, identity.topic, identity.publisher_id);
    const auto channel = outlet->channel();
    if (channel) identity.transport = *channel;
    const auto state = std::make_shared<Publisher::State>(self, identity, std::move(outlet));
    {
        const std::lock_guard guard{lock_};
        if (closed_) throw closed_error();
        std::erase_if(publishers_, [](const auto& other) { return other.expired(); });
        publishers_.push_back(state);
    }
    if (channel && options.store) co_await list(std::move(identity));
    co_return Publisher{state};
}

Task<Subscriber> EventBus::Core::subscribe(SubscribeOptions wanted) {
    const auto self = shared_from_this();
    check_topic(wanted.scope, wanted.topic);
    const Visit visit{*this};
    if (wanted.most_events == 0 || wanted.most_bytes == 0)
        throw Error{ErrorCode::invalid_request, "events.bounds", "a queue of no size"};
    if (wanted.overflow == Overflow::block && !plane_->can_block()) {
        throw Error{
            ErrorCode::unimplemented, "events.block", "publishers are held up within a process only"
        };
    }
    auto queue = std::make_shared<EventQueue>(std::move(wanted));
    Subscriber subscriber{queue};
    {
        const std::lock_guard guard{lock_};
        if (closed_) throw closed_error();
        std::erase_if(queues_, [](const auto& other) { return other.expired(); });
        queues_.push_back(queue);
    }
    co_await plane_->subscribe(std::move(queue));
    co_return subscriber;
}

std::optional<std::string> EventBus::Core::forget(const std::string& key) {
    const std::lock_guard guard{lock_};
    auto node = records_.extract(key);
    if (node.empty()) return std::nullopt;
    return std::move(node.mapped());
}

std::optional<std::pair<std::string, std::string>> EventBus::Core::any_record() {
    const std::lock_guard guard{lock_};
    if (records_.empty()) return std::nullopt;
    auto node = records_.extract(records_.begin());
    return std::pair{std::move(node.key()), std::move(node.mapped())};
}

Task<> EventBus::Core::withdraw(std::shared_ptr<Core> core, std::string key) {
    const auto self = std::move(core);
    const auto record = self->forget(key);
    if (record) co_await self->options.store->remove_own(key, *record, self->options.lease);
}

void EventBus::Core::withdraw_soon(std::string key) noexcept {
    const std::lock_guard guard{lock_};
    // The end of the bus takes back what is left.
    if (closed_ || !records_.contains(key)) return;
    scope_.spawn_on(loop_, withdraw(shared_from_this(), std::move(key)));
}

Task<> EventBus::Core::close(Deadline deadline) {
    const auto self = shared_from_this();
    std::vector<std::weak_ptr<Publisher::State>> publishers;
    std::vector<std::weak_ptr<EventQueue>> queues;
    {
        const std::lock_guard guard{lock_};
        closed_ = true;
        publishers.swap(publishers_);
        queues.swap(queues_);
    }
    plane_->ending(deadline);
    for (const auto& publisher : publishers) {
        if (const auto state = publisher.lock()) state->end();
    }
    for (const auto& queue : queues) {
        if (const auto open = queue.lock()) open->close();
    }
    // Before what they use is taken apart.
    (void)co_await as_result(with_deadline(deadline, wait_for_visits()));
    (void)co_await as_result(with_deadline(deadline, scope_.join()));
    co_await scope_.close();
    while (auto record = any_record()) {
        auto gone = options.store->remove_own(record->first, record->second, options.lease);
        const auto removed = co_await as_result(with_deadline(deadline, std::move(gone)));
        if (!removed) sink().report(Severity::info, "events", removed.error().what());
    }
    co_await plane_->close(deadline);
}

EventBus::EventBus(std::shared_ptr<Core> core) noexcept : core_{std::move(core)} {}
EventBus::~EventBus() = default;

Task<std::shared_ptr<EventBus>> EventBus::open(Loop& loop, EventBusOptions options) {
    return open_here(&loop, std::move(options));
}

Task<std::shared_ptr<EventBus>> EventBus::open_here(Loop* loop, EventBusOptions options) {
    auto plane = co_await open_plane(loop, options);
    co_return std::make_shared<EventBus>(
        std::make_shared<Core>(*loop, std::move(options), std::move(plane))
    );
}

EventPlane EventBus::plane() const noexcept { return core_->options.plane; }

Task<Publisher> EventBus::publisher(EventScope scope, std::string topic) {
    return core_->publisher(std::move(scope), std::move(topic));
}

Task<Subscriber> EventBus::subscribe(SubscribeOptions options) {
    return core_->subscribe(std::move(options));
}

Task<> EventBus::close(Deadline deadline) { return shielded(core_->close(deadline)); }

}  // namespace stator::events
