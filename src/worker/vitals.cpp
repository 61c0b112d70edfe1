#include "worker/vitals.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/observe/log.hpp"

namespace stator::inline worker {

namespace {

double seconds(Duration time) { return std::chrono::duration<double>(time).count(); }

void collect_loop(observe::Samples& samples, const Loop& loop) {
    const observe::Labels labels{{"loop", loop.name()}};
    samples.gauge(
        "stator_loop_turn_seconds",
        "How long the current turn has lasted; 0 while the loop waits",
        labels,
        seconds(loop.busy_for())
    );
    samples.gauge(
        "stator_loop_waiting_tasks",
        "Tasks that were ready when the turn began",
        labels,
        static_cast<double>(loop.load())
    );
    samples.counter(
        "stator_loop_sleeps_total",
        "How often the loop had nothing to do",
        labels,
        static_cast<double>(loop.sleeps())
    );
}

void collect_health(observe::Samples& samples, const observe::HealthReport& report) {
    samples.gauge("stator_ready", "1 while the process is ready", {}, report.ready ? 1 : 0);
    for (const auto& instance : report.instances) {
        samples.gauge(
            "stator_instance_ready",
            "1 while the instance is ready",
            {{"endpoint", instance.endpoint}, {"instance_id", instance.instance}},
            instance.ready() ? 1 : 0
        );
    }
}

}  // namespace

observe::HealthReport health_of(const observe::Health& health, const Runtime& runtime) {
    auto report = health.report();
    if (runtime.primary_token().cancelled()) {
        report.ready = false;
        report.reasons.insert(report.reasons.begin(), "the process is ending");
    }
    return report;
}

std::vector<std::string> stuck_loops(const Runtime& runtime, Duration limit) {
    std::vector<std::string> lines;
    const auto primary = runtime.primary();
    for (std::size_t i = 0; limit > Duration::zero() && i < primary.size(); ++i) {
        const auto& loop = primary.loop(i);
        const auto held = loop.busy_for();
        if (held > limit)
            lines.push_back(fmt::format("loop {} is held for {:.1f} s", loop.name(), seconds(held))
            );
    }
    return lines;
}

observe::Collector collect_vitals(
    const Runtime& runtime, std::shared_ptr<const observe::Health> health
) {
    return observe::metrics().add_collector(
        [runtime = runtime.unowned(), health = std::move(health)](observe::Samples& samples) {
            samples.gauge(
                "dynamo_component_uptime_seconds",
                "Since the process began",
                {},
                seconds(health->uptime())
            );
            samples.counter(
                "stator_log_lines_dropped_total",
                "Lines that the log's reader was too slow for",
                {},
                static_cast<double>(log::dropped())
            );
            for (const auto& pool : {runtime.primary(), runtime.secondary()}) {
                for (std::size_t i = 0; i < pool.size(); ++i) collect_loop(samples, pool.loop(i));
            }
            collect_health(samples, health_of(*health, runtime));
        }
    );
}

}  // namespace stator::inline worker
