// Finds and loads the module that speaks with NATS.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "nats/wire.hpp"
#include "stator/base/error.hpp"

namespace stator::nats {

/// Makes a Wire; what tests replace.
using Make =
    std::function<std::unique_ptr<Wire>(const WireOptions&, std::shared_ptr<WireEvents> events)>;

/// Loads it, once per process and for good. `file` empty: from the first place that has one.
/// Errors: unimplemented "nats.module" naming what was tried.
Result<Make> load_module(const std::string& file);

}  // namespace stator::nats
