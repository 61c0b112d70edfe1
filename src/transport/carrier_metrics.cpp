#include "transport/carrier_metrics.hpp"

namespace stator::transport {

CarrierMetrics::CarrierMetrics() {
    auto& all = observe::metrics();
    tcp_bytes_sent = all.counter(
        "dynamo_transport_tcp_bytes_sent_total", "Bytes of requests sent by TCP to Dynamo's plane"
    );
    tcp_bytes_received = all.counter(
        "dynamo_transport_tcp_bytes_received_total",
        "Bytes of acknowledgements received by TCP from Dynamo's plane"
    );
    tcp_errors = all.counter(
        "dynamo_transport_tcp_errors_total",
        "Requests by TCP that could not be sent or were not acknowledged"
    );
    nats_errors = all.counter(
        "dynamo_transport_nats_errors_total",
        "Requests by NATS that could not be sent or were not acknowledged",
        {{"error_type", "request_failed"}}
    );
}

const CarrierMetrics& carrier_metrics() {
    static const CarrierMetrics metrics;
    return metrics;
}

}  // namespace stator::transport
