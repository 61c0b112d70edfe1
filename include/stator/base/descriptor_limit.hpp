// How many descriptors this process may have open at a time.
#pragma once

#include <cstdint>

#include "stator/base/error.hpp"

namespace stator::inline base {

/// The soft limit holds; a process may raise it up to the hard one.
struct DescriptorLimit {
    std::uint64_t soft = 0;
    std::uint64_t hard = 0;
    friend bool operator==(const DescriptorLimit&, const DescriptorLimit&) = default;
};

/// Errors: `internal` "base.descriptor_limit".
Result<DescriptorLimit> descriptor_limit();

/// Raises the soft limit to `wanted`, or to the hard limit if that is less; never lowers it. What
/// holds then. The limit is the process's, and that of programs that it starts. Errors:
/// `permission_denied` "base.descriptor_limit", and nothing has changed.
Result<DescriptorLimit> raise_descriptor_limit(std::uint64_t wanted);

}  // namespace stator::inline base
