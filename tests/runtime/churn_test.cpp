// Many tasks that end in every way there is, across loops: the counts add up, the memory comes
// back.

#include <malloc.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <thread>

#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/semaphore.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "tests/support/iterations.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

constexpr std::size_t loops = 4;
constexpr std::size_t at_a_time = 1000;
// What the heap has in pages that are not free as a whole, and queues that have grown.
constexpr std::size_t scattered = std::size_t{4} << 20U;

enum class End : std::uint8_t { done, failed, cancelled, timed_out };
constexpr std::size_t ends = 4;

using Counts = std::array<std::atomic<std::uint64_t>, ends>;

struct Churn {
    LoopPool pool{loops, "churn"};
    Semaphore room{at_a_time};
    Counts expected{};
    Counts seen{};
    TaskScope scope;
};

Task<> ends_as(End how, CancellationToken token) {
    switch (how) {
        case End::done:
            co_await yield();
            co_return;
        case End::failed:
            throw Error{ErrorCode::internal, "planned"};
        case End::cancelled: {
            auto waits = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
            co_await with_token(std::move(token), waits());
            co_return;
        }
        case End::timed_out: {
            auto waits = [](this auto) -> Task<> { co_await sleep_until(Deadline::never()); };
            co_await with_deadline(Deadline::in(20us), waits());
        }
    }
}

End end_of(const Result<void>& result) {
    if (result) return End::done;
    switch (result.error().code()) {
        case ErrorCode::cancelled:
            return End::cancelled;
        case ErrorCode::deadline_exceeded:
            return End::timed_out;
        default:
            return End::failed;
    }
}

Task<> counted(Churn* churn, End how, CancellationToken token, Permit permit) {
    const auto own = std::move(permit);
    const auto result = co_await as_result(ends_as(how, std::move(token)));
    churn->seen[static_cast<std::size_t>(end_of(result))].fetch_add(1);
}

Task<> spawn_many(Churn* churn, std::uint64_t seed, std::size_t count) {
    Random random{seed};
    for (std::size_t i = 0; i < count; ++i) {
        auto permit = co_await churn->room.acquire();
        const auto how = static_cast<End>(random.below(ends));
        churn->expected[static_cast<std::size_t>(how)].fetch_add(1);
        auto token = how == End::cancelled ? CancellationToken::make() : CancellationToken{};
        auto task = counted(churn, how, token, std::move(permit));
        if (random.below(2) == 0) {
            churn->scope.spawn_on(churn->pool, std::move(task));
        } else {
            churn->scope.spawn_on(churn->pool[random.below(loops)], std::move(task));
        }
        if (how == End::cancelled) token.cancel();
        if (i % 64 == 0) co_await yield();
    }
}

std::size_t resident_bytes() {
    std::size_t total = 0;
    std::size_t resident = 0;
    std::ifstream{"/proc/self/statm"} >> total >> resident;
    return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

/// Idle loops give back what piled up when they come to it, to malloc, which keeps what is free in
/// the arenas of its threads until it is asked: after a burst that is more than what was in use
/// before.
bool comes_back_to(std::size_t bytes) {
    for (const auto bound = Deadline::in(20s); !bound.passed();) {
        ::malloc_trim(0);
        if (resident_bytes() < bytes) return true;
        std::this_thread::sleep_for(10ms);
    }
    return false;
}

void churn_through(Churn& churn, std::size_t tasks) {
    TaskScope spawners;
    for (std::size_t i = 0; i < loops; ++i)
        spawners.spawn_on(churn.pool[i], spawn_many(&churn, i, tasks / loops));
    while (spawners.size() + churn.scope.size() != 0) std::this_thread::sleep_for(1ms);
}

/// STATOR_TASKS=N for another number: a million is what ThreadSanitizer gets through in minutes.
std::size_t tasks_to_run() {
    if (const char* asked = std::getenv("STATOR_TASKS")) return std::strtoull(asked, nullptr, 10);
    return test::soaking() ? 10'000'000 : test::iterations(100'000);
}

TEST(Churn, every_task_ends_once_as_planned_and_the_memory_comes_back) {
    const auto tasks = tasks_to_run();
    Churn churn;
    churn_through(churn, loops * at_a_time / 10);  // the program's own pages
    const auto before = resident_bytes();
    churn_through(churn, tasks);
    std::uint64_t total = 0;
    for (std::size_t end = 0; end < ends; ++end) {
        EXPECT_EQ(churn.seen[end], churn.expected[end]) << "of kind " << end;
        total += churn.seen[end];
    }
    EXPECT_EQ(total, loops * at_a_time / 10 + tasks / loops * loops);
    EXPECT_EQ(churn.room.available(), at_a_time);
    EXPECT_EQ(runtime::detail::live_token_nodes(), 1U) << "of the scope";
    if (test::own_memory) {
        EXPECT_TRUE(comes_back_to(before + scattered))
            << before << " before, " << resident_bytes() << ", of which in use "
            << ::mallinfo2().uordblks;
    }
}

}  // namespace
}  // namespace stator
