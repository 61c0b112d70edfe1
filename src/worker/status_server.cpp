#include "stator/worker/status_server.hpp"

#include <chrono>
#include <utility>

#include <fmt/format.h>

#include "stator/base/sink.hpp"
#include "stator/base/text.hpp"
#include "stator/component/control.hpp"
#include "stator/http/server.hpp"
#include "stator/net/host_setting.hpp"
#include "stator/observe/log.hpp"
#include "stator/observe/metrics.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/task_scope.hpp"
#include "worker/status_pages.hpp"
#include "worker/vitals.hpp"

namespace stator::inline worker {

using namespace std::chrono_literals;
using http::Method;
using http::Request;
using http::Response;

namespace {

// Calls of the application's handlers at a time; those that do not end count until they do.
constexpr std::size_t max_engine_calls = 64;
constexpr std::string_view metrics_type = "text/plain; version=0.0.4; charset=utf-8";

/// Between the server's loop and the one that the application's handler runs on.
struct EngineCall {
    Result<Response> outcome{Response{}};
    Event ended;
};

/// A handler may throw before it is awaited.
Task<Response> ask(http::RouteHandler handler, Request request) {
    co_return co_await handler(std::move(request));
}

Task<> run_engine(std::shared_ptr<EngineCall> call, http::RouteHandler handler, Request request) {
    call->outcome = co_await as_result(ask(std::move(handler), std::move(request)));
    call->ended.set();
}

/// The body is a log filter, as in DYN_LOG.
Task<Response> change_log(Request request) {
    if (request.body.empty()) {
        throw Error{
            ErrorCode::invalid_request, "log.filter", "the body is the filter, as in DYN_LOG"
        };
    }
    auto filter = observe::LogFilter::parse(request.body);
    if (!filter) throw filter.error();
    if (auto changed = log::set_filter(std::move(*filter)); !changed) throw changed.error();
    sink().report(
        Severity::info,
        "stator::worker",
        fmt::format("logging is now {}", quoted_text(request.body))
    );
    co_return Response::text(200, "changed\n");
}

/// For a handler that has its answer at once.
http::RouteHandler page(std::function<Response()> make) {
    return [make = std::move(make)](Request) {
        return [](std::function<Response()> of) -> Task<Response> { co_return of(); }(make);
    };
}

}  // namespace

struct StatusServer::State {
    State(Runtime runtime_, Options options_)
        : runtime{runtime_.unowned()}, options{std::move(options_)} {}

    http::Routes routes();
    Task<Response> engine(Request request);
    http::RouteHandler control(ControlRequest::Action action);
    static Response metrics_page();

    const Runtime runtime;
    const Options options;
    std::unique_ptr<http::Server> server;
    TaskScope calls;  // of the application's handlers
};

Response StatusServer::State::metrics_page() {
    Response response;
    response.content_type = metrics_type;
    response.body = observe::metrics().text();
    return response;
}

/// Not awaited over there: a primary loop that is held must not hold the answer that says so.
Task<Response> StatusServer::State::engine(Request request) {
    const auto& path = request.parameter("path");
    auto handler = options.engine.find(path);
    if (!handler) {
        throw Error{
            ErrorCode::not_found,
            "worker.no_engine_route",
            fmt::format("the application has no route {}", path)
        };
    }
    if (calls.size() >= max_engine_calls) {
        throw Error{
            ErrorCode::overloaded, "worker.engine_busy", "too many calls of the application's run"
        };
    }
    const auto call = std::make_shared<EngineCall>();
    auto token = calls.token().child_token();
    const CancelGuard guard{token};  // whoever stops waiting wants no more of it
    calls.spawn_on(
        runtime.primary().loop(),
        run_engine(call, std::move(*handler), std::move(request)),
        std::move(token)
    );
    co_await call->ended.wait();
    if (!call->outcome) throw call->outcome.error();
    co_return std::move(*call->outcome);
}

/// The body may name an endpoint and an instance; without one: all that the process serves.
http::RouteHandler StatusServer::State::control(ControlRequest::Action action) {
    auto obey = [](const Options* options, ControlRequest::Action asked, Request request
                ) -> Task<Response> {
        const bool enabled = options->settings.worker.remote_control;
        if (auto allowed = check_control(enabled, options->security); !allowed)
            throw allowed.error();
        const auto what = control_request_from_json(request.body, asked);
        if (!what) throw what.error();
        co_return Response::json(200, co_await component::control(options->health, *what) + "\n");
    };
    return [this, action, obey](Request request) {
        return obey(&options, action, std::move(request));
    };
}

http::Routes StatusServer::State::routes() {
    const auto& system = options.settings.system;
    const auto stall = system.live_stall;
    http::Routes routes;
    routes
        .add(Method::get, system.live_path, page([this, stall] {
                 return live_page(stuck_loops(runtime, stall), options.health->uptime());
             }))
        .add(Method::get, system.health_path, page([this] {
                 return health_page(health_of(*options.health, runtime), options.health->uptime());
             }))
        .add(Method::get, "/ready", page([this] {
                 return ready_page(health_of(*options.health, runtime));
             }))
        .add(Method::get, "/metrics", page(&State::metrics_page))
        .add(Method::get, "/metadata", page([this] {
                 return metadata_page(options.health->instances());
             }))
        .add(Method::get, "/debug/streams", page([this] {
                 return streams_page(options.health->instances());
             }))
        .add(Method::get, "/debug/config", page([this] { return config_page(options.settings); }));
    routes.add(Method::post, "/debug/log", change_log);
    routes.add(Method::post, "/drain", control(ControlRequest::Action::drain));
    routes.add(Method::post, "/resume", control(ControlRequest::Action::resume));
    const auto to_engine = [this](Request request) { return engine(std::move(request)); };
    routes.add(Method::get, "/engine/{path...}", to_engine);
    routes.add(Method::post, "/engine/{path...}", to_engine);
    return routes;
}

StatusServer::StatusServer(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
StatusServer::~StatusServer() = default;

Task<std::unique_ptr<StatusServer>> StatusServer::start(Runtime runtime, Options options) {
    auto state = std::make_unique<State>(std::move(runtime), std::move(options));
    const auto& system = state->options.settings.system;
    http::Server::Options how;
    how.bind = {
        co_await net::address_of_setting(system.host.empty() ? "0.0.0.0" : system.host),
        static_cast<std::uint16_t>(system.port)
    };
    how.name = "status";
    how.routes = state->routes();
    how.security = state->options.security;
    how.limits = {.header = 16U << 10U, .body = 4U << 20U};
    state->server = co_await http::Server::start(std::move(how));
    sink().report(
        Severity::info,
        "stator::worker",
        fmt::format("status server at {}", state->server->address().to_string())
    );
    co_return std::unique_ptr<StatusServer>{new StatusServer{std::move(state)}};
}

const net::Address& StatusServer::address() const noexcept { return state_->server->address(); }

Task<> StatusServer::close(Deadline deadline) {
    co_await state_->server->close(deadline);
    co_await state_->calls.close(CancelReason::shutdown);
}

}  // namespace stator::inline worker
