#include "stator/pipeline/edges.hpp"

#include <fmt/format.h>

namespace stator::inline pipeline::detail {

Error edge_already_set() {
    return Error{
        ErrorCode::already_exists, "pipeline.edge_already_set", "this edge is linked already"
    };
}

Error no_edge() {
    return Error{
        ErrorCode::invalid_request, "pipeline.no_edge", "a stage of the pipeline is not linked"
    };
}

Error id_in_use(const RequestId& id) {
    return Error{
        ErrorCode::already_exists,
        "pipeline.id_in_use",
        fmt::format("a request with the id {} is on its way already", id.to_string())
    };
}

Error detached_receiver(const RequestId& id) {
    return Error{
        ErrorCode::internal,
        "pipeline.detached_receiver",
        fmt::format("nobody waits for the answer to request {}", id.to_string())
    };
}

Error detached_sender(const RequestId& id) {
    return Error{
        ErrorCode::internal,
        "pipeline.detached_sender",
        fmt::format("no answer came back for request {}", id.to_string())
    };
}

Error no_network_edge() {
    return Error{
        ErrorCode::unavailable, "pipeline.no_network_edge", "no engine is attached to this segment"
    };
}

}  // namespace stator::inline pipeline::detail
