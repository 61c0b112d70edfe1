// A watch of the NATS store that loses its reader again and again, on a clock of the test's.
#include <thread>

#include <gtest/gtest.h>

#include "tests/store/nats_store_fixture.hpp"

namespace stator::store {
namespace {

using test::NatsStorePtr;
using test::next_event;
using test::store_options;
using testing::NatsServer;
using namespace std::chrono_literals;

/// A loop whose time stands still between the steps of the test. The server's goes on.
class TimedLoop {
public:
    TimedLoop() = default;
    TimedLoop(const TimedLoop&) = delete;
    TimedLoop& operator=(const TimedLoop&) = delete;
    ~TimedLoop() {
        loop_.stop();
        thread_.join();
    }
    Loop& loop() { return loop_; }
    /// What is due by then is done in the turn in which the time passes.
    void pass(Duration time) {
        loop_.post([this, time] { clock_.advance(time); });
    }

private:
    ManualClock clock_;
    Loop loop_{Loop::Options{.name = "timed", .clock = &clock_}};
    std::thread thread_{[this] { loop_.run(); }};
};

/// Longer than the server may be silent.
constexpr auto silence = 5s;
/// The longest wait after a first failure.
constexpr auto first_wait = 20ms;

Task<Watch> watch_it(NatsStorePtr store) {
    auto watch = co_await store->watch("v1/test/");
    EXPECT_EQ(test::describe(co_await next_event(&watch)), "=0");
    co_return watch;
}

Task<> put(NatsStorePtr store, std::string value) {
    (void)co_await store->put_lasting("v1/test/k", std::move(value));
}

Task<> until_it_is(Watch* watch, std::string value) {
    for (;;) {
        const auto event = co_await next_event(watch);
        if (event.entry.value == value) co_return;
        if (!event.entries.empty() && event.entries.front().value == value) co_return;
    }
}

TEST(NatsWatches, EveryLossIsAFirstOneIfTheReaderWasWellInBetween) {
    const test::RecordingSink sink;
    const NatsServer server{test::with_jetstream()};
    test::Loops loops;
    TimedLoop timed;
    const auto opened = loops.run(test::open_nats(&timed.loop(), store_options(server, 0s)));
    ASSERT_TRUE(opened) << opened.error().what();
    const auto& store = *opened;
    auto watched = loops.run(watch_it(store));
    ASSERT_TRUE(watched) << watched.error().what();
    constexpr std::uint64_t losses = 8;
    for (std::uint64_t i = 1; i <= losses && !HasFailure(); ++i) {
        const auto lost = [&] { return sink.counted("store_watch_streams_lost_total") >= i; };
        timed.pass(silence);
        // A sign of life may have come just then.
        for (auto again = Deadline::in(2s); !lost(); std::this_thread::yield()) {
            if (!again.passed()) continue;
            timed.pass(silence);
            again = Deadline::in(2s);
        }
        EXPECT_RUNS(loops, put(store, std::to_string(i)));
        timed.pass(first_wait);
        EXPECT_RUNS(loops, until_it_is(&*watched, std::to_string(i)));
    }
    EXPECT_RUNS(loops, store->close(Deadline::in(5s)));
}

}  // namespace
}  // namespace stator::store
