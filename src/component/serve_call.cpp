#include "component/serve_call.hpp"

#include "stator/runtime/channel.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/task_scope.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"

namespace stator::inline component {

namespace {

// A generator whose items are all ready would otherwise keep its loop until it is done.
constexpr int items_per_turn = 64;

/// What the caller is told when its request was killed from our side.
Error killed_error(const Context& context, const runtime::detail::DeadlineGuard& deadline) {
    if (deadline.fired())
        return Error{
            ErrorCode::deadline_exceeded, "component.deadline", "the request's deadline passed"
        };
    if (context.kill_token().cause() == CancelReason::shutdown) {
        return Error{
            ErrorCode::unavailable,
            "component.killed_at_shutdown",
            "the worker ended before the request did"
        };
    }
    return Error{ErrorCode::cancelled, "component.killed", "the request was killed at the worker"};
}

Task<> send_items(transport::ServerCall* call, Stream<Bytes> items, bool one, Served* served) {
    int sent = 0;
    bool ended = false;
    std::exception_ptr failure;
    try {
        for (;;) {
            auto item = co_await items.next();
            ended = !item;
            if (ended) break;
            if (!call->can_send()) co_await call->writable();
            served->sent(item->size());
            if (!call->send(std::move(*item), one) || one) break;
            if (++sent % items_per_turn == 0) co_await yield();
        }
    } catch (...) {
        failure = std::current_exception();
    }
    // What waits at a co_yield ends its tasks before it goes. One answer comes from our own code,
    // which has none.
    if (items.at_yield() && (failure || !one)) co_await shielded(items.close());
    if (failure) std::rethrow_exception(failure);
    if (ended) call->end();
}

/// The request items as the handler reads them; keeps the call, in case the handler keeps it.
Stream<Bytes> read_input(
    std::shared_ptr<transport::ServerCall> call, std::shared_ptr<Served> served
) {
    for (;;) {
        auto item = call->try_next();
        if (!item) item = co_await call->next();
        if (!item) co_return;
        served->metrics().request_bytes.add(item->size());
        co_yield std::move(*item);
    }
}

/// What is told of the error that a handler ended with: its kill, if that was why.
Error told_error(
    std::exception_ptr thrown,
    const Context& context,
    const runtime::detail::DeadlineGuard& deadline
) {
    auto error = to_error(std::move(thrown));
    if (error.code() == ErrorCode::cancelled && context.killed())
        return killed_error(context, deadline);
    return error;
}

void end_failed(const Served& served, transport::ServerCall& call, const Error& error) {
    served.metrics().errors(error.code()).add();
    call.fail(error);
}

Task<> serve_stream(AdmittedCall admitted) {
    auto& served = *admitted.served;
    const std::shared_ptr<transport::ServerCall> call = std::move(admitted.call);
    const RunningRequest running{std::move(admitted.admission), *call, admitted.context};
    const auto& context = running.context();
    runtime::detail::DeadlineGuard deadline{
        *Loop::current(), context.deadline(), context.kill_token()
    };
    std::optional<Error> failure;
    try {
        co_await send_items(
            call.get(),
            served.handler()(context, read_input(call, admitted.served), admitted.codec),
            transport::one_response(admitted.shape),
            &served
        );
    } catch (...) {
        failure = told_error(std::current_exception(), context, deadline);
    }
    if (failure) end_failed(served, *call, *failure);
    call->close_input();
}

Task<> serve_request(AdmittedCall admitted) {
    auto& served = *admitted.served;
    auto& call = *admitted.call;
    // It goes before the call, whose end releases the stream.
    const RunningRequest running{std::move(admitted.admission), call, admitted.context};
    const auto& context = running.context();
    runtime::detail::DeadlineGuard deadline{
        *Loop::current(), context.deadline(), context.kill_token()
    };
    std::optional<Error> failure;
    try {
        auto request = call.try_next();
        if (!request) request = co_await call.next();
        if (request) {
            served.metrics().request_bytes.add(request->size());
            co_await send_items(
                &call,
                served.handler()(context, std::move(*request), admitted.codec),
                transport::one_response(admitted.shape),
                &served
            );
        } else if (!call.over()) {
            failure.emplace(
                ErrorCode::invalid_request,
                "component.no_request",
                "the call ended without a request"
            );
        }
    } catch (...) {
        failure = told_error(std::current_exception(), context, deadline);
    }
    if (failure) end_failed(served, call, *failure);
}

/// A call whose handler runs on another loop. Made, used and dropped on its own.
struct LentCall {
    explicit LentCall(AdmittedCall&& admitted_)
        : admitted{std::move(admitted_)},
          running{std::move(admitted.admission), *admitted.call, admitted.context} {}
    AdmittedCall admitted;
    RunningRequest running;
};

// What a handler elsewhere may be ahead of the call's own loop, in items.
constexpr std::size_t items_on_the_way = 8;

/// On the call's own loop: sends what comes, and closes the channel when nobody wants more.
Task<> send_from(Channel<Bytes>* items, LentCall* lent) {
    auto& call = *lent->admitted.call;
    while (auto item = co_await items->receive()) {
        if (!call.can_send()) co_await call.writable();
        lent->admitted.served->sent(item->size());
        if (!call.send(std::move(*item), false)) break;
    }
    items->close();
}

/// Where the handler runs: hands its items over, and waits until they are sent.
Task<> hand_over(Stream<Bytes> items, LentCall* lent, Loop* home) {
    Channel<Bytes> on_the_way{items_on_the_way};
    TaskScope sending{co_await current_token()};
    sending.spawn_on(*home, send_from(&on_the_way, lent));
    std::exception_ptr failure;
    try {
        while (auto item = co_await items.next()) {
            if (!co_await on_the_way.send(std::move(*item))) break;
        }
    } catch (...) {
        failure = std::current_exception();
    }
    on_the_way.close();
    if (items.at_yield()) co_await shielded(items.close());
    const auto sent = co_await as_result(sending.join());  // those before the error, too
    co_await sending.close();
    if (failure) std::rethrow_exception(failure);
    if (!sent) throw sent.error();
}

/// On the call's own loop: ends it.
Task<> give_back(
    std::unique_ptr<LentCall> lent, std::optional<Bytes> reply, std::optional<Error> failure
) {
    // It dies here: the frame, with the parameters, goes where the task is awaited.
    const auto own = std::move(lent);
    auto& served = *own->admitted.served;
    auto& call = *own->admitted.call;
    try {
        if (reply) {
            served.sent(reply->size());
            (void)call.send(std::move(*reply), true);
        }
    } catch (const Error& error) {
        failure = error;
    }
    if (failure) {
        end_failed(served, call, *failure);
    } else {
        call.end();
    }
    co_return;
}

Task<> run_lent(
    std::unique_ptr<LentCall> lent, Bytes request, Loop* home, Placement::Waiting waiting
) {
    waiting.end();
    const auto& admitted = lent->admitted;
    const Context context = admitted.context;  // outlives the call
    runtime::detail::DeadlineGuard deadline{
        *Loop::current(), context.deadline(), context.kill_token()
    };
    std::optional<Bytes> reply;
    std::optional<Error> failure;
    try {
        auto items = admitted.served->handler()(context, std::move(request), admitted.codec);
        if (transport::one_response(admitted.shape)) {
            reply = co_await items.next();
        } else {
            co_await hand_over(std::move(items), lent.get(), home);
        }
    } catch (...) {
        failure = told_error(std::current_exception(), context, deadline);
    }
    co_await shielded(
        on_loop(*home, give_back(std::move(lent), std::move(reply), std::move(failure)))
    );
}

}  // namespace

Task<> serve_call(AdmittedCall&& admitted) {
    return transport::one_request(admitted.shape) ? serve_request(std::move(admitted))
                                                  : serve_stream(std::move(admitted));
}

namespace {

Task<> wait_and_serve(AdmittedCall admitted) {
    const auto turn = co_await as_result(admitted.served->turn(admitted.context.deadline()));
    if (!turn) {
        admitted.served->metrics().errors(turn.error().code()).add();
        admitted.call->refuse(turn.error());
        co_return;
    }
    admitted.admission = Admission{admitted.served};
    admitted.call->accept();
    co_await serve_call(std::move(admitted));
}

}  // namespace

Task<> serve_in_turn(AdmittedCall&& admitted) { return wait_and_serve(std::move(admitted)); }

Task<> serve_call_elsewhere(AdmittedCall&& admitted, Bytes request, Placement::Waiting waiting) {
    admitted.served->metrics().request_bytes.add(request.size());
    return run_lent(
        std::make_unique<LentCall>(std::move(admitted)),
        std::move(request),
        Loop::current(),
        std::move(waiting)
    );
}

}  // namespace stator::inline component
