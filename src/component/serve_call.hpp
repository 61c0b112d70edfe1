// Running the handler of one admitted call.
#pragma once

#include <memory>

#include "component/served.hpp"

namespace stator::inline component {

/// An admitted call, whose shape has been checked.
struct AdmittedCall {
    std::shared_ptr<Served> served;
    std::unique_ptr<transport::ServerCall> call;
    Context context;
    PayloadCodec codec;
    transport::CallShape shape;
};

/// Serves it to its end, on its own loop.
Task<> serve_call(AdmittedCall&& admitted);

/// Serves it to its end on another loop, for a call whose request, one message, has come whole: the
/// handler and what it makes run there; what it gives is sent from the call's own loop.
/// To be called on the call's own loop. `not_begun` is counted down when the task begins.
Task<> serve_call_elsewhere(
    AdmittedCall&& admitted, Bytes request, std::atomic<std::size_t>* not_begun
);

}  // namespace stator::inline component
