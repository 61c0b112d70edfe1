// What is measured of calls on a request plane, at the caller; the names are the original's.
#pragma once

#include <array>
#include <chrono>

#include "stator/base/clock.hpp"
#include "stator/observe/metrics.hpp"

namespace stator::inline component {

/// Of the whole process; calls inside of it are not counted. Cheap to copy; thread-safe.
struct CallerMetrics {
    CallerMetrics() {
        constexpr std::array<double, 9> short_times{
            0.0001, 0.0005, 0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0
        };
        constexpr std::array<double, 11> answer_times{
            0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0
        };
        auto& all = observe::metrics();
        inflight = all.up_down_counter(
            "dynamo_request_plane_inflight_requests", "Calls that have not ended"
        );
        queue_seconds = all.histogram(
            "dynamo_request_plane_queue_seconds",
            "From choosing an instance until the request is sent",
            short_times
        );
        send_seconds = all.histogram(
            "dynamo_request_plane_send_seconds",
            "From sending a request until its worker has accepted it",
            short_times
        );
        first_item_seconds = all.histogram(
            "dynamo_request_plane_roundtrip_ttft_seconds",
            "From sending a request until the first item",
            answer_times
        );
    }

    observe::UpDownCounter inflight;
    observe::Histogram queue_seconds;
    observe::Histogram send_seconds;
    observe::Histogram first_item_seconds;
};

/// The times of one call, attempt by attempt; counts it as long as it lives. On one loop.
class CallTimes {
public:
    explicit CallTimes(const CallerMetrics& metrics) noexcept : metrics_{metrics} {}
    CallTimes(const CallTimes&) = delete;
    CallTimes& operator=(const CallTimes&) = delete;
    ~CallTimes() {
        if (counted_) metrics_.inflight.subtract();
    }

    /// An instance is chosen; `measured`: its call goes by a request plane.
    void begin(bool measured) noexcept {
        measured_ = measured;
        sent_ = {};
        if (measured) begun_ = Clock::current().now();
    }
    void sent() noexcept {
        if (!measured_) return;
        if (!counted_) metrics_.inflight.add();
        counted_ = true;
        sent_ = Clock::current().now();
        metrics_.queue_seconds.observe(seconds(sent_ - begun_));
    }
    void accepted() const noexcept {
        if (measured_) metrics_.send_seconds.observe(seconds(Clock::current().now() - sent_));
    }
    /// The first item counts, once.
    void item() noexcept {
        if (sent_ == TimePoint{}) return;
        metrics_.first_item_seconds.observe(seconds(Clock::current().now() - sent_));
        sent_ = {};
    }

private:
    static double seconds(Duration time) noexcept {
        return std::chrono::duration<double>(time).count();
    }
    const CallerMetrics& metrics_;
    TimePoint begun_{};
    TimePoint sent_{};
    bool measured_ = false;
    bool counted_ = false;
};

}  // namespace stator::inline component
