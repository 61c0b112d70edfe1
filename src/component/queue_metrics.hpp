// What is measured of requests that wait for their turn, of the whole process.
#pragma once

#include <array>

#include "stator/observe/metrics.hpp"

namespace stator::inline component {

/// Made with the first endpoint that has a limit. Thread-safe.
struct QueueMetrics {
    QueueMetrics() {
        constexpr std::array<double, 10> overdue_times{
            0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0
        };
        auto& all = observe::metrics();
        wait = all.histogram(
            "dynamo_work_handler_permit_wait_seconds",
            "How long requests have waited for their turn",
            observe::duration_buckets()
        );
        overdue = all.histogram(
            "stator_queue_overdue_seconds",
            "How much later than at their deadline in the queue requests were refused",
            overdue_times
        );
        refused = all.counter(
            "dynamo_rejection_request_total",
            "Requests refused because of a limit, at once or after waiting"
        );
    }
    static const QueueMetrics& shared() {
        static const QueueMetrics metrics;
        return metrics;
    }

    observe::Histogram wait;
    observe::Histogram overdue;
    observe::Counter refused;
};

}  // namespace stator::inline component
