#include "stator/worker/engine_routes.hpp"

#include <algorithm>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "stator/base/text.hpp"

namespace stator::inline worker {

namespace {

bool is_path(std::string_view path) noexcept {
    const auto fits = [](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
               c == '-' || c == '_' || c == '.' || c == '/';
    };
    return !path.empty() && path.front() != '/' && path.back() != '/' &&
           std::ranges::all_of(path, fits);
}

}  // namespace

struct EngineRoutes::State {
    std::mutex mutex;
    std::map<std::string, http::RouteHandler, std::less<>> handlers;
};

EngineRoutes::EngineRoutes() : state_{std::make_shared<State>()} {}

void EngineRoutes::add(std::string path, http::RouteHandler handler) const {
    if (!is_path(path)) {
        throw Error{
            ErrorCode::invalid_request,
            "worker.engine_path",
            fmt::format("{} is no path below /engine/", quoted_text(path))
        };
    }
    const std::lock_guard guard{state_->mutex};
    state_->handlers.insert_or_assign(std::move(path), std::move(handler));
}

void EngineRoutes::remove(std::string_view path) const {
    const std::lock_guard guard{state_->mutex};
    const auto found = state_->handlers.find(path);
    if (found != state_->handlers.end()) state_->handlers.erase(found);
}

std::optional<http::RouteHandler> EngineRoutes::find(std::string_view path) const {
    const std::lock_guard guard{state_->mutex};
    const auto found = state_->handlers.find(path);
    if (found == state_->handlers.end()) return std::nullopt;
    return found->second;
}

}  // namespace stator::inline worker
