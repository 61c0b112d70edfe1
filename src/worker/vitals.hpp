// What can be told of a process from outside of its loops.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "stator/observe/health.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/runtime.hpp"

namespace stator::inline worker {

/// The report, and that the process is ending, if it is.
observe::HealthReport health_of(const observe::Health& health, const Runtime& runtime);

/// A line for each primary loop that one task holds for longer than `limit`; none if that is zero.
std::vector<std::string> stuck_loops(const Runtime& runtime, Duration limit);

/// Shows loops, health and uptime in the metrics of the process until it dies, which must be before
/// the runtime is gone.
observe::Collector collect_vitals(
    const Runtime& runtime, std::shared_ptr<const observe::Health> health
);

}  // namespace stator::inline worker
