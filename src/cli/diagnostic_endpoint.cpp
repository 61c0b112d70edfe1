#include "cli/diagnostic_endpoint.hpp"

#include <chrono>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/diagnostic_request.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::cli {

namespace {

/// Says in the log when an answer ends early, and how much of it was sent.
class Departure {
public:
    explicit Departure(Context context) : context_{std::move(context)} {}
    Departure(const Departure&) = delete;
    Departure& operator=(const Departure&) = delete;
    ~Departure() {
        if (complete || !context_.stopped()) return;
        sink().report(
            Severity::info,
            "stator::cli",
            fmt::format(
                "diagnostic request {} {} after {} items ({})",
                context_.id().to_string(),
                context_.killed() ? "killed" : "stopped",
                items,
                to_string(context_.reason())
            )
        );
    }

    std::uint64_t items = 0;
    bool complete = false;

private:
    Context context_;
};

template <class T>
T value_or_throw(Result<T> result) {
    if (!result) throw std::move(result).error();
    return std::move(*result);
}

/// A handler that computes without ever waiting, which nothing can stop.
void hold_the_loop(Duration duration) {
    const auto end = std::chrono::steady_clock::now() + duration;
    while (std::chrono::steady_clock::now() < end) {
    }
}

/// Waits until it is the next item's turn: false when the request was asked to stop instead.
Task<bool> wait_for_turn(Context context, Duration delay, bool ignore_stop) {
    if (ignore_stop) {
        if (delay > Duration::zero()) co_await sleep_for(delay);
        co_return true;
    }
    if (delay > Duration::zero()) (void)co_await sleep_for(delay, context.stop_token());
    // A kill fires the stop token, too: an answer that was killed must not look complete.
    if (context.killed()) throw Error{ErrorCode::cancelled, "the request was killed"};
    co_return !context.stopped();
}

Stream<Bytes> answer(std::string worker, Context context, Bytes bytes, PayloadCodec codec) {
    const auto request = value_or_throw(DiagnosticRequest::decode(std::exchange(bytes, {}), codec));
    const DiagnosticItems items{worker, request, codec};
    Departure departure{context};
    for (auto& sent = departure.items;; ++sent) {
        if (request.fail_after && *request.fail_after == sent) {
            throw Error{
                ErrorCode::internal,
                "diagnostic.fail_after",
                fmt::format("failed after {} items, as the request asked", sent)
            };
        }
        if (sent == request.items) break;
        if (!co_await wait_for_turn(context, request.delay, request.ignore_stop)) {
            co_yield value_or_throw(items.stopped(sent, to_string(context.reason())));
            co_return;
        }
        // The second one: its delay lets the first one out.
        if (sent == 1) hold_the_loop(request.hold);
        co_yield value_or_throw(items.item(sent));
    }
    departure.complete = true;
}

}  // namespace

RawHandler diagnostic_handler(InstanceId worker) {
    return [name = worker.to_string()](Context context, Bytes request, PayloadCodec codec) {
        return answer(name, std::move(context), std::move(request), codec);
    };
}

}  // namespace stator::cli
