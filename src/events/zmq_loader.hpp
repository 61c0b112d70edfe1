// Finds and loads the module that speaks ZeroMQ.
#pragma once

#include <functional>
#include <memory>
#include <string>

#include "events/zmq_wire.hpp"
#include "stator/base/error.hpp"

namespace stator::events {

using MakeZmq = std::function<std::unique_ptr<ZmqContext>(const ZmqLimits&)>;

/// Loads it, once per process and for good. `file` empty: from the first place that has one.
/// Errors: unimplemented "events.module" naming what was tried.
Result<MakeZmq> load_zmq(const std::string& file);

}  // namespace stator::events
