#include "stator/net/address.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>

#include <charconv>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::net {

namespace {

bool is_ipv6(const std::string& host) noexcept {
    in6_addr parsed{};
    return ::inet_pton(AF_INET6, host.c_str(), &parsed) == 1;
}

bool is_ipv4(const std::string& host) noexcept {
    in_addr parsed{};
    return ::inet_pton(AF_INET, host.c_str(), &parsed) == 1;
}

}  // namespace

Result<Address> Address::parse(std::string_view text) {
    const auto colon = text.rfind(':');
    if (colon == std::string_view::npos || colon == 0) {
        return fail(
            ErrorCode::invalid_request,
            "net.bad_address",
            fmt::format("{} is not host:port", quoted_text(text))
        );
    }
    auto host = text.substr(0, colon);
    const auto digits = text.substr(colon + 1);
    std::uint16_t port = 0;
    const auto [end, code] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
    if (code != std::errc{} || end != digits.data() + digits.size()) {
        return fail(
            ErrorCode::invalid_request,
            "net.bad_address",
            fmt::format(
                "{} has no port between 0 and 65535 behind the last colon", quoted_text(text)
            )
        );
    }
    if (host.size() >= 2 && host.front() == '[' && host.back() == ']')
        host = host.substr(1, host.size() - 2);
    return Address{std::string{host}, port};
}

std::string Address::to_string() const {
    return host.find(':') == std::string::npos ? fmt::format("{}:{}", host, port)
                                               : fmt::format("[{}]:{}", host, port);
}

bool Address::is_loopback() const noexcept {
    return host.starts_with("127.") || host == "::1" || host == "localhost";
}

bool Address::is_numeric() const noexcept { return is_ipv4(host) || is_ipv6(host); }

bool Address::is_wildcard() const noexcept {
    return host == "0.0.0.0" || host == "::" || host.empty();
}

}  // namespace stator::net
