// The id of one request, shared by every hop that works for it.
#pragma once

#include <array>
#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::inline base {

/// 128 bits, written as a UUID: "6f9619ff-8b86-4d01-b42d-00cf4fc964ff".
class RequestId {
public:
    static constexpr std::size_t text_size = 36;

    constexpr RequestId() noexcept = default;  ///< no request
    constexpr RequestId(std::uint64_t high, std::uint64_t low) noexcept : high_{high}, low_{low} {}

    /// A fresh version 4 UUID from this thread's generator; takes a few nanoseconds. Throws only if
    /// the operating system has no random numbers at the first call of a thread.
    static RequestId random();
    /// Hex digits of either case in groups of 8-4-4-4-12; else invalid_request, detail
    /// "request_id.invalid".
    static Result<RequestId> parse(std::string_view text);

    constexpr std::uint64_t high() const noexcept { return high_; }
    constexpr std::uint64_t low() const noexcept { return low_; }
    explicit constexpr operator bool() const noexcept { return (high_ | low_) != 0; }

    void write(std::span<char, text_size> out) const noexcept;
    std::string to_string() const;

    friend constexpr auto operator<=>(const RequestId&, const RequestId&) noexcept = default;

private:
    std::uint64_t high_ = 0;
    std::uint64_t low_ = 0;
};

}  // namespace stator::inline base

template <>
struct std::hash<stator::RequestId> {
    std::size_t operator()(const stator::RequestId& id) const noexcept {
        return static_cast<std::size_t>(id.high() ^ (id.low() * 0x9e3779b97f4a7c15U));
    }
};
