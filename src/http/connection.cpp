#include "http/connection.hpp"

#include <array>
#include <chrono>

#include "http/message_text.hpp"
#include "http/write_all.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::http {

using namespace std::chrono_literals;

namespace {

constexpr std::size_t read_size = 4096;
// What a client that is refused may still send: an answer that meets unread bytes becomes a reset.
constexpr std::size_t lingering_size = 256U << 10U;
constexpr auto lingering_time = 500ms;

unsigned status_for_refusal(const Error& why) noexcept {
    if (why.detail() == "http.header_too_large") return 431;
    if (why.detail() == "http.too_slow") return 408;
    return status_of(why.code());
}

}  // namespace

void Connection::begin_waiting() { shared_.waiting.push_back(*this); }

void Connection::done_waiting() noexcept {
    if (linked()) WaitingList::remove(*this);
}

Task<> Connection::run(net::Accepted accepted) {
    token = co_await current_token();
    shared_.metrics.connections.add();
    const auto ended = co_await as_result(converse(std::move(accepted)));
    done_waiting();
    shared_.metrics.connections.subtract();
    if (ended) co_return;
    // A client that leaves, and being closed by us, are no news; the rest is counted by its name.
    const auto code = ended.error().code();
    if (code != ErrorCode::disconnected && code != ErrorCode::cancelled)
        shared_.metrics.refused(ended.error().detail());
}

Task<> Connection::converse(net::Accepted accepted) {
    begin_waiting();
    stream_ = co_await shared_.options.security.accept(std::move(accepted));
    reader_ = std::make_unique<RequestReader>(shared_.options.limits);
    while (!over_) {
        auto received = co_await as_result(next_request());
        if (!received) {
            const auto why = received.error();
            if (why.code() != ErrorCode::disconnected && why.code() != ErrorCode::cancelled)
                (void)co_await as_result(refuse(why));
            throw why;
        }
        if (!received->has_value()) co_return;
        co_await answer(std::move(**received));
    }
}

Task<std::optional<ReceivedRequest>> Connection::next_request() {
    auto deadline = Deadline::in(shared_.options.idle_timeout);
    begun_ = false;
    if (!linked()) begin_waiting();
    for (;;) {
        auto request = reader_->poll();
        if (!request) throw request.error();
        if (request->has_value()) {
            done_waiting();
            co_return std::move(*request);
        }
        if (!begun_ && !reader_->between_requests()) {
            begun_ = true;
            deadline = Deadline::in(shared_.options.request_timeout);
        }
        if (reader_->asks_to_continue()) co_await send("HTTP/1.1 100 Continue\r\n\r\n");
        if (!co_await read_some(deadline)) co_return std::nullopt;
    }
}

/// Between two requests neither an end nor a silence is an error.
Task<bool> Connection::read_some(Deadline deadline) {
    if (!begun_ && shared_.closing) co_return false;
    std::array<char, read_size> space;
    const iovec part{space.data(), space.size()};
    const auto size = co_await as_result(with_deadline(deadline, stream_->read_some({&part, 1})));
    if (!size && size.error().code() != ErrorCode::deadline_exceeded) throw size.error();
    if (!begun_ && size.value_or(0) == 0) co_return false;
    if (!size) {
        throw Error{
            ErrorCode::deadline_exceeded, "http.too_slow", "the request did not come in time"
        };
    }
    if (*size == 0)
        throw Error{ErrorCode::disconnected, "http.disconnected", "left within a request"};
    reader_->feed({space.data(), *size});
    co_return true;
}

Task<> Connection::answer(ReceivedRequest received) {
    const bool head_only = received.request.method == Method::head;
    auto outcome = co_await as_result(with_deadline(
        Deadline::in(shared_.options.handler_timeout), route(std::move(received.request))
    ));
    if (!outcome && outcome.error().code() == ErrorCode::cancelled && token.cancelled())
        throw outcome.error();
    const auto response = outcome ? std::move(*outcome) : Response::of(outcome.error());
    over_ = !received.keep_alive || shared_.closing;
    shared_.metrics.answered(response.status);
    co_await send(text_of(response, {.close = over_, .head_only = head_only}));
    if (over_) stream_->shutdown_write();
}

Task<Response> Connection::route(Request request) {
    auto match = shared_.options.routes.find(request.method, request.path());
    if (!match) throw match.error();
    if (match->handler == nullptr) {
        if (match->allowed.empty()) co_return Response::text(404, "Route not found\n");
        auto refusal = Response::text(405, "This path takes " + match->allowed + "\n");
        refusal.fields.emplace_back("Allow", match->allowed);
        co_return refusal;
    }
    request.parameters = std::move(match->parameters);
    co_return co_await (*match->handler)(std::move(request));
}

Task<> Connection::send(std::string text) {
    const auto sent = co_await as_result(with_deadline(
        Deadline::in(shared_.options.write_timeout), write_all(stream_.get(), std::move(text))
    ));
    if (sent) co_return;
    if (sent.error().code() != ErrorCode::deadline_exceeded) throw sent.error();
    throw Error{
        ErrorCode::deadline_exceeded, "http.reader_too_slow", "the answer was not taken in time"
    };
}

Task<> Connection::refuse(Error why) {
    auto response = Response::of(why);
    response.status = status_for_refusal(why);
    shared_.metrics.answered(response.status);
    co_await send(text_of(response, {.close = true}));
    stream_->shutdown_write();
    co_await with_deadline(Deadline::in(lingering_time), linger());
}

Task<> Connection::linger() {
    std::array<char, read_size> space;
    const iovec part{space.data(), space.size()};
    for (std::size_t read = 0; read < lingering_size;) {
        const auto size = co_await stream_->read_some({&part, 1});
        if (size == 0) co_return;
        read += size;
    }
}

}  // namespace stator::http
