// A cluster inside one process: a runtime, a private memory store, as many distributed runtimes as
// a test needs.
#pragma once

#include <chrono>
#include <exception>
#include <functional>
#include <optional>
#include <string>

#include <gtest/gtest.h>

#include "stator/base/random.hpp"
#include "stator/component/distributed_runtime.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/runtime.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::testing {

class ClusterTest : public ::testing::Test {
protected:
    /// Runs `body` on a primary loop, bounded by `time_limit`; then stops the runtime. What it
    /// throws fails the test.
    void run(std::function<Task<>(ClusterTest*)> body) {
        auto runtime = Runtime::create({.primary_threads = threads, .graceful_timeout = graceful});
        runtime_ = &runtime;
        auto ended =
            runtime.block_on(as_result(with_deadline(Deadline::in(time_limit), body(this))));
        runtime.stop();
        if (!ended) FAIL() << ended.error().what();
    }

public:
    /// One more process, so to speak: a listener, connections and instance id of its own. With a
    /// port, that is published instead of the listener's.
    Task<DistributedRuntime> join(std::optional<std::uint16_t> published = {}) {
        DistributedConfig config;
        config.advertise_port = published;
        config.discovery = DiscoveryBackend::memory;
        config.memory_name = store_;
        config.mux.max_message_size = max_message;
        config.long_step = long_step;
        if (adjust) adjust(config);
        return DistributedRuntime::connect(*runtime_, config);
    }
    const Runtime& runtime() const { return *runtime_; }
    /// Changes what the next ones join with.
    std::function<void(DistributedConfig&)> adjust;

protected:
    std::size_t threads = 1;
    Duration time_limit = std::chrono::seconds{20};
    Duration graceful = std::chrono::seconds{5};
    std::uint64_t max_message = 8U << 20U;
    Duration long_step = DistributedConfig{}.long_step;

private:
    const Runtime* runtime_ = nullptr;
    const std::string store_ = std::to_string(os_random());
};

template <class T>
Task<std::vector<T>> collect(Stream<T> items) {
    std::vector<T> all;
    while (auto item = co_await items.next()) all.push_back(std::move(*item));
    co_return all;
}

}  // namespace stator::testing
