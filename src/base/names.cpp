#include "stator/base/names.hpp"

#include <algorithm>
#include <utility>
#include <vector>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::inline base {

namespace {

constexpr bool is_name_letter(char letter) noexcept {
    return (letter >= 'a' && letter <= 'z') || (letter >= '0' && letter <= '9') || letter == '-' ||
           letter == '_';
}

std::unexpected<Error> invalid_name(std::string_view what, std::string_view name) {
    if (name.empty()) {
        return fail(
            ErrorCode::invalid_request, "name.invalid", fmt::format("the {} is empty", what)
        );
    }
    auto message = fmt::format("the {} {} may hold only a-z 0-9 - _", what, quoted_text(name));
    return fail(ErrorCode::invalid_request, "name.invalid", std::move(message));
}

std::vector<std::string_view> split(std::string_view text, std::string_view separators) {
    std::vector<std::string_view> parts;
    while (true) {
        const auto end = text.find_first_of(separators);
        parts.push_back(text.substr(0, end));
        if (end == std::string_view::npos) return parts;
        text.remove_prefix(end + 1);
    }
}

std::string_view without_scheme(std::string_view text) noexcept {
    if (text.starts_with(endpoint_scheme)) text.remove_prefix(endpoint_scheme.size());
    return text;
}

/// Bytes of the UTF-8 character that `text` starts with; 1 for a byte that starts none.
std::size_t character_size(std::string_view text) noexcept {
    const auto lead = static_cast<unsigned char>(text.front());
    const std::size_t size = lead >= 0xf0 && lead < 0xf8 ? 4
                             : lead >= 0xe0              ? 3
                             : lead >= 0xc2              ? 2
                                                         : 1;
    if (lead >= 0xf8 || size > text.size()) return 1;
    for (std::size_t i = 1; i < size; ++i) {
        if ((static_cast<unsigned char>(text[i]) & 0xc0U) != 0x80U) return 1;
    }
    return size;
}

/// What one character of free text is in a slug: the two whose lower case reaches into ASCII are
/// Unicode's.
std::string_view slug_of(std::string_view character) noexcept {
    if (character == "\xc4\xb0") return "i_";     // U+0130, capital I with dot
    if (character == "\xe2\x84\xaa") return "k";  // U+212A, the Kelvin sign
    return "_";
}

}  // namespace

bool is_valid_name(std::string_view name) noexcept {
    for (const char letter : name) {
        if (!is_name_letter(letter)) return false;
    }
    return !name.empty();
}

Result<void> check_name(std::string_view what, std::string_view name) {
    if (is_valid_name(name)) return {};
    return invalid_name(what, name);
}

Result<void> check_namespace(std::string_view name) {
    for (const auto part : split(name, ".")) {
        if (!is_valid_name(part))
            return invalid_name(part.empty() ? "namespace or a part of it" : "namespace", part);
    }
    return {};
}

Slug Slug::from_text(std::string_view text) {
    std::string slug;
    slug.reserve(text.size());
    while (!text.empty()) {
        const auto size = character_size(text);
        const char letter = text.front();
        if (size > 1) {
            slug.append(slug_of(text.substr(0, size)));
        } else if (letter >= 'A' && letter <= 'Z') {
            slug.push_back(static_cast<char>(letter - 'A' + 'a'));
        } else {
            slug.push_back(is_name_letter(letter) ? letter : '_');
        }
        text.remove_prefix(size);
    }
    slug.erase(0, std::min(slug.find_first_not_of('_'), slug.size()));
    return Slug{std::move(slug)};
}

Result<Slug> Slug::parse(std::string_view text) {
    if (auto valid = check_name("slug", text); !valid)
        return std::unexpected{std::move(valid).error()};
    return Slug{std::string{text}};
}

Result<EndpointId> EndpointId::parse(std::string_view text) {
    const auto path = without_scheme(text);
    const auto endpoint_dot = path.rfind('.');
    const auto component_dot = endpoint_dot == std::string_view::npos || endpoint_dot == 0
                                   ? std::string_view::npos
                                   : path.rfind('.', endpoint_dot - 1);
    if (component_dot == std::string_view::npos) {
        auto message = fmt::format(
            "the endpoint path {} is not namespace.component.endpoint", quoted_text(text)
        );
        return fail(ErrorCode::invalid_request, "name.path", std::move(message));
    }
    EndpointId id{
        std::string{path.substr(0, component_dot)},
        std::string{path.substr(component_dot + 1, endpoint_dot - component_dot - 1)},
        std::string{path.substr(endpoint_dot + 1)}
    };
    if (auto valid = id.check(); !valid) {
        return std::unexpected{
            valid.error().with_context(fmt::format("endpoint path {}", quoted_text(text)))
        };
    }
    return id;
}

EndpointId EndpointId::parse_lenient(std::string_view text) {
    constexpr std::string_view edges = " /.";
    text = without_scheme(text);
    const auto first = std::min(text.find_first_not_of(edges), text.size());
    text.remove_prefix(first);
    text = text.substr(0, text.find_last_not_of(edges) + 1);

    auto parts = split(text, "./");
    std::erase_if(parts, [](std::string_view part) { return part.empty(); });
    EndpointId id{"NS", "C", "E"};
    if (parts.size() == 1) id.component = parts[0];
    if (parts.size() >= 2) {
        id.namespace_ = parts[0];
        id.component = parts[1];
    }
    if (parts.size() >= 3) id.endpoint = parts[2];
    for (std::size_t i = 3; i < parts.size(); ++i) id.endpoint.append("_").append(parts[i]);
    return id;
}

Result<void> EndpointId::check() const {
    if (auto valid = check_namespace(namespace_); !valid) return valid;
    if (auto valid = check_name("component", component); !valid) return valid;
    if (auto valid = check_name("endpoint", endpoint); !valid) return valid;
    const auto size = namespace_.size() + component.size() + endpoint.size() + 2;
    if (size <= max_endpoint_id_size) return {};
    auto message =
        fmt::format("the endpoint path has {} letters, more than {}", size, max_endpoint_id_size);
    return fail(ErrorCode::invalid_request, "name.path", std::move(message));
}

std::string EndpointId::to_string() const {
    return fmt::format("{}.{}.{}", namespace_, component, endpoint);
}

std::string EndpointId::to_url() const { return fmt::format("{}{}", endpoint_scheme, to_string()); }

std::string EndpointId::to_path() const {
    return fmt::format("{}/{}/{}", namespace_, component, endpoint);
}

}  // namespace stator::inline base

std::size_t std::hash<stator::EndpointId>::operator()(const stator::EndpointId& id) const noexcept {
    constexpr std::size_t odd = 0x9e3779b97f4a7c15U;
    const std::hash<std::string_view> of_text;
    return (of_text(id.namespace_) * odd + of_text(id.component)) * odd + of_text(id.endpoint);
}
