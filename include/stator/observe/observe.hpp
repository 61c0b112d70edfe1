// Switches logging and metrics on for a process.
#pragma once

#include "stator/base/error.hpp"

namespace stator::settings {
struct Settings;
}

namespace stator::observe {

/// Starts logging as the settings say and connects the sink of `base`, so that what the lower
/// layers report is logged and what they count is in `metrics()`. Called once at the start of a
/// program; again: changes how is logged.
///
/// Fails with invalid_request, detail "log.filter", naming where the bad filter comes from. Throws
/// as log::start does.
[[nodiscard]] Result<void> start(const settings::Settings& settings);

/// Only the second half: reports go to the log, counts and gauges to `metrics()` under "stator_"
/// and their name.
void install_sink();

}  // namespace stator::observe
