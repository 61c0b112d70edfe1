#include "stator/http/server.hpp"

#include <utility>

#include "http/connection.hpp"
#include "stator/net/listener.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::http {

struct Server::State {
    State(Options options, std::unique_ptr<net::Listener> listener_)
        : shared{std::move(options)},
          listener{std::move(listener_)},
          scope{shared.options.parent} {}

    Task<> accept_loop();
    Task<> serve(net::Accepted accepted);
    bool make_room() noexcept;
    void close_waiting() noexcept;

    Shared shared;
    std::unique_ptr<net::Listener> listener;
    std::size_t connections = 0;
    bool closed = false;
    TaskScope scope;
};

bool Server::State::make_room() noexcept {
    if (shared.waiting.empty()) return false;
    // It leaves the list by itself, but not before its next turn.
    auto& oldest = shared.waiting.pop_front();
    oldest.token.cancel();
    shared.metrics.evicted.add();
    return true;
}

Task<> Server::State::serve(net::Accepted accepted) {
    Connection connection{shared};
    co_await connection.run(std::move(accepted));
    --connections;
}

Task<> Server::State::accept_loop() {
    while (auto accepted = co_await listener->accept()) {
        if (connections >= shared.options.max_connections && !make_room()) {
            accepted->reset();
            shared.metrics.crowded_out.add();
            continue;
        }
        ++connections;
        scope.spawn_on(*Loop::current(), serve(std::move(*accepted)), scope.token().child_token());
    }
}

void Server::State::close_waiting() noexcept {
    shared.closing = true;
    while (!shared.waiting.empty()) shared.waiting.pop_front().token.cancel(CancelReason::shutdown);
}

Server::Server(std::unique_ptr<State> state) noexcept : state_{std::move(state)} {}
Server::~Server() = default;

Task<std::unique_ptr<Server>> Server::start(Options options) {
    auto listener = co_await net::Listener::bind(options.bind);
    auto state = std::make_unique<State>(std::move(options), std::move(listener));
    state->scope.spawn(state->accept_loop());
    co_return std::unique_ptr<Server>{new Server{std::move(state)}};
}

const net::Address& Server::address() const noexcept { return state_->listener->address(); }
std::size_t Server::connections() const noexcept { return state_->connections; }

Task<> Server::close(Deadline deadline) {
    if (std::exchange(state_->closed, true)) co_return;
    state_->listener->close();
    state_->close_waiting();
    (void)co_await as_result(with_deadline(deadline, state_->scope.join()));
    co_await state_->scope.close(CancelReason::shutdown);
}

}  // namespace stator::http
