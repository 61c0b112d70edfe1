// A stream of requests to a worker that does not say whether it takes the call.
#include <array>
#include <string>
#include <vector>

#include <gtest/gtest.h>

#include "cluster_fixture.hpp"
#include "stator/net/listener.hpp"
#include "stator/net/stream.hpp"
#include "stator/transport/mux_session.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-capturing-lambda-coroutines): handlers live as long as their
// endpoint
namespace stator {
namespace {

using namespace std::chrono_literals;
using testing::ClusterTest;
using testing::collect;
using transport::StreamId;
using Text = Router<std::string, std::string>;

constexpr auto path = "demo.backend.sum";

/// Takes one connection and reads every item, giving its credit back, but neither accepts nor
/// refuses a call until it is told.
class SilentWorker : public transport::MuxHandler {
public:
    static Task<std::unique_ptr<SilentWorker>> start() {
        std::unique_ptr<SilentWorker> worker{new SilentWorker};
        worker->listener_ = co_await net::Listener::bind({"127.0.0.1", 0});
        worker->scope_.spawn(worker->serve());
        co_return worker;
    }
    std::uint16_t port() const { return listener_->address().port; }
    Task<> accept() {
        session_->accept(call_);
        return flush();
    }
    Task<> refuse() {
        session_->refuse(call_, Error{ErrorCode::overloaded, "test.full", "no room"});
        session_->release(call_);
        return flush();
    }
    Task<> close() { return scope_.close(); }

    int items = 0;

private:
    SilentWorker() = default;
    Task<> serve() {
        auto accepted = co_await listener_->accept();
        stream_ = std::move(*accepted).attach();
        const auto now = Loop::current()->now();
        session_ = std::make_unique<transport::MuxSession>(
            transport::MuxRole::acceptor, transport::MuxConfig{}, *this, now
        );
        std::array<iovec, 2> space{};
        for (;;) {
            const auto parts = session_->receive_space(space);
            const auto size = co_await stream_->read_some({space.data(), parts});
            if (size == 0) co_return;
            session_->received(size, Loop::current()->now());
            co_await flush();
        }
    }
    Task<> flush() {
        std::array<iovec, 64> vectors{};
        while (session_->has_output()) {
            const auto count = session_->gather(vectors);
            const auto written = stream_->try_write({vectors.data(), count});
            if (!written) throw written.error();
            session_->written(*written, Loop::current()->now());
            if (*written == 0) co_await stream_->writable();
        }
    }

    void on_ready(const transport::mux::Hello&) override {}
    void* on_open(StreamId stream, const transport::CallHead&, const Bytes*, bool) override {
        call_ = stream;
        return this;
    }
    void on_message(StreamId stream, void*, Bytes message, bool) override {
        ++items;
        session_->consumed(stream, message.size());
    }
    void on_end(StreamId, void*) override {}
    void on_stop(StreamId, void*, CancelReason) override {}
    void on_kill(StreamId, void*, CancelReason) override {}
    void on_reset(StreamId, void*, const Error&) override {}
    void on_accept(StreamId, void*) override {}
    void on_error(StreamId, void*, const Error&, transport::CallFate) override {}
    void on_writable(StreamId, void*) override {}
    void on_drain(InstanceId, std::string_view) override {}
    void on_suspect() override {}
    void on_healthy() override {}
    void on_closed(const Error&) override {}

    std::unique_ptr<net::Listener> listener_;
    std::unique_ptr<net::Stream> stream_;
    std::unique_ptr<transport::MuxSession> session_;
    StreamId call_ = 0;
    TaskScope scope_;
};

constexpr int count = 200;
// Items of 10,003 bytes as they travel, counted as 32 more: no further one is pulled once those
// that are kept reach 256 KiB.
constexpr int most_unaccepted = 27;

Stream<std::string> numbered(std::shared_ptr<int> made) {
    for (; *made < count; ++*made) {
        auto text = std::to_string(*made) + '.';
        text.resize(10'000, '.');
        co_yield std::move(text);
    }
}

Task<std::string> count_in_order(Context, Stream<std::string> input) {
    int seen = 0;
    while (auto item = co_await input.next()) {
        if (item->starts_with(std::to_string(seen) + '.')) ++seen;
    }
    co_return std::to_string(seen);
}

class UnacceptedInput : public ClusterTest {};

TEST_F(UnacceptedInput, IsKeptWithinABoundAndSentElsewhereInFull) {
    run([](ClusterTest* test) -> Task<> {
        const auto silent = co_await SilentWorker::start();
        const auto face = co_await test->join(silent->port());
        const auto first = co_await face.endpoint(path).start(count_in_order);
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        const auto made = std::make_shared<int>(0);
        std::string answer;
        TaskScope scope{co_await current_token()};
        const auto ask = [](Text router, std::shared_ptr<int> items, std::string* to) -> Task<> {
            *to = co_await router.ask(numbered(items));
        };
        scope.spawn(ask(Text{client}, made, &answer));
        while (silent->items < most_unaccepted) co_await sleep_for(1ms);
        co_await sleep_for(50ms);  // for what must not come
        EXPECT_EQ(silent->items, most_unaccepted);
        EXPECT_LE(*made, most_unaccepted);

        const auto worker = co_await test->join();
        const auto second = co_await worker.endpoint(path).start(count_in_order);
        while (client.instances()->routable.size() < 2) co_await sleep_for(1ms);
        co_await silent->refuse();
        co_await scope.join();
        EXPECT_EQ(answer, std::to_string(count));
        EXPECT_EQ(*made, count);
        co_await silent->close();
    });
}

TEST_F(UnacceptedInput, GoesOnWhenItIsAccepted) {
    run([](ClusterTest* test) -> Task<> {
        const auto silent = co_await SilentWorker::start();
        const auto face = co_await test->join(silent->port());
        const auto first = co_await face.endpoint(path).start(count_in_order);
        const auto caller = co_await test->join();
        const auto client = co_await caller.endpoint(path).client();
        co_await client.wait_for_instances(Deadline::in(5s));
        TaskScope scope{co_await current_token()};
        const auto ask = [](Text router, CallOptions options) -> Task<> {
            (void
            )co_await as_result(router.ask(numbered(std::make_shared<int>(0)), std::move(options)));
        };
        scope.spawn(ask(Text{client}, {}));
        while (silent->items < most_unaccepted) co_await sleep_for(1ms);
        co_await silent->accept();
        while (silent->items < count) co_await sleep_for(1ms);
        // One that is never sent again needs not be kept, so nothing holds it up.
        silent->items = 0;
        scope.spawn(ask(Text{client}, {.at_most_once = true}));
        while (silent->items < count) co_await sleep_for(1ms);
        co_await scope.close();
        co_await silent->close();
    });
}

}  // namespace
}  // namespace stator
// NOLINTEND(cppcoreguidelines-avoid-capturing-lambda-coroutines)
