// The records of instances that an operator has taken off line.
#pragma once

#include <string>
#include <string_view>

#include "stator/discovery/instance.hpp"

namespace stator::discovery {

/// Outside of what clients look at; below it "{ns}/{component}/{endpoint}/{id, hex}".
inline constexpr std::string_view drained_prefix = "v1/x_stator/drained/";

std::string drained_key(const Instance& instance);

/// The instance's own record, which says draining. Errors: to_record's; invalid_request
/// "instance.missing" for one without a mux, which cannot be asked to resume.
Result<std::string> to_drained_record(Instance instance);

/// What that instance is; `draining()` holds. Errors: from_record's.
Result<Instance> from_drained_record(std::string_view key, std::string_view record);

}  // namespace stator::discovery
