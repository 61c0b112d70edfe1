// How far the instances that calls are routed by are behind what this process knows of the store.
#pragma once

#include "stator/observe/metrics.hpp"

namespace stator::discovery {

/// Of the whole process. Thread-safe.
inline const observe::Histogram& lag_metric() {
    static const auto lag = observe::metrics().histogram(
        "stator_discovery_lag_seconds",
        "From learning of a change at the store until calls are routed by it",
        observe::duration_buckets()
    );
    return lag;
}

}  // namespace stator::discovery
