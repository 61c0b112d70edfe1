#include "stator/events/scope.hpp"

#include <fmt/format.h>

namespace stator::events {

namespace {

std::string joined(const EventScope& scope, char separator) {
    auto text = fmt::format("namespace{}{}", separator, percent_encoded(scope.namespace_));
    const auto add = [&](std::string_view kind, const std::string& name) {
        if (!name.empty())
            text += fmt::format("{0}{1}{0}{2}", separator, kind, percent_encoded(name));
    };
    add("component", scope.component);
    add("endpoint", scope.endpoint);
    return text;
}

}  // namespace

std::string percent_encoded(std::string_view text) {
    std::string encoded;
    for (const char letter : text) {
        const bool plain = (letter >= 'a' && letter <= 'z') || (letter >= 'A' && letter <= 'Z') ||
                           (letter >= '0' && letter <= '9') || letter == '-' || letter == '_';
        if (plain) {
            encoded += letter;
        } else {
            encoded += fmt::format("%{:02X}", static_cast<unsigned char>(letter));
        }
    }
    return encoded;
}

Result<void> EventScope::check() const {
    if (component.empty() && !endpoint.empty()) {
        return fail(
            ErrorCode::invalid_request, "events.scope", "an endpoint belongs to a component"
        );
    }
    if (auto good = check_namespace(namespace_); !good) return good;
    if (!component.empty()) {
        if (auto good = check_name("component", component); !good) return good;
    }
    return endpoint.empty() ? Result<void>{} : check_name("endpoint", endpoint);
}

std::string EventScope::to_path() const { return joined(*this, '/'); }
std::string EventScope::to_subject() const { return joined(*this, '.'); }

}  // namespace stator::events
