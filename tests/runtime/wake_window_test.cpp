// Who is woken may destroy what woke it at once: the window between the wake-up and the return of
// the call that wakes, held open.

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <gtest/gtest.h>

#include "stator/runtime/channel.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/task_scope.hpp"
#include "tests/runtime/patience.hpp"
#include "tests/runtime/race_rig.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;
namespace asio = boost::asio;

/// An executor that only the test runs, and that tells the test whenever it is given something.
class Stage {
public:
    class Executor {
    public:
        explicit Executor(Stage& stage) noexcept : stage_{&stage} {}
        asio::execution_context& query(asio::execution::context_t) const noexcept {
            return stage_->io_;
        }
        static constexpr asio::execution::blocking_t query(asio::execution::blocking_t) noexcept {
            return asio::execution::blocking_t::never;
        }
        template <class Work>
        void execute(Work work) const {
            asio::post(stage_->io_, std::move(work));
            if (stage_->on_given) std::exchange(stage_->on_given, nullptr)();
        }
        friend bool operator==(const Executor&, const Executor&) noexcept = default;

    private:
        Stage* stage_;
    };

    asio::any_io_executor executor() { return asio::any_io_executor{Executor{*this}}; }
    /// On this thread, until nothing is ready.
    void run() {
        io_.restart();
        io_.poll();
    }
    /// Called once, by whoever gives the next work, before that call returns.
    std::function<void()> on_given;

private:
    asio::io_context io_;
};

/// A task of the stage waits for a Thing and destroys it as soon as it is woken. That is held off
/// until the call that wakes has left the Thing.
template <class Thing, class Wait, class Wake>
void is_not_destroyed_under(Wait wait, Wake wake) {
    // So long that who could destroy it has done so.
    constexpr auto long_enough = 50ms;
    Stage stage;
    const auto executor = stage.executor();
    LoopPool pool{LoopPool::Options{.count = 1, .name = "destroyer", .host = &executor}};
    auto thing = std::make_unique<Thing>();
    std::atomic<bool> woken{false};
    std::atomic<bool> destroyed{false};
    auto body = [&](this auto) -> Task<> {
        co_await wait(thing.get());
        woken = true;
        thing.reset();
        destroyed = true;
    };
    TaskScope scope;
    scope.spawn_on(pool[0], body());
    stage.run();
    ASSERT_FALSE(woken);
    std::optional<std::jthread> other;
    bool destroyed_under_the_call = false;
    stage.on_given = [&] {
        other.emplace([&] { stage.run(); });
        const auto patience = std::chrono::steady_clock::now() + test::patience();
        while (!woken) {
            if (std::chrono::steady_clock::now() > patience) test::give_up("nobody was woken", 0);
            std::this_thread::yield();
        }
        const auto until = std::chrono::steady_clock::now() + long_enough;
        while (!destroyed && std::chrono::steady_clock::now() < until) std::this_thread::yield();
        destroyed_under_the_call = destroyed;
        EXPECT_FALSE(destroyed_under_the_call) << "destroyed under the call that woke";
    };
    wake(*thing);
    ASSERT_TRUE(other) << "the wake-up was not given to the stage";
    other->join();
    EXPECT_TRUE(destroyed);
    EXPECT_EQ(scope.size(), 0U);
}

TEST(WakeWindow, a_woken_task_does_not_destroy_the_event_under_set) {
    auto wait = [](Event* event) -> Task<> { co_await event->wait(); };
    is_not_destroyed_under<Event>(wait, [](Event& event) { event.set(); });
}

TEST(WakeWindow, a_woken_task_does_not_destroy_the_channel_under_what_it_waited_for) {
    struct One : Channel<int> {
        One() : Channel{1} {}
    };
    auto receive = [](One* channel) -> Task<> { (void)co_await channel->receive(); };
    is_not_destroyed_under<One>(receive, [](One& channel) { channel.try_send(7); });
    is_not_destroyed_under<One>(receive, [](One& channel) { channel.close(); });
    struct Full : One {
        Full() { try_send(1); }
    };
    auto send = [](Full* channel) -> Task<> { (void)co_await channel->send(2); };
    is_not_destroyed_under<Full>(send, [](Full& channel) { (void)channel.try_receive(); });
}

}  // namespace
}  // namespace stator
