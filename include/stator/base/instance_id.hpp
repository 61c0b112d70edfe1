// The id of one serving instance.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::inline base {

/// 64 bits that name one instance of an endpoint for as long as its process runs. In text (keys,
/// command line, logs) lower-case hex without padding, so that one id has one spelling.
class InstanceId {
public:
    constexpr InstanceId() noexcept = default;  ///< no instance
    explicit constexpr InstanceId(std::uint64_t value) noexcept : value_{value} {}

    /// A fresh one, never zero, from the operating system. Throws Error (internal) if that fails.
    static InstanceId random();
    /// 1 to 16 lower-case hex digits without leading zeros; else invalid_request, detail
    /// "instance_id.invalid".
    static Result<InstanceId> parse(std::string_view text);

    constexpr std::uint64_t value() const noexcept { return value_; }
    /// False for the default value, which names no instance.
    explicit constexpr operator bool() const noexcept { return value_ != 0; }
    std::string to_string() const;

    friend constexpr auto operator<=>(InstanceId, InstanceId) noexcept = default;

private:
    std::uint64_t value_ = 0;
};

}  // namespace stator::inline base

template <>
struct std::hash<stator::InstanceId> {
    std::size_t operator()(stator::InstanceId id) const noexcept {
        return std::hash<std::uint64_t>{}(id.value());
    }
};
