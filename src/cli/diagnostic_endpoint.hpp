// The endpoint that `stator serve` serves.
#pragma once

#include "stator/base/instance_id.hpp"
#include "stator/component/handler.hpp"

namespace stator::cli {

/// Answers in that shape. With one request: a DiagnosticRequest by DiagnosticItems, the first of
/// them only if unary. With a stream of requests: bidirectional each item by
/// {"i":k,"worker":"..","item":..}, client streaming all of them by
/// {"items":n,"bytes":m,"worker":".."}.
/// Asked to stop it sends one last item that says so, or the answer so far; killed it ends at its
/// next wait. Either is logged with the number of items sent. Cancel safety: throws `cancelled`.
Handler diagnostic_handler(InstanceId worker, transport::CallShape shape);

}  // namespace stator::cli
