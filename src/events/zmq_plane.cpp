#include "events/zmq_plane.hpp"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <map>
#include <mutex>
#include <system_error>
#include <utility>

#include "events/zmq_loader.hpp"
#include "events/zmq_outlets.hpp"
#include "events/zmq_sources.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/offload.hpp"
#include "stator/runtime/readiness.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/store/steady_watch.hpp"

namespace stator::events {

namespace {

using namespace std::chrono_literals;

/// How long a publisher is heard that discovery does not list any more.
constexpr Duration last_events = 1s;
/// How long what was published goes on to be sent.
constexpr Duration last_sending = 1s;
constexpr Duration between_tending = 1s;

Task<> tend(std::shared_ptr<ZmqOutlets> outlets) {
    const auto all = std::move(outlets);
    for (;;) {
        co_await sleep_for(between_tending);
        all->tend();
    }
}

Task<> let_go_later(std::weak_ptr<ZmqSources> sources, ZmqSources::Left who) {
    co_await sleep_for(last_events);
    if (const auto open = sources.lock()) open->let_go(who);
}

class ZmqPlane final : public Plane {
public:
    ZmqPlane(
        Loop& loop,
        std::shared_ptr<ZmqContext> context,
        ZmqEventOptions options,
        std::shared_ptr<store::KeyValueStore> store
    )
        : loop_{loop},
          context_{std::move(context)},
          store_{std::move(store)},
          outlets_{std::make_shared<ZmqOutlets>(context_, std::move(options))} {}

    Task<std::shared_ptr<Outlet>> open(EventScope, std::string topic, std::uint64_t) override {
        auto opened = outlets_->open(topic);
        if (!opened) throw opened.error();
        if (!tended_.exchange(true)) scope_.spawn_on(loop_, tend(outlets_));
        co_return std::move(*opened);
    }

    Task<> subscribe(std::shared_ptr<EventQueue> queue) override {
        return subscribe_here(Loop::current(), std::move(queue));
    }

    void ending(Deadline deadline) noexcept override {
        const auto left = std::clamp(deadline.remaining(), Duration{}, last_sending);
        context_->linger(static_cast<int>(left / 1ms));
    }

    Task<> close(Deadline) override {
        co_await scope_.close();
        {
            // Nothing uses them any more, on whichever loop it was.
            const std::lock_guard guard{lock_};
            intakes_.clear();
        }
        BlockingPool pool{1};
        co_await offload(pool, [context = context_] { context->end(); });
    }

private:
    /// Of that loop, which is the current one: events are brought by the loop that has subscribed,
    /// so that they take no hop to it.
    std::shared_ptr<ZmqIntake> intake_of(Loop* loop) {
        const std::lock_guard guard{lock_};
        auto& intake = intakes_[loop];
        if (intake) return intake;
        ZmqStatus status;
        auto socket = context_->dial(status);
        if (!socket) throw Error{ErrorCode::unavailable, "events.sockets", status.message};
        const int readable = ::dup(socket->fd());
        if (readable < 0)
            throw Error{
                ErrorCode::unavailable,
                "events.sockets",
                std::error_code{errno, std::generic_category()}.message()
            };
        Descriptor readiness{*loop, readable};
        intake = std::make_shared<ZmqIntake>(std::move(socket));
        scope_.spawn_on(*loop, intake->watch_socket(std::move(readiness)));
        scope_.spawn_on(*loop, intake->watch_changes());
        return intake;
    }

    Task<> subscribe_here(Loop* loop, std::shared_ptr<EventQueue> wanted) {
        const auto queue = std::move(wanted);
        const auto& options = queue->options();
        auto watch = co_await store::SteadyWatch::open(
            store_, channels_prefix(options.scope, options.topic)
        );
        auto sources = std::make_shared<ZmqSources>(intake_of(loop), queue);
        // Those that are there are dialled when it returns.
        if (auto first = co_await watch.next()) (void)sources->apply(std::move(*first));
        const auto token = scope_.token().child_token();
        queue->on_close([token] { token.cancel(); });
        scope_.spawn_on(*loop, follow(std::move(watch), std::move(sources), queue), token);
    }

    /// Until the queue is closed, which cancels it.
    Task<> follow(
        store::SteadyWatch listed, std::shared_ptr<ZmqSources> of, std::shared_ptr<EventQueue> into
    ) {
        const auto queue = std::move(into);
        const auto sources = std::move(of);
        auto watch = std::move(listed);
        for (;;) {
            auto event = co_await as_result(watch.next());
            if (!event) {
                if (event.error().code() == ErrorCode::cancelled) throw event.error();
                sink().report(Severity::warn, "events", event.error().what());
                break;
            }
            // The store is closed: those that are known are heard on.
            if (!*event) {
                co_await (co_await current_token()).wait();
                co_return;
            }
            for (auto& left : sources->apply(std::move(**event)))
                scope_.spawn(let_go_later(sources, std::move(left)));
        }
        queue->close();
    }

    Loop& loop_;
    const std::shared_ptr<ZmqContext> context_;
    const std::shared_ptr<store::KeyValueStore> store_;
    const std::shared_ptr<ZmqOutlets> outlets_;
    std::atomic<bool> tended_{false};
    std::mutex lock_;
    std::map<Loop*, std::shared_ptr<ZmqIntake>> intakes_;  // under lock_
    TaskScope scope_;
};

bool binds_all(const std::string& host) { return host == "0.0.0.0" || host == "::" || host == "*"; }

}  // namespace

Task<std::shared_ptr<Plane>> open_zmq_plane(
    Loop* loop, ZmqEventOptions options, std::shared_ptr<store::KeyValueStore> store
) {
    if (binds_all(options.bind_host) && options.advertise_host.empty()) {
        throw Error{
            ErrorCode::invalid_request,
            "events.options",
            "events by ZeroMQ on all addresses need one to advertise"
        };
    }
    BlockingPool pool{1};
    const auto make =
        co_await offload_unless_cancelled(pool, [&] { return load_zmq(options.module); });
    if (!make) throw make.error();
    std::shared_ptr<ZmqContext> context = (*make)({
        .most_unsent = options.most_unsent,
        .most_unsent_bytes = options.most_unsent_bytes,
        .most_stall = static_cast<int>(options.most_stall / 1ms),
    });
    if (!context) {
        throw Error{
            ErrorCode::unavailable, "events.sockets", "no threads or descriptors for ZeroMQ"
        };
    }
    co_return std::make_shared<ZmqPlane>(
        *loop, std::move(context), std::move(options), std::move(store)
    );
}

}  // namespace stator::events
