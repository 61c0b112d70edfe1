// The fields that instances have in listings and events.
#pragma once

#include <cstddef>

#include "stator/codec/value_writer.hpp"
#include "stator/discovery/instance.hpp"

namespace stator::discovery {

inline constexpr std::size_t listing_fields = 6;

/// Writes `listing_fields` entries into the map that is open.
void write_listing(ValueWriter& out, const Instance& instance);

}  // namespace stator::discovery
