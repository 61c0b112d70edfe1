// LocalPlane: events within the process, by reference.
#pragma once

#include "events/plane.hpp"

namespace stator::events {

/// Planes of one name hear each other.
std::shared_ptr<Plane> make_local_plane(const std::string& name);

}  // namespace stator::events
