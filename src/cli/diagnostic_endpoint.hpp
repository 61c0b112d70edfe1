// The endpoint that `stator serve` serves.
#pragma once

#include "stator/base/instance_id.hpp"
#include "stator/component/handler.hpp"

namespace stator::cli {

/// Answers a DiagnosticRequest with DiagnosticItems. Asked to stop it sends one last item that says
/// so; killed it ends at its next wait. Either is logged with the number of items sent.
/// Cancel safety: throws `cancelled`.
RawHandler diagnostic_handler(InstanceId worker);

}  // namespace stator::cli
