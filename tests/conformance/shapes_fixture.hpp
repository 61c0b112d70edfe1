// The four shapes of a call behind one face: a test written once runs for every shape and plane.
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "plane.hpp"
#include "stator/component/router.hpp"
#include "stator/runtime/combinators.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"

namespace stator::testing {

using transport::CallShape;
using Text = std::string;
using Texts = std::vector<std::string>;
using TextRouter = Router<Text, Text>;
/// What a test's handler does. For a request of one message the input has one item; of an answer of
/// one item the first is taken, and the rest is never made.
using Body = std::function<Stream<Text>(Context, Stream<Text>)>;

struct Case {
    PlaneKind plane;
    CallShape shape;
};

/// Without it a failure prints the bytes of the parameter.
inline void PrintTo(const Case& tested, std::ostream* out) {
    *out << tested.plane.name << ", " << to_string(tested.shape);
}

inline const std::vector<CallShape> every_shape{
    CallShape::unary,
    CallShape::server_streaming,
    CallShape::client_streaming,
    CallShape::bidirectional
};
inline const std::vector<CallShape> answer_streams{
    CallShape::server_streaming, CallShape::bidirectional
};
inline const std::vector<CallShape> request_streams{
    CallShape::client_streaming, CallShape::bidirectional
};
inline const std::vector<CallShape> both_ways{CallShape::bidirectional};

inline auto cases(const std::vector<PlaneKind>& planes, const std::vector<CallShape>& shapes) {
    std::vector<Case> all;
    for (const auto& plane : planes) {
        for (const auto shape : shapes) all.push_back({plane, shape});
    }
    return ::testing::ValuesIn(all);
}

inline std::string case_name(const ::testing::TestParamInfo<Case>& info) {
    std::string name = info.param.plane.name + "_";
    for (const char letter : to_string(info.param.shape)) name += letter == ' ' ? '_' : letter;
    return name;
}

/// What a handler or an input tells its test. Shared, since they may outlive the test's frame.
struct Probe {
    Event began;
    Event go;
    Event half;
    Event go_on;
    Event ended;
    std::atomic<int> items{0};                 ///< seen or made
    CancelReason reason = CancelReason::none;  ///< of the request, when its handler was cancelled
    Texts seen;
};
using ProbePtr = std::shared_ptr<Probe>;

/// What came of a call.
struct Outcome {
    Texts items;
    std::optional<Error> error;
    Event ended;
};
using OutcomePtr = std::shared_ptr<Outcome>;

inline Stream<Text> items_of(Texts texts) {
    for (auto& text : texts) co_yield std::move(text);
}
inline Stream<Text> one(Text text) { co_yield std::move(text); }
inline Texts numbers(int count) {
    Texts all;
    for (int i = 0; i < count; ++i) all.push_back(std::to_string(i));
    return all;
}
/// A text that tells where in it a byte is missing.
inline Text long_text(std::size_t size) {
    Text text(size, ' ');
    for (std::size_t i = 0; i < size; ++i)
        text[i] = static_cast<char>('a' + (i * 31 + i / 251) % 26);
    return text;
}

inline Task<Texts> collect(Stream<Text> items) {
    Texts all;
    while (auto item = co_await items.next()) all.push_back(std::move(*item));
    co_return all;
}

inline Task<> consume(Stream<Text> items, OutcomePtr outcome) {
    try {
        while (auto item = co_await items.next()) outcome->items.push_back(std::move(*item));
    } catch (const Error& error) {
        outcome->error = error;
    }
    items = {};
    outcome->ended.set();
}

/// Waits for what happens soon, but nobody tells.
inline Task<> until(std::function<bool()> come) {
    while (!come()) co_await sleep_for(std::chrono::milliseconds{1});
}

/// Takes the first item, says so, and waits until it is cancelled; says that, too.
inline Body hold(ProbePtr probe) {
    return [probe](Context request, Stream<Text> input) -> Stream<Text> {
        return [](ProbePtr told, Context context, Stream<Text> items) -> Stream<Text> {
            if (auto first = co_await items.next()) told->seen.push_back(*first);
            told->began.set();
            try {
                co_await sleep_for(std::chrono::hours{1});
            } catch (const Error&) {
                told->reason = context.reason();
                told->ended.set();
                throw;
            }
        }(probe, std::move(request), std::move(input));
    };
}

class ShapesTest : public ::testing::TestWithParam<Case> {
protected:
    /// Runs `body` on the last primary loop, bounded by 30 s; then stops the runtime. With two
    /// loops the worker's side of a member's first connection is on the other one. What `body`
    /// throws fails the test.
    void run(std::function<Task<>(ShapesTest*)> body, std::size_t loops = 2) {
        plane_ = GetParam().plane.make();
        const std::string_view name =
            ::testing::UnitTest::GetInstance()->current_test_info()->name();
        const auto why = plane_->excludes(name.substr(0, name.find('/')));
        if (!why.empty()) GTEST_SKIP() << why;
        auto runtime =
            Runtime::create({.primary_threads = loops, .graceful_timeout = std::chrono::seconds{5}}
            );
        runtime_ = &runtime;
        const auto ended = runtime.block_on(as_result(with_deadline(
            Deadline::in(std::chrono::seconds{30}),
            on_loop(runtime.primary().loop(loops - 1), body(this))
        )));
        runtime.stop();
        if (!ended) FAIL() << ended.error().what();
    }

public:  // for the bodies
    CallShape shape() const { return GetParam().shape; }
    bool one_request() const { return transport::one_request(shape()); }
    bool one_response() const { return transport::one_response(shape()); }
    const Plane& plane() const { return *plane_; }
    /// With which calls end when a member leaves.
    ErrorCode code_of_loss() const {
        return plane_->one_member() ? ErrorCode::unavailable : ErrorCode::disconnected;
    }
    Task<DistributedRuntime> join() { return plane_->join(*runtime_); }

    /// Serves `body` as a handler of this shape.
    Task<ServedEndpoint> serve(DistributedRuntime worker, Body body, ServeOptions options = {}) {
        const auto endpoint = worker.endpoint(path);
        switch (shape()) {
            case CallShape::unary:
                return endpoint.start(
                    [body](Context request, Text item) -> Task<Text> {
                        return first_of(body(std::move(request), one(std::move(item))));
                    },
                    options
                );
            case CallShape::server_streaming:
                return endpoint.start(
                    [body](Context request, Text item) -> Stream<Text> {
                        return body(std::move(request), one(std::move(item)));
                    },
                    options
                );
            case CallShape::client_streaming:
                return endpoint.start(
                    [body](Context request, Stream<Text> items) -> Task<Text> {
                        return first_of(body(std::move(request), std::move(items)));
                    },
                    options
                );
            default:
                return endpoint.start(
                    [body](Context request, Stream<Text> items) -> Stream<Text> {
                        return body(std::move(request), std::move(items));
                    },
                    options
                );
        }
    }

    /// A way to what `serve` serves, once that can be found.
    Task<TextRouter> router(DistributedRuntime caller) {
        return [](DistributedRuntime from) -> Task<TextRouter> {
            const auto client = co_await from.endpoint(path).client();
            co_await client.wait_for_instances(Deadline::in(std::chrono::seconds{5}));
            co_return TextRouter{client};
        }(std::move(caller));
    }

    /// Calls by this shape; of the input a call of one request takes the first item.
    Stream<Text> call(
        TextRouter router, Stream<Text> input, CallOptions options = {}, Context context = {}
    ) const {
        options.plane = plane_->calls_by();
        switch (shape()) {
            case CallShape::unary:
                return ask_one(
                    std::move(router), std::move(context), std::move(input), std::move(options)
                );
            case CallShape::server_streaming:
                return generate_one(
                    std::move(router), std::move(context), std::move(input), std::move(options)
                );
            case CallShape::client_streaming:
                return as_stream(
                    router.ask(std::move(context), std::move(input), std::move(options))
                );
            default:
                return router.generate(std::move(context), std::move(input), std::move(options));
        }
    }
    Stream<Text> call(TextRouter router, Texts input = {"item"}) const {
        return call(std::move(router), items_of(std::move(input)));
    }
    /// Starts a call that is read to its end by a task of `scope`.
    OutcomePtr start(TaskScope& scope, Stream<Text> call) const {
        auto outcome = std::make_shared<Outcome>();
        scope.spawn(consume(std::move(call), outcome));
        return outcome;
    }

    static constexpr auto path = "conformance.shapes.call";

private:
    static Task<Text> first_of(Stream<Text> items) {
        auto item = co_await items.next();
        co_return item ? std::move(*item) : Text{"nothing"};
    }
    static Stream<Text> as_stream(Task<Text> reply) { co_yield co_await std::move(reply); }
    static Stream<Text> ask_one(
        TextRouter router, Context context, Stream<Text> input, CallOptions options
    ) {
        auto request = co_await input.next();
        co_yield co_await router.ask(
            std::move(context), request.value_or("nothing"), std::move(options)
        );
    }
    static Stream<Text> generate_one(
        TextRouter router, Context context, Stream<Text> input, CallOptions options
    ) {
        auto request = co_await input.next();
        auto items =
            router.generate(std::move(context), request.value_or("nothing"), std::move(options));
        while (auto item = co_await items.next()) co_yield std::move(*item);
    }

    std::unique_ptr<Plane> plane_;
    const Runtime* runtime_ = nullptr;
};

class EveryShape : public ShapesTest {};
class AnswerStreams : public ShapesTest {};
class RequestStreams : public ShapesTest {};
class BothWays : public ShapesTest {};

}  // namespace stator::testing
