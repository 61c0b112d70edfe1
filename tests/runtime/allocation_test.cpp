// What awaiting costs in memory: one frame for each call, and nothing else.

#include <malloc.h>

#include <atomic>
#include <chrono>
#include <cstdlib>
#include <new>
#include <thread>
#include <vector>

#include <gtest/gtest.h>

#include "stator/runtime/channel.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/stream.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/runtime/loop_fixture.hpp"

namespace {

std::atomic<std::size_t> allocations{0};  // calls of operator new
std::atomic<std::size_t> frames{0};       // calls of take_frame
std::atomic<std::ptrdiff_t> bytes_held{0};

void* allocate(std::size_t size) {
    void* block = std::malloc(size == 0 ? 1 : size);
    if (block == nullptr) throw std::bad_alloc{};
    ++allocations;
    bytes_held += static_cast<std::ptrdiff_t>(malloc_usable_size(block));
    return block;
}

void release(void* block) noexcept {
    if (block == nullptr) return;
    bytes_held -= static_cast<std::ptrdiff_t>(malloc_usable_size(block));
    std::free(block);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* block) noexcept { release(block); }
void operator delete[](void* block) noexcept { release(block); }
void operator delete(void* block, std::size_t) noexcept { release(block); }
void operator delete[](void* block, std::size_t) noexcept { release(block); }

// The linker sends every call of take_frame here (CMakeLists.txt).
// NOLINTBEGIN(bugprone-reserved-identifier)
extern "C" void* __real__ZN6stator7runtime6detail10take_frameEm(std::size_t size);
extern "C" void* __wrap__ZN6stator7runtime6detail10take_frameEm(std::size_t size) {
    ++frames;
    return __real__ZN6stator7runtime6detail10take_frameEm(size);
}
// NOLINTEND(bugprone-reserved-identifier)

namespace stator {
namespace {

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
constexpr bool frames_come_from_the_heap = true;
#else
constexpr bool frames_come_from_the_heap = false;
#endif
#endif

/// What was taken since it was made.
class Taken {
public:
    std::size_t frames() const { return ::frames - frames_; }
    /// Allocations that are not frames.
    std::size_t other() const {
        const std::size_t all = ::allocations - allocations_;
        return frames_come_from_the_heap ? all - frames() : all;
    }

private:
    std::size_t frames_ = ::frames;
    std::size_t allocations_ = ::allocations;
};

class Allocation : public test::OnLoop {
protected:
    /// Calls `body` until queues have grown and free lists are filled, and then as often as it
    /// takes to see what a call takes: `frames_each` and nothing else. (An optimising compiler may
    /// put a callee's frame into its caller's.)
    template <class Body>
    void expect_frames(std::size_t frames_each, Body body) {
        constexpr std::size_t calls = 1000;
        auto measure = [&](this auto) -> Task<> {
            for (std::size_t i = 0; i < 2 * calls; ++i) co_await body();
            const Taken taken;
            for (std::size_t i = 0; i < calls; ++i) co_await body();
            const auto frames = taken.frames();
            const auto other = taken.other();
            EXPECT_LE(frames, calls * frames_each);
            EXPECT_GE(frames, calls);
            EXPECT_EQ(other, 0U);
        };
        auto outcome = test.run(measure());
        EXPECT_TRUE(outcome.ok()) << outcome.message();
    }
};

Task<int> one() { co_return 1; }
Task<> three_levels() {
    auto second = [](this auto) -> Task<int> { co_return co_await one() + 1; };
    co_await second();
}

TEST_F(Allocation, a_call_takes_its_frame) {
    expect_frames(1, [] { return one(); });
    expect_frames(3, [] { return three_levels(); });
}

TEST_F(Allocation, waits_take_nothing_whether_they_suspend_or_not) {
    Event event;
    event.set();
    expect_frames(1, [&](this auto) -> Task<> { co_await event.wait(); });
    expect_frames(1, [&](this auto) -> Task<> { co_await yield(); });
    expect_frames(1, [&](this auto) -> Task<> { co_await sleep_for(Duration{0}); });
    Semaphore semaphore{1};
    expect_frames(1, [&](this auto) -> Task<> {
        const auto permit = co_await semaphore.acquire();
    });
    const auto token = CancellationToken::make();
    token.cancel();
    expect_frames(1, [&](this auto) -> Task<> { co_await token.wait(); });
    expect_frames(1, [&](this auto) -> Task<> { co_await current_token(); });
}

TEST_F(Allocation, an_item_through_a_stream_or_a_channel_takes_nothing) {
    auto numbers = [](this auto) -> Stream<int> {
        for (int i = 0;; ++i) co_yield i;
    };
    auto stream = numbers();
    expect_frames(1, [&](this auto) -> Task<> { co_await stream.next(); });
    Channel<int> channel{4};
    expect_frames(1, [&](this auto) -> Task<> {
        co_await channel.send(1);
        co_await channel.receive();
    });
}

TEST_F(Allocation, waiting_and_waking_takes_nothing) {
    Channel<int> there{1};
    Channel<int> back{1};
    auto echo = [&](this auto) -> Task<> {
        while (auto item = co_await there.receive()) co_await back.send(*item);
    };
    auto echoed = test.start(echo());
    expect_frames(1, [&](this auto) -> Task<> {
        co_await there.send(1);
        EXPECT_EQ(co_await back.receive(), 1);
    });
    there.close();
    test.settle();
    EXPECT_TRUE(echoed.ok());
}

TEST_F(Allocation, spawning_takes_the_frame_and_the_job_a_token_its_node) {
    auto spawn_and_join = [&](this auto, TaskScope* scope) -> Task<> {
        auto task = [](this auto) -> Task<> { co_return; };
        scope->spawn(task());
        while (scope->size() != 0) co_await yield();
    };
    TaskScope scope;
    expect_frames(3, [&] { return spawn_and_join(&scope); });
    const auto root = CancellationToken::make();
    expect_frames(2, [&](this auto) -> Task<> {
        const auto child = root.child_token();
        co_return;
    });
}

TEST_F(Allocation, with_deadline_takes_its_frame_and_the_token_node) {
    auto inner = [](this auto) -> Task<> { co_return; };
    expect_frames(4, [&](this auto) -> Task<> {
        co_await with_deadline(Deadline::in(std::chrono::hours{1}), inner());
    });
}

TEST(AllocationElsewhere, a_wake_from_another_thread_takes_nothing_once_the_queues_have_grown) {
    Loop loop;
    TaskScope scope;
    Event ping;
    Event pong;
    std::atomic<bool> over{false};
    auto body = [&](this auto) -> Task<> {
        while (!over) {
            co_await ping.wait();
            ping.reset();
            pong.set();
        }
    };
    scope.spawn_on(loop, body());
    loop.run_until_idle();
    auto round = [&] {
        ping.set();  // this thread is no loop: a hop
        loop.run_until_idle();
        EXPECT_TRUE(pong.is_set());
        pong.reset();
    };
    for (int i = 0; i < 100; ++i) round();
    const Taken taken;
    for (int i = 0; i < 1000; ++i) round();
    EXPECT_EQ(taken.frames(), 0U);
    EXPECT_EQ(taken.other(), 0U);
    over = true;
    round();
    EXPECT_EQ(scope.size(), 0U);
}

TEST(AllocationElsewhere, a_root_is_back_at_its_baseline_memory_after_a_million_children) {
    const auto root = CancellationToken::make();
    auto grow_and_drop = [&](int children) {
        std::vector<CancellationToken> tokens;
        for (int i = 0; i < children; ++i) tokens.push_back(root.child_token());
    };
    grow_and_drop(100'000);  // fills this thread's free list to its bound
    const auto before = bytes_held.load();
    grow_and_drop(1'000'000);
    EXPECT_EQ(bytes_held.load(), before);
    EXPECT_EQ(detail::live_token_nodes(), 1U);
}

TEST(AllocationElsewhere, free_lists_are_bounded_and_go_with_their_thread) {
    const auto before = bytes_held.load();
    std::thread thread{[before] {
        std::vector<Task<>> tasks;
        tasks.reserve(100'000);
        auto make = [](this auto) -> Task<> { co_return; };
        for (int i = 0; i < 100'000; ++i) tasks.push_back(make());
        tasks.clear();
        EXPECT_LT(bytes_held.load(), before + 2 * 1024 * 1024) << "a list of 1 MiB and the vector";
    }};
    thread.join();
    EXPECT_LE(bytes_held.load(), before + 1024);
}

#if defined(__has_feature)
#if __has_feature(address_sanitizer)
constexpr bool frames_are_kept = false;  // everything goes back to the heap at once
#else
constexpr bool frames_are_kept = true;
#endif
#endif

TEST(AllocationElsewhere, what_piles_up_on_a_loop_goes_back_once_it_is_idle) {
    LoopPool pool{1, "pile"};
    TaskScope scope;
    const auto before = bytes_held.load();
    auto make_many = [](this auto) -> Task<> {
        auto make = [](this auto) -> Task<> { co_return; };
        std::vector<Task<>> tasks;
        for (int i = 0; i < 100'000; ++i) tasks.push_back(make());
        co_return;
    };
    for (int round = 0; round < 3; ++round) {
        scope.spawn_on(pool[0], make_many());
        while (scope.size() != 0) std::this_thread::yield();
    }
    if (frames_are_kept)
        EXPECT_GT(bytes_held.load(), before + 5 * 1024 * 1024) << "it takes its time";
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds{20};
    // All of it but for what the loop itself holds, as its queue.
    while (bytes_held.load() > before + 256 * 1024) {
        ASSERT_LT(std::chrono::steady_clock::now(), end);
        std::this_thread::sleep_for(std::chrono::milliseconds{1});
    }
}

TEST(AllocationElsewhere, a_frame_may_be_freed_on_another_thread) {
    auto make = [](this auto) -> Task<> { co_return; };
    for (int round = 0; round < 100; ++round) {
        std::vector<Task<>> tasks;
        for (int i = 0; i < 1000; ++i) tasks.push_back(make());
        std::thread{[&] { tasks.clear(); }}.join();
    }
    EXPECT_LT(bytes_held.load(), 8 * 1024 * 1024);
}

}  // namespace
}  // namespace stator
