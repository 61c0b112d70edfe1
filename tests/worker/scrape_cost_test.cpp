// What a scrape of 2,000 series costs the loops, by their threads' clocks.
#include <time.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/http/client.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/worker/status_server.hpp"
#include "worker/vitals.hpp"

namespace stator {
namespace {

using namespace std::chrono_literals;

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define STATOR_SLOWED_DOWN 1
#endif
#endif
// The bounds are those of what users run: optimised, without checks of a debugging build.
#if defined(STATOR_SLOWED_DOWN)
constexpr int slowness = 50;
#elif defined(__OPTIMIZE__) && defined(NDEBUG)
constexpr int slowness = 1;
#else
constexpr int slowness = 20;
#endif

Task<Duration> cpu_time() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    co_return std::chrono::seconds{now.tv_sec} + Duration{now.tv_nsec};
}

Task<> pause() { co_await sleep_for(2ms); }

Duration median(std::vector<Duration> times) {
    std::ranges::nth_element(times, times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2));
    return times[times.size() / 2];
}

void make_series(std::size_t count) {
    auto& registry = observe::metrics();
    for (std::size_t i = 0; i < count; ++i) {
        const observe::Labels labels{
            {"dynamo_namespace", "demo"},
            {"dynamo_component", fmt::format("backend{}", i % 50)},
            {"dynamo_endpoint", fmt::format("generate{}", i)},
        };
        const auto name = fmt::format("scrape_cost_{}_total", i % 20);
        registry.counter(name, "Of the scrape cost test", labels).add(i);
    }
}

Task<std::size_t> scrape(http::Client* client) {
    const auto response = co_await client->send({.target = "/metrics"});
    EXPECT_EQ(response.status, 200U);
    co_return static_cast<std::size_t>(std::ranges::count(response.body, '\n'));
}

TEST(ScrapeCost, StaysBelowItsBounds) {
    // Two primary loops: the client has one of them, the other one is looked at.
    const auto runtime = Runtime::create({.primary_threads = 2, .secondary_threads = 1});
    const auto vitals = collect_vitals(runtime, observe::health());
    make_series(2000);
    Loop& secondary = runtime.secondary().loop(0);
    Loop& client_loop = runtime.primary().loop(0);
    Loop& primary = runtime.primary().loop(1);
    settings::Settings settings;
    settings.system.host = "127.0.0.1";
    settings.system.port = 0;
    std::vector<Duration> of_secondary;
    std::vector<Duration> of_primary;
    std::vector<Duration> of_asking;  // what `of_primary` has without a scrape
    auto measure = [&](this auto) -> Task<> {
        auto server =
            co_await on_loop(secondary, StatusServer::start(runtime, {.settings = settings}));
        auto client = co_await on_loop(client_loop, http::Client::connect(server->address()));
        for (int i = 0; i < 100; ++i) {
            const auto secondary_before = co_await on_loop(secondary, cpu_time());
            const auto primary_before = co_await on_loop(primary, cpu_time());
            EXPECT_GE(co_await on_loop(client_loop, scrape(&client)), 2000U);
            of_primary.push_back(co_await on_loop(primary, cpu_time()) - primary_before);
            of_secondary.push_back(co_await on_loop(secondary, cpu_time()) - secondary_before);
            // To ask the loop puts it to sleep and wakes it, which a busy machine makes dear.
            const auto idle_before = co_await on_loop(primary, cpu_time());
            co_await on_loop(client_loop, pause());
            of_asking.push_back(co_await on_loop(primary, cpu_time()) - idle_before);
        }
        co_await on_loop(client_loop, [](http::Client gone) -> Task<> {
            const auto here = std::move(gone);
            co_return;
        }(std::move(client)));
        co_await on_loop(secondary, [](std::unique_ptr<StatusServer> of) -> Task<> {
            const auto here = std::move(of);
            co_await here->close(Deadline::in(2s));
        }(std::move(server)));
    };
    runtime.block_on(measure());
    runtime.stop();
    const auto micros = [](Duration time) {
        return std::chrono::duration<double, std::micro>(time).count();
    };
    RecordProperty("secondary_us", fmt::format("{:.0f}", micros(median(of_secondary))));
    const auto primary_cost = median(of_primary) - median(of_asking);
    RecordProperty("primary_us", fmt::format("{:.1f}", micros(primary_cost)));
    fmt::print(
        "scrape: {:.0f} us of secondary, {:.1f} us of primary, {:.1f} us to ask it\n",
        micros(median(of_secondary)),
        micros(primary_cost),
        micros(median(of_asking))
    );
    EXPECT_LE(median(of_secondary), 5ms * slowness);
    EXPECT_LE(primary_cost, 50us * slowness);
}

}  // namespace
}  // namespace stator
