// What a peer saw, as lines of JSON on stdout.
#pragma once

#include <string_view>

#include "stator/codec/json.hpp"

namespace stator::interop {

/// One line: {"event": ..., "t": <seconds of the monotonic clock>, <fields>}. Thread-safe.
void say(std::string_view event, const Document& fields);

}  // namespace stator::interop
