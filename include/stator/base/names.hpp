// Names of namespaces, components and endpoints, and the paths made of them.
#pragma once

#include <compare>
#include <cstddef>
#include <functional>
#include <string>
#include <string_view>

#include "stator/base/error.hpp"

namespace stator::inline base {

/// The longest `ns.component.endpoint` accepted; with an instance id in front it stays below the 1
/// KiB path limit.
inline constexpr std::size_t max_endpoint_id_size = 1000;

/// The scheme that may precede an endpoint path.
inline constexpr std::string_view endpoint_scheme = "dyn://";

/// Whether `name` is one or more of a-z 0-9 - _.
bool is_valid_name(std::string_view name) noexcept;

/// Fails with invalid_request, detail "name.invalid", unless `name` is valid. `what` names it in
/// the message, e.g. "component".
Result<void> check_name(std::string_view what, std::string_view name);

/// A namespace is one or more names joined by dots: "prod" or "prod.blue". Same error as
/// check_name.
Result<void> check_namespace(std::string_view name);

/// Text reduced to the letters that are safe in subjects and file names. May be empty.
class Slug {
public:
    /// Never fails: lower-cased, every character other than a-z 0-9 - _ becomes "_", leading "_"
    /// dropped.
    static Slug from_text(std::string_view text);
    /// Accepts only what needs no change of letters; fails with invalid_request, detail
    /// "name.invalid".
    static Result<Slug> parse(std::string_view text);

    const std::string& text() const noexcept { return text_; }
    friend auto operator<=>(const Slug&, const Slug&) = default;

private:
    explicit Slug(std::string text) noexcept : text_{std::move(text)} {}
    std::string text_;
};

/// The full name of an endpoint. It is a plain value: `parse` gives valid ones, `check` tells about
/// the others.
struct EndpointId {
    std::string namespace_;  ///< nested namespaces joined by dots
    std::string component;
    std::string endpoint;

    /// Strict: `[dyn://]ns.component.endpoint`. Of more than three parts the last two are component
    /// and endpoint and the others the nested namespace. Fails with invalid_request, detail
    /// "name.invalid" or "name.path".
    static Result<EndpointId> parse(std::string_view text);

    /// Never fails and checks no letters: parts are separated by "." or "/", empty ones are
    /// dropped, one part is a component, missing parts are "NS", "C" and "E", what follows the
    /// third is joined to it by "_".
    static EndpointId parse_lenient(std::string_view text);

    /// Fails as `parse` does when a part is no valid name or the whole is too long.
    Result<void> check() const;

    std::string to_string() const;  ///< "ns.component.endpoint"
    std::string to_url() const;     ///< "dyn://ns.component.endpoint"
    std::string to_path(
    ) const;  ///< "ns/component/endpoint", as in discovery keys and request paths

    friend auto operator<=>(const EndpointId&, const EndpointId&) = default;
};

}  // namespace stator::inline base

template <>
struct std::hash<stator::EndpointId> {
    std::size_t operator()(const stator::EndpointId& id) const noexcept;
};
