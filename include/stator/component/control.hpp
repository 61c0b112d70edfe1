// What an operator may ask a process: to take what it serves off line, and back.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/base/instance_id.hpp"
#include "stator/base/names.hpp"
#include "stator/net/security.hpp"
#include "stator/observe/health.hpp"
#include "stator/runtime/task.hpp"

namespace stator::inline component {

struct ControlRequest {
    enum class Action : std::uint8_t { drain = 1, resume = 2 };
    Action action = Action::drain;
    std::optional<EndpointId> endpoint{};  ///< nothing: all that the process serves
    InstanceId instance{};                 ///< none: each instance of it
};

std::string_view to_string(ControlRequest::Action action) noexcept;

/// {"action":"drain","endpoint":"ns.component.endpoint","instance":"1a2b"}, the last two optional.
std::string to_json(const ControlRequest& request);
/// Where `action` is known otherwise, the text need not say it, and may be empty. Errors:
/// invalid_request "control.request".
Result<ControlRequest> control_request_from_json(
    std::string_view text, std::optional<ControlRequest::Action> action = {}
);

/// Whether orders are taken from outside: errors permission_denied "control.disabled" unless
/// `enabled`, "control.no_certificate" where `security` serves TLS to clients that show none.
Result<void> check_control(bool enabled, const net::Security& security);

/// Does it to all that are meant at the same time, and returns where they stand then:
/// {"instances":[{"endpoint":"ns.component.endpoint","instance_id":"1a2b","state":"draining",
/// "requests":3}]}. Errors: not_found "control.not_served" when nothing is meant;
/// the first of those of
/// observe::InstanceControl, once all have been tried. Cancel safety: throws `cancelled`; what has
/// begun goes on.
Task<std::string> control(std::shared_ptr<observe::Health> health, ControlRequest request);

}  // namespace stator::inline component
