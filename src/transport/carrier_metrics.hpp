// What is counted of requests on their way to workers of Dynamo's planes; the names are the
// original's.
#pragma once

#include "stator/observe/metrics.hpp"

namespace stator::transport {

/// Of the whole process. Thread-safe.
struct CarrierMetrics {
    CarrierMetrics();
    observe::Counter tcp_bytes_sent;
    observe::Counter tcp_bytes_received;
    observe::Counter tcp_errors;
    observe::Counter nats_errors;
};

/// Made with the first request.
const CarrierMetrics& carrier_metrics();

}  // namespace stator::transport
