// What an application adds to the status server.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stator/http/routes.hpp"

namespace stator::inline worker {

/// Handlers below /engine/, such as "reload" for /engine/reload: GET and POST, on the primary pool.
/// A cheap copyable handle; thread-safe; may change while the server runs.
class EngineRoutes {
public:
    EngineRoutes();

    /// Replaces a handler of that path. Throws Error{invalid_request, "worker.engine_path"} for a
    /// path that is empty, begins or ends with / or has other letters than a-z A-Z 0-9 - _ . /
    void add(std::string path, http::RouteHandler handler) const;
    void remove(std::string_view path) const;
    std::optional<http::RouteHandler> find(std::string_view path) const;

private:
    struct State;
    std::shared_ptr<State> state_;
};

}  // namespace stator::inline worker
