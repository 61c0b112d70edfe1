// Finding somebody to call, for commands that call.
#pragma once

#include "stator/component/distributed_runtime.hpp"

namespace stator::cli {

/// The endpoint's client once it has an instance that may be given requests: at most 5 s, and not
/// beyond `deadline`. Errors (thrown): `unavailable`, saying where it looked; the store's. Cancel
/// safety: throws `cancelled`.
Task<Client> client_with_instances(
    DistributedRuntime cluster, EndpointId endpoint, Deadline deadline
);

}  // namespace stator::cli
