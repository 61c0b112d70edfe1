// Running the handler of one admitted call.
#pragma once

#include <memory>

#include "component/placement.hpp"
#include "component/served.hpp"

namespace stator::inline component {

/// An admitted call, or one that waits for its turn. Its shape has been checked.
struct AdmittedCall {
    std::shared_ptr<Served> served;
    std::unique_ptr<transport::ServerCall> call;
    Context context;
    PayloadCodec codec;
    transport::CallShape shape;
    Admission admission;
};

/// Serves it to its end, on its own loop.
Task<> serve_call(AdmittedCall&& admitted);

/// As `serve_call`, for one that has been told to wait for its turn: it is accepted then, or
/// refused.
Task<> serve_in_turn(AdmittedCall&& admitted);

/// Serves it to its end on another loop, for a call whose request, one message, has come whole: the
/// handler and what it makes run there; what it gives is sent from the call's own loop.
/// To be called on the call's own loop. `waiting` ends when the task begins.
Task<> serve_call_elsewhere(AdmittedCall&& admitted, Bytes request, Placement::Waiting waiting);

}  // namespace stator::inline component
