#include "cli/diagnostic_endpoint.hpp"

#include <algorithm>
#include <chrono>
#include <string>
#include <utility>

#include <fmt/format.h>

#include "cli/diagnostic_request.hpp"
#include "stator/codec/payload_json.hpp"
#include "stator/observe/log.hpp"
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
        log::info(
            context_,
            "stator::cli",
            "diagnostic request {} {} after {} items ({})",
            context_.id().to_string(),
            context_.killed() ? "killed" : "stopped",
            items,
            to_string(context_.reason())
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

/// How long item `number` waits: until its place in the pace, at least the delay.
Duration wait_of(const DiagnosticRequest& request, TimePoint began, std::uint64_t number) {
    if (request.pace == Duration::zero()) return request.delay;
    const auto due = began + request.pace * static_cast<Duration::rep>(number + 1);
    return std::max(request.delay, due - Clock::current().now());
}

Stream<Bytes> answer(
    std::string worker, Context context, Bytes bytes, PayloadCodec codec, bool only_one
) {
    auto request = value_or_throw(DiagnosticRequest::decode(std::exchange(bytes, {}), codec));
    if (only_one) request.items = 1;
    const DiagnosticItems items{worker, request, codec};
    Departure departure{context};
    const auto began = Clock::current().now();
    for (auto& sent = departure.items;; ++sent) {
        if (request.fail_after && *request.fail_after == sent) {
            throw Error{
                ErrorCode::internal,
                "diagnostic.fail_after",
                fmt::format("failed after {} items, as the request asked", sent)
            };
        }
        if (sent == request.items) break;
        const auto wait = wait_of(request, began, sent);
        if (!co_await wait_for_turn(context, wait, request.ignore_stop)) {
            co_yield value_or_throw(items.stopped(sent, to_string(context.reason())));
            co_return;
        }
        // The second one: its delay lets the first one out.
        if (sent == 1) hold_the_loop(request.hold);
        co_yield value_or_throw(items.item(sent));
    }
    departure.complete = true;
}

Task<std::optional<Bytes>> next_of(Stream<Bytes>* input) { co_return co_await input->next(); }

/// The next request item; nothing at the end of the input, and when asked to stop.
Task<std::optional<Bytes>> next_unless_stopped(Context context, Stream<Bytes>* input) {
    auto item = co_await as_result(with_token(context.stop_token(), next_of(input)));
    if (item) co_return std::move(*item);
    if (context.stopped() && !context.killed()) co_return std::nullopt;
    throw std::move(item).error();
}

Stream<Bytes> echo(std::string worker, Context context, Stream<Bytes> input, PayloadCodec codec) {
    Departure departure{context};
    for (auto& sent = departure.items;; ++sent) {
        const auto item = co_await next_unless_stopped(context, &input);
        Document reply{{"i", sent}, {"worker", worker}};
        if (item) {
            reply["item"] = value_or_throw(Payload<Document>::decode(*item, codec));
        } else if (context.stopped()) {
            reply["stopped"] = to_string(context.reason());
        } else {
            break;
        }
        co_yield value_or_throw(Payload<Document>::encode(reply, codec));
        if (!item) co_return;
    }
    departure.complete = true;
}

Stream<Bytes> count(std::string worker, Context context, Stream<Bytes> input, PayloadCodec codec) {
    Departure departure{context};
    std::uint64_t bytes = 0;
    while (const auto item = co_await next_unless_stopped(context, &input)) {
        ++departure.items;
        bytes += item->size();
    }
    Document reply{{"items", departure.items}, {"bytes", bytes}, {"worker", worker}};
    if (context.stopped()) reply["stopped"] = to_string(context.reason());
    departure.complete = !context.stopped();
    co_yield value_or_throw(Payload<Document>::encode(reply, codec));
}

}  // namespace

Handler diagnostic_handler(InstanceId worker, transport::CallShape shape) {
    const bool only_one = transport::one_response(shape);
    if (transport::one_request(shape)) {
        return {
            [name = worker.to_string(), only_one](
                Context context, Bytes request, PayloadCodec codec
            ) { return answer(name, std::move(context), std::move(request), codec, only_one); },
            shape
        };
    }
    return {
        [name = worker.to_string(), only_one](
            Context context, Stream<Bytes> input, PayloadCodec codec
        ) { return (only_one ? count : echo)(name, std::move(context), std::move(input), codec); },
        shape
    };
}

}  // namespace stator::cli
