// Host and port, as text and in parts.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::net {

/// `host` is an IPv4 or IPv6 address (without brackets) or a DNS name.
struct Address {
    std::string host;
    std::uint16_t port = 0;

    /// Reads `1.2.3.4:80`, `[::1]:80`, `name:80`; splits at the last colon, so `::1:80` reads, too.
    /// Errors: `invalid_request` naming what is wrong.
    static Result<Address> parse(std::string_view text);
    /// As `parse` reads it; IPv6 hosts in brackets.
    std::string to_string() const;
    bool is_loopback() const noexcept;
    /// Whether `host` is a numeric address, not a name.
    bool is_numeric() const noexcept;
    /// 0.0.0.0 or [::]: good for binding, never for publishing.
    bool is_wildcard() const noexcept;

    friend bool operator==(const Address&, const Address&) = default;
};

}  // namespace stator::net
