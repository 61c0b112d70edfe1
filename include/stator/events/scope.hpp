// Of what events tell, and how that is spelled in keys and subjects.
#pragma once

#include <string>
#include <string_view>

#include "stator/base/error.hpp"
#include "stator/base/names.hpp"

namespace stator::events {

/// A namespace, one of its components, or one endpoint of that. A value.
struct EventScope {
    std::string namespace_{};
    std::string component{};  ///< empty: the whole namespace
    std::string endpoint{};   ///< empty: the whole component

    static EventScope of(const EndpointId& id) {
        return {id.namespace_, id.component, id.endpoint};
    }
    /// Errors: invalid_request "name.invalid"; "events.scope" for an endpoint without a component.
    Result<void> check() const;
    /// "namespace/a/component/b/endpoint/c", each name percent-encoded: in keys of discovery.
    std::string to_path() const;
    /// The same with dots: what a subject of NATS begins with.
    std::string to_subject() const;
    friend bool operator==(const EventScope&, const EventScope&) = default;
};

/// Letters, digits, '-' and '_' as they are, every other byte as %XX.
std::string percent_encoded(std::string_view text);

}  // namespace stator::events
