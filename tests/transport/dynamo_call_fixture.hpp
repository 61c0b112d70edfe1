// A caller of Dynamo's planes and a scripted worker on one loop.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

#include "dynamo_worker.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/transport/dynamo_call.hpp"
#include "tests/support/descriptors.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines): the fixture outlives every task
namespace stator::transport {

using namespace std::chrono_literals;
using namespace dynamo::test;

inline constexpr std::string_view request_text = R"({"text":"hi"})";

/// What became of a call.
struct Outcome {
    std::vector<std::string> items;
    std::optional<Error> error;
    CallFate fate = CallFate::not_accepted;
    bool accepted = false;
};

using stator::test::open_descriptors;

/// A client and a scripted worker on one loop, run by the test's thread.
class DynamoCallTest : public ::testing::Test {
public:
    DynamoCallConfig config;
    std::size_t max_waiting = 1024;
    PayloadCodec wire = PayloadCodec::json;
    std::unique_ptr<DynamoPool> pool;
    std::shared_ptr<CallHomeServer> home;
    std::unique_ptr<Worker> worker;

    Duration bound = 20s;

    /// Runs `client` against a worker that does `script` for every request; bounded.
    void run(Worker::Script script, std::function<Task<>()> client) {
        Loop loop;
        {
            TaskScope scope;
            loop.post([&] { scope.spawn(session(&loop, std::move(script), &client)); });
            loop.run();
            EXPECT_EQ(scope.size(), 0U);
        }
        if (failure_) std::rethrow_exception(failure_);
    }

    std::unique_ptr<DynamoCall> make_call(std::shared_ptr<RequestCarrier> carrier) {
        return std::make_unique<DynamoCall>(std::move(carrier), home, "1f/a/b/c", wire);
    }
    CallHead head(CallShape shape = CallShape::server_streaming) const {
        CallHead made;
        made.path = "a/b/c";
        made.request = RequestId::random();
        made.shape = shape;
        made.codec = static_cast<std::uint8_t>(PayloadCodec::json);
        return made;
    }
    Task<std::unique_ptr<DynamoCall>> open(CallShape shape = CallShape::server_streaming) {
        auto call = make_call(co_await pool->connect(worker->address()));
        const auto opened = call->open(head(shape), Bytes::copy_of(request_text));
        if (!opened) throw opened.error();
        co_return call;
    }
    static Task<Outcome> finish(DynamoCall* call) {
        Outcome outcome;
        outcome.accepted = co_await call->accepted();
        const auto read = [](DynamoCall* from, Outcome* to) -> Task<> {
            while (auto next = co_await from->next()) to->items.push_back(next->to_string());
        };
        const auto ended = co_await as_result(read(call, &outcome));
        if (!ended) outcome.error = ended.error();
        outcome.fate = call->fate();
        co_return outcome;
    }
    Task<Outcome> ask(CallShape shape = CallShape::server_streaming) {
        const auto call = co_await open(shape);
        co_return co_await finish(call.get());
    }
    /// Turns of the loop until `done`, which the deadline of the test bounds.
    static Task<> until(std::function<bool()> done) {
        while (!done()) co_await sleep_for(1ms);
    }
    Task<> nothing_left() {
        co_await until([this] { return pool->answers() == 0 && home->expected() == 0; });
    }

private:
    Task<> session(Loop* loop, Worker::Script script, std::function<Task<>()>* client) {
        try {
            co_await with_deadline(Deadline::in(bound), inner(loop, std::move(script), client));
        } catch (...) {
            failure_ = std::current_exception();
        }
        loop->stop();
    }
    Task<> inner(Loop* loop, Worker::Script script, std::function<Task<>()>* client) {
        pool = std::make_unique<DynamoPool>(DynamoPool::Options{.config = config});
        CallHomeServer::Options options;
        options.loops = {loop};
        options.max_waiting = max_waiting;
        home = co_await CallHomeServer::start(std::move(options));
        worker = std::make_unique<Worker>(std::move(script));
        co_await worker->start();
        const auto ended = co_await as_result((*client)());
        const auto left = co_await as_result(with_deadline(Deadline::in(5s), nothing_left()));
        EXPECT_TRUE(left) << pool->answers() << " answers, " << home->expected() << " subjects";
        co_await pool->close();
        co_await home->close();
        co_await worker->close();
        pool.reset();
        home.reset();
        worker.reset();
        if (!ended) throw ended.error();
    }
    std::exception_ptr failure_;
};

}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters,
// cppcoreguidelines-avoid-capturing-lambda-coroutines)
