// Overload: what an `overloaded` error of a worker says.
#pragma once

#include <optional>
#include <string>

#include "stator/base/clock.hpp"
#include "stator/base/error.hpp"

namespace stator::inline component {

/// Which limit was met, whose, and when another try is worth it. It travels in the error's message,
/// by every plane.
struct Overload {
    std::string knob;   ///< the setting that would have to be changed: "max_inflight"
    std::string owner;  ///< whose: "worker 1f of demo.backend.generate"
    double measured = 0;
    double limit = 0;
    Duration retry_after{};

    /// "worker 1f of a.b.c has no room: max_inflight is 8, measured 8; retry after 20 ms".
    Error error(std::string detail) const;
};

/// What such an error said; nothing for one that says it in other words.
std::optional<Overload> overload_of(const Error& error);

/// When a call that was refused with `error` may be tried again: what it says, between 1 ms and
/// 1 s; 100 ms if it says nothing.
Duration retry_after(const Error& error);

}  // namespace stator::inline component
