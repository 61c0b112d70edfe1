// Which handler answers which path.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "stator/http/message.hpp"
#include "stator/runtime/task.hpp"

namespace stator::http {

/// Called on the server's loop; several requests at a time. What it throws becomes the answer
/// (Response::of). Cancelled when its time is up or the server ends.
using RouteHandler = std::function<Task<Response>(Request)>;

/// A pattern is a path whose parts may be `{name}` (one part) and, at its end, `{name...}` (the
/// rest, at least one letter): "/engine/{path...}". The first pattern that fits counts. A value.
class Routes {
public:
    /// `get` serves HEAD as well. Throws Error{invalid_request, "http.route"} for a pattern that
    /// does not begin with / or has its rest elsewhere than at the end.
    Routes& add(Method method, std::string_view pattern, RouteHandler handler);

    struct Match {
        const RouteHandler* handler = nullptr;  ///< null: nobody
        Fields parameters{};
        std::string allowed{};  ///< the methods for that path, if it is only the method
    };
    /// Fails with invalid_request "http.escape".
    Result<Match> find(Method method, std::string_view path) const;

private:
    struct Part {
        std::string text;  // a parameter's name, or the part itself
        bool parameter = false;
        bool rest = false;
    };
    struct Route {
        Method method;
        std::vector<Part> parts;
        RouteHandler handler;
    };
    static Result<bool> fits(const Route& route, std::string_view path, Fields& parameters);
    std::vector<Route> routes_;
};

}  // namespace stator::http
