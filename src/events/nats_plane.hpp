// NatsPlane: events by the subjects of a NATS server.
#pragma once

#include "events/plane.hpp"
#include "stator/nats/client.hpp"
#include "stator/runtime/loop.hpp"

namespace stator::events {

/// Its tasks run on `loop`.
std::shared_ptr<Plane> make_nats_plane(Loop& loop, nats::Client client);

}  // namespace stator::events
