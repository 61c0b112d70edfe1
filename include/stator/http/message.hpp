// A request and its answer, as plain values.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/error.hpp"

namespace stator::http {

/// `other`: one that nobody here serves.
enum class Method : std::uint8_t { get, head, post, other };

std::string_view to_string(Method method) noexcept;

/// Names and values in the order in which they came.
using Fields = std::vector<std::pair<std::string, std::string>>;

/// The first value of that name, whatever the case of its letters.
std::optional<std::string_view> find_field(const Fields& fields, std::string_view name) noexcept;

struct Request {
    Method method = Method::get;
    std::string target = "/";  ///< path and query as they were sent
    Fields fields{};
    std::string body{};
    /// What the route's pattern has taken from the path, decoded.
    Fields parameters{};

    /// Before the question mark, not decoded.
    std::string_view path() const noexcept;
    /// Behind it; empty without one.
    std::string_view query() const noexcept;
    /// A parameter of the route. Throws Error{internal} for one that the pattern does not have.
    const std::string& parameter(std::string_view name) const;
};

struct Response {
    unsigned status = 200;
    std::string content_type = "text/plain; charset=utf-8";
    std::string body{};
    Fields fields{};  ///< besides the type and the length

    static Response text(unsigned status, std::string body);
    static Response json(unsigned status, std::string body);
    /// {"error":{"code":..,"message":..}} with the status that suits the error's class.
    static Response of(const Error& error);
};

/// What is read of one message at most.
struct MessageLimits {
    std::uint32_t header = 16U << 10U;
    std::uint64_t body = 1U << 20U;
};

/// "Not Found" for 404; empty for what has no name.
std::string_view reason_of(unsigned status) noexcept;
/// The status that tells of an error of that class.
unsigned status_of(ErrorCode code) noexcept;

/// "a%20b" as "a b". Fails with invalid_request "http.escape".
Result<std::string> percent_decoded(std::string_view text);

}  // namespace stator::http
