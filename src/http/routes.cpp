#include "stator/http/routes.hpp"

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::http {

namespace {

/// The part up to the next slash; what is behind it stays in `path`.
std::string_view take_part(std::string_view& path) noexcept {
    const auto slash = path.find('/');
    const auto part = path.substr(0, slash);
    path = slash == path.npos ? std::string_view{} : path.substr(slash + 1);
    return part;
}

[[noreturn]] void refuse(std::string_view pattern, std::string_view why) {
    throw Error{
        ErrorCode::invalid_request,
        "http.route",
        fmt::format("{} is no route: {}", quoted_text(pattern), why)
    };
}

}  // namespace

Routes& Routes::add(Method method, std::string_view pattern, RouteHandler handler) {
    if (!pattern.starts_with('/')) refuse(pattern, "it must begin with /");
    Route route{.method = method, .parts = {}, .handler = std::move(handler)};
    auto left = pattern.substr(1);
    for (bool more = true; more;) {
        more = left.find('/') != left.npos;
        auto text = take_part(left);
        Part part;
        part.parameter = text.size() > 2 && text.starts_with('{') && text.ends_with('}');
        if (part.parameter) text = text.substr(1, text.size() - 2);
        part.rest = part.parameter && text.ends_with("...");
        if (part.rest) text.remove_suffix(3);
        if (part.rest && more) refuse(pattern, "the rest must be its end");
        part.text = text;
        route.parts.push_back(std::move(part));
    }
    routes_.push_back(std::move(route));
    return *this;
}

Result<bool> Routes::fits(const Route& route, std::string_view path, Fields& parameters) {
    if (!path.starts_with('/')) return false;
    path.remove_prefix(1);
    bool more = true;
    for (const auto& part : route.parts) {
        if (!more) return false;
        more = path.find('/') != path.npos && !part.rest;
        const auto text = part.rest ? path : take_part(path);
        auto decoded = percent_decoded(text);
        if (!decoded) return std::unexpected{decoded.error()};
        if (part.parameter) {
            if (decoded->empty()) return false;
            parameters.emplace_back(part.text, std::move(*decoded));
        } else if (*decoded != part.text) {
            return false;
        }
    }
    return !more;
}

Result<Routes::Match> Routes::find(Method method, std::string_view path) const {
    Match match;
    for (const auto& route : routes_) {
        Fields parameters;
        const auto fit = fits(route, path, parameters);
        if (!fit) return std::unexpected{fit.error()};
        if (!*fit) continue;
        const bool as_get = method == Method::head && route.method == Method::get;
        if (route.method == method || as_get)
            return Match{.handler = &route.handler, .parameters = std::move(parameters)};
        if (!match.allowed.empty()) match.allowed += ", ";
        match.allowed += route.method == Method::get ? "GET, HEAD" : to_string(route.method);
    }
    return match;
}

}  // namespace stator::http
