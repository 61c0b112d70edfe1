// Control over the request port: a path that no endpoint has, on the mux.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/component/config.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::inline component {

/// Of two parts: those of endpoints have three.
inline constexpr std::string_view control_path = "x_stator/control";

/// Serves a call of that path: a ControlRequest as JSON, answered as `control` says. Errors: those
/// of check_control; unimplemented "control.plane" elsewhere than on the mux. Then `call` has not
/// been taken.
Result<transport::Serving> serve_control(
    const DistributedConfig& config, std::unique_ptr<transport::ServerCall>& call
);

}  // namespace stator::inline component
