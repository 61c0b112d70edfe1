// The driver on real sockets: RequestServer, MuxPool, MuxCall, ServerCall.
#include <functional>
#include <string>
#include <vector>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "stator/runtime/combinators.hpp"
#include "stator/runtime/loop_pool.hpp"
#include "stator/runtime/on_loop.hpp"
#include "stator/runtime/timer.hpp"
#include "stator/runtime/token_wait.hpp"
#include "stator/transport/mux_call.hpp"
#include "stator/transport/mux_pool.hpp"
#include "stator/transport/request_server.hpp"
#include "stator/transport/server_call.hpp"

// NOLINTBEGIN(cppcoreguidelines-avoid-reference-coroutine-parameters): the fixture outlives every
// task
namespace stator::transport {
namespace {

using namespace std::chrono_literals;

using Serve = std::function<Task<>(std::unique_ptr<ServerCall>, std::string)>;

/// Serves every call by `serve`, which gets the request; refuses the path "refused".
class Dispatcher : public CallDispatcher {
public:
    explicit Dispatcher(Serve serve) : serve_{std::move(serve)} {}
    Result<Serving> dispatch(std::unique_ptr<ServerCall>& call, const CallHead& head) override {
        if (head.path == "refused") return fail(ErrorCode::overloaded, "test.full", "no room");
        return Serving{.task = start(this, std::move(call))};
    }

private:
    static Task<> start(Dispatcher* self, std::unique_ptr<ServerCall> call) {
        auto request = co_await call->next();
        if (!request) co_return;
        co_await self->serve_(std::move(call), request->to_string());
    }
    Serve serve_;
};

/// What a pool told about its peers.
class Peers : public PeerObserver {
public:
    void on_peer_lost(const std::string&, const Error&) noexcept override { ++lost; }
    void on_peer_unreachable(const std::string&, const Error&) noexcept override { ++unreachable; }
    void on_peer_connected(const std::string&) noexcept override { ++connected; }
    void on_peer_suspect(const std::string&) noexcept override {}
    void on_peer_healthy(const std::string&) noexcept override {}
    void on_peer_draining(const std::string&, InstanceId instance) noexcept override {
        ++draining;
        drained = instance;
    }
    int lost = 0, unreachable = 0, connected = 0, draining = 0;
    InstanceId drained{};
};

/// A server and a client on one loop, run by the test's thread. `body` is the client.
class ConnectionTest : public testing::Test {
protected:
    void serve(Serve serve) { dispatcher_ = std::make_unique<Dispatcher>(std::move(serve)); }
    MuxConfig config;
    Peers peers;

    /// Starts the server, runs `client(pool, address)`, closes both, bounded by 20 s.
    void run(std::function<Task<>(MuxPool&, std::string)> client) {
        Loop loop;
        {
            TaskScope scope;
            loop.post([&] { scope.spawn(session(this, &loop, &client)); });
            loop.run();
            EXPECT_EQ(scope.size(), 0U);
        }
        if (failure_) std::rethrow_exception(failure_);
    }

public:  // for the clients, which are lambdas of their own
    RequestServer* server = nullptr;
    Task<> end_server() {
        co_await server->close();
        owned_server_.reset();
    }
    Task<> flush_and_end_server() {
        co_await server->flush(Deadline::in(10s));
        co_await end_server();
    }

private:
    static Task<> session(
        ConnectionTest* self, Loop* loop, std::function<Task<>(MuxPool&, std::string)>* client
    ) {
        try {
            co_await with_deadline(Deadline::in(20s), inner(self, client));
        } catch (...) {
            self->failure_ = std::current_exception();
        }
        loop->stop();
    }
    static Task<> inner(
        ConnectionTest* self, std::function<Task<>(MuxPool&, std::string)>* client
    ) {
        RequestServer::Options options;
        options.loops = {Loop::current()};
        options.config = self->config;
        options.dispatcher = self->dispatcher_.get();
        self->owned_server_ = co_await RequestServer::start(std::move(options));
        self->server = self->owned_server_.get();
        MuxPool pool{MuxPool::Options{
            .config = self->config,
            .connect_timeout = 2s,
            .observer = &self->peers,
            .transports = {}
        }};
        auto outcome = co_await as_result((*client)(pool, self->server->address().to_string()));
        co_await pool.close();
        if (self->owned_server_) co_await self->end_server();
        if (!outcome) throw outcome.error();
    }
    std::unique_ptr<Dispatcher> dispatcher_;
    std::unique_ptr<RequestServer> owned_server_;
    std::exception_ptr failure_;
};

CallHead head_of(std::string_view path, CallShape shape = CallShape::server_streaming) {
    CallHead head;
    head.path = path;
    head.shape = shape;
    head.codec = 1;
    return head;
}

Task<std::vector<std::string>> all_items(MuxCall* call) {
    std::vector<std::string> items;
    while (auto item = co_await call->next()) items.push_back(item->to_string());
    co_return items;
}

Task<> echo(std::unique_ptr<ServerCall> call, std::string request) {
    call->send(Bytes::copy_of(request), true);
    co_return;
}

Task<> count(std::unique_ptr<ServerCall> call, std::string request) {
    for (int i = 0; i < std::stoi(request); ++i) {
        if (!call->can_send()) co_await call->writable();
        if (!call->send(Bytes::copy_of(std::to_string(i)), false)) co_return;
    }
    call->end();
}

TEST_F(ConnectionTest, UnaryCallIsOneFrameEachWay) {
    serve(echo);
    run([](MuxPool& pool, std::string address) -> Task<> {
        const auto connection = co_await pool.connect(address);
        const auto before = connection->stats();
        MuxCall call{connection};
        EXPECT_TRUE(call.open(head_of("a/b/c", CallShape::unary), Bytes::copy_of("hello")));
        EXPECT_EQ((co_await call.next()).value().view(), "hello");
        EXPECT_TRUE(call.finished());
        EXPECT_TRUE(call.is_accepted());
        EXPECT_EQ(connection->stats().frames_out - before.frames_out, 1U);
        EXPECT_EQ(connection->stats().frames_in - before.frames_in, 1U);
    });
}

TEST_F(ConnectionTest, ItemsComeInOrderAndEndOnce) {
    serve(count);
    run([](MuxPool& pool, std::string address) -> Task<> {
        MuxCall call{co_await pool.connect(address)};
        EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("1000")));
        const auto items = co_await all_items(&call);
        EXPECT_EQ(items.size(), 1000U);
        for (std::size_t i = 0; i < items.size(); ++i) EXPECT_EQ(items[i], std::to_string(i));
        EXPECT_FALSE((co_await call.next()).has_value());
    });
}

TEST_F(ConnectionTest, ItemsThatAreReadyTogetherLeaveInFewWrites) {
    serve(count);
    run([](MuxPool& pool, std::string address) -> Task<> {
        const auto connection = co_await pool.connect(address);
        MuxCall call{connection};
        EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("100")));
        EXPECT_EQ((co_await all_items(&call)).size(), 100U);
        EXPECT_LE(connection->reads(), 4U);  // hello, the items, perhaps their end
    });
}

TEST_F(ConnectionTest, RefusalIsTypedAndUnaccepted) {
    serve(echo);
    run([](MuxPool& pool, std::string address) -> Task<> {
        MuxCall call{co_await pool.connect(address)};
        EXPECT_TRUE(call.open(head_of("refused"), Bytes::copy_of("x")));
        EXPECT_FALSE(co_await call.accepted());
        EXPECT_EQ(call.fate(), CallFate::refused);
        EXPECT_EQ(call.error()->code(), ErrorCode::overloaded);
        EXPECT_EQ(call.error()->detail(), "test.full");
    });
}

TEST_F(ConnectionTest, ErrorAfterItemsKeepsTheItems) {
    serve([](std::unique_ptr<ServerCall> call, std::string) -> Task<> {
        call->send(Bytes::copy_of("one"), false);
        call->fail(Error{ErrorCode::invalid_request, "test.bad", "no more"});
        co_return;
    });
    run([](MuxPool& pool, std::string address) -> Task<> {
        MuxCall call{co_await pool.connect(address)};
        EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
        EXPECT_EQ((co_await call.next()).value().view(), "one");
        const auto end = co_await as_result(call.next());
        EXPECT_FALSE(end.has_value());
        EXPECT_EQ(end.error().code(), ErrorCode::invalid_request);
        EXPECT_EQ(call.fate(), CallFate::accepted);
    });
}

struct Seen : CallObserver {
    void on_stop(CancelReason reason) noexcept override { stopped = reason; }
    void on_kill(CancelReason reason) noexcept override {
        killed = reason;
        gone.set();
    }
    CancelReason stopped = CancelReason::none;
    CancelReason killed = CancelReason::none;
    Event gone;
};

Serve wait_for_kill(Seen* seen) {
    return [seen](std::unique_ptr<ServerCall> call, std::string) -> Task<> {
        return [](Seen* seen_, std::unique_ptr<ServerCall> call_) -> Task<> {
            call_->observe(seen_);
            call_->send(Bytes::copy_of("started"), false);
            try {
                co_await sleep_for(1h);
            } catch (const Error& error) {
                EXPECT_EQ(error.code(), ErrorCode::cancelled);
            }
            EXPECT_TRUE(call_->over());
        }(seen, std::move(call));
    };
}

TEST_F(ConnectionTest, StopAndDropReachTheHandlerWithTheirReasons) {
    Seen seen;
    serve(wait_for_kill(&seen));
    run([&seen](MuxPool& pool, std::string address) -> Task<> {
        return [](MuxPool* pool_, std::string to, Seen* seen_) -> Task<> {
            {
                MuxCall call{co_await pool_->connect(to)};
                EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
                (void)co_await call.next();
                call.stop(CancelReason::parent);
            }
            co_await seen_->gone.wait();
            EXPECT_EQ(seen_->stopped, CancelReason::parent);
            EXPECT_EQ(seen_->killed, CancelReason::requested);
        }(&pool, std::move(address), &seen);
    });
}

TEST_F(ConnectionTest, AStopBeforeTheCallIsOpenGoesWithIt) {
    Seen seen;
    serve(wait_for_kill(&seen));
    run([&seen](MuxPool& pool, std::string address) -> Task<> {
        return [](MuxPool* pool_, std::string to, Seen* seen_) -> Task<> {
            {
                MuxCall call{co_await pool_->connect(to)};
                call.stop(CancelReason::shutdown);
                EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
                (void)co_await call.next();
            }
            co_await seen_->gone.wait();
            EXPECT_EQ(seen_->stopped, CancelReason::shutdown);
        }(&pool, std::move(address), &seen);
    });
}

TEST_F(ConnectionTest, AnAbortBeforeTheCallIsOpenIsAllThatHappens) {
    serve(echo);
    run([](MuxPool& pool, std::string address) -> Task<> {
        const auto connection = co_await pool.connect(address);
        {
            MuxCall call{connection};
            call.abort(CancelReason::requested, Error{ErrorCode::cancelled, "test.abort", "no"});
            const auto opened = call.open(head_of("a/b/c"), Bytes::copy_of("x"));
            EXPECT_FALSE(opened);
            EXPECT_EQ(opened.error().detail(), "test.abort");
            co_await call.openable();  // nothing to wait for
        }
        EXPECT_EQ(connection->calls(), 0U);
    });
}

TEST_F(ConnectionTest, CancellingTheCallersTaskKillsWithItsReason) {
    Seen seen;
    serve(wait_for_kill(&seen));
    run([&seen](MuxPool& pool, std::string address) -> Task<> {
        return [](MuxPool* pool_, std::string to, Seen* seen_) -> Task<> {
            const auto call_it = [](MuxPool* from, std::string where) -> Task<> {
                MuxCall call{co_await from->connect(where)};
                call.set_drop_reason_from(co_await current_token());
                EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
                (void)co_await all_items(&call);
            };
            const auto ended =
                co_await as_result(with_deadline(Deadline::in(50ms), call_it(pool_, to)));
            EXPECT_EQ(ended.error().code(), ErrorCode::deadline_exceeded);
            co_await seen_->gone.wait();
            EXPECT_EQ(seen_->killed, CancelReason::deadline);
        }(&pool, std::move(address), &seen);
    });
}

TEST_F(ConnectionTest, LosingTheServerEndsCallsDisconnected) {
    Seen seen;
    serve(wait_for_kill(&seen));
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](ConnectionTest* self,
                  Peers* peers_,
                  RequestServer* server_,
                  MuxPool* pool_,
                  std::string to) -> Task<> {
            (void)self;
            MuxCall call{co_await pool_->connect(to)};
            EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
            (void)co_await call.next();
            co_await server_->close();
            const auto ended = co_await as_result(call.next());
            EXPECT_FALSE(ended.has_value());
            EXPECT_EQ(ended.error().code(), ErrorCode::disconnected);
            EXPECT_EQ(peers_->lost, 1);
            EXPECT_EQ(pool_->established(to), nullptr);
        }(this, &peers, server, &pool, std::move(address));
    });
    EXPECT_EQ(seen.killed, CancelReason::peer_gone);
}

TEST_F(ConnectionTest, DrainIsTold) {
    serve(echo);
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](Peers* peers_, RequestServer* server_, MuxPool* pool_, std::string to) -> Task<> {
            MuxCall call{co_await pool_->connect(to)};
            server_->drain(InstanceId{7}, "test");
            while (peers_->draining == 0) co_await sleep_for(1ms);
            EXPECT_EQ(peers_->drained, InstanceId{7});
        }(&peers, server, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, DrainMayComeRightBeforeTheEnd) {
    // What drain posts to the loops may get its turn after the server has gone.
    serve(echo);
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](ConnectionTest* self, MuxPool* pool_, std::string to) -> Task<> {
            MuxCall call{co_await pool_->connect(to)};
            self->server->drain(InstanceId{7}, "test");
            co_await self->end_server();
            co_await sleep_for(1ms);
        }(this, &pool, std::move(address));
    });
}

/// Sends until the last item has to wait for a caller that takes nothing, and ends. Leaves the
/// number of items.
Serve more_than_fits(std::size_t* sent) {
    return [sent](std::unique_ptr<ServerCall> call, std::string) -> Task<> {
        return [](std::unique_ptr<ServerCall> call_, std::size_t* sent_) -> Task<> {
            const auto item = Bytes::copy_of(std::string(50'000, 'x'));
            std::size_t count = 0;
            while (call_->can_send()) {
                EXPECT_TRUE(call_->send(item, false));
                ++count;
                // The caller's side may still make room by itself.
                for (int i = 0; i < 50 && !call_->can_send(); ++i) co_await sleep_for(1ms);
            }
            call_->end();
            *sent_ = count;
            co_return;
        }(std::move(call), sent);
    };
}

TEST_F(ConnectionTest, FlushWaitsForAnswersThatTheirCallersHaveNotTaken) {
    std::size_t sent = 0;
    serve(more_than_fits(&sent));
    run([&](MuxPool& pool, std::string address) -> Task<> {
        return
            [](ConnectionTest* self, std::size_t* sent_, MuxPool* pool_, std::string to) -> Task<> {
                MuxCall call{co_await pool_->connect(to)};
                EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
                while (*sent_ == 0) co_await sleep_for(1ms);
                TaskScope scope;
                scope.spawn(self->flush_and_end_server());
                co_await sleep_for(50ms);  // an end that does not wait for us would come now
                EXPECT_EQ((co_await all_items(&call)).size(), *sent_);
                co_await scope.join();
            }(this, &sent, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, FlushEndsAtItsDeadline) {
    std::size_t sent = 0;
    serve(more_than_fits(&sent));
    run([&](MuxPool& pool, std::string address) -> Task<> {
        return
            [](ConnectionTest* self, std::size_t* sent_, MuxPool* pool_, std::string to) -> Task<> {
                MuxCall call{co_await pool_->connect(to)};
                EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
                while (*sent_ == 0) co_await sleep_for(1ms);
                const auto begin = Loop::current()->now();
                co_await self->server->flush(Deadline::in(100ms));
                EXPECT_GE(Loop::current()->now() - begin, 100ms);
                EXPECT_LT(Loop::current()->now() - begin, 5s);
            }(this, &sent, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, FlushDoesNotWaitForCallsThatAreServed) {
    Seen seen;
    serve(wait_for_kill(&seen));
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](ConnectionTest* self, MuxPool* pool_, std::string to) -> Task<> {
            MuxCall call{co_await pool_->connect(to)};
            EXPECT_TRUE(call.open(head_of("a/b/c"), Bytes::copy_of("x")));
            EXPECT_TRUE(co_await call.accepted());
            const auto begin = Loop::current()->now();
            co_await self->server->flush(Deadline::in(10s));
            EXPECT_LT(Loop::current()->now() - begin, 5s);
        }(this, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, WhoFindsItCongestedIsToldWhenItIsNot) {
    config.output_limit = 16U << 10U;
    serve(echo);
    run([](MuxPool& pool, std::string address) -> Task<> {
        return [](MuxPool* pool_, std::string to) -> Task<> {
            const auto connection = co_await pool_->connect(to);
            const auto request = Bytes::copy_of(std::string(1000, 'r'));
            std::vector<std::unique_ptr<MuxCall>> calls;
            int waits = 0;
            while (calls.size() < 1000) {
                auto call = std::make_unique<MuxCall>(connection);
                auto opened = call->open(head_of("a/b/c", CallShape::unary), request);
                for (; !opened; ++waits) {
                    EXPECT_EQ(opened.error().detail(), "mux.congested");
                    co_await connection->uncongested();
                    opened = call->open(head_of("a/b/c", CallShape::unary), request);
                }
                calls.push_back(std::move(call));
            }
            EXPECT_GT(waits, 0);
            for (auto& call : calls) EXPECT_EQ((co_await call->next()).value().size(), 1000U);
        }(&pool, std::move(address));
    });
}

TEST_F(ConnectionTest, WaitingForRoomEndsWithTheConnection) {
    config.output_limit = 16U << 10U;
    serve(echo);
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](ConnectionTest* self, MuxPool* pool_, std::string to) -> Task<> {
            const auto connection = co_await pool_->connect(to);
            co_await self->end_server();
            co_await connection->uncongested();
            MuxCall call{connection};
            const auto opened = call.open(head_of("a/b/c"), Bytes::copy_of("late"));
            EXPECT_EQ(opened.error().code(), ErrorCode::unavailable);
        }(this, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, ManyDialAtOnceAndOneConnectionIsMade) {
    serve(echo);
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](Peers* peers_, RequestServer* server_, MuxPool* pool_, std::string to) -> Task<> {
            std::vector<Task<std::shared_ptr<MuxConnection>>> dials;
            for (int i = 0; i < 100; ++i) dials.push_back(pool_->connect(to));
            const auto all = co_await when_all(std::move(dials));
            for (const auto& connection : all) EXPECT_EQ(connection, all.front());
            EXPECT_EQ(peers_->connected, 1);
            EXPECT_EQ(server_->mux_connections(), 1U);
        }(&peers, server, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, RefusedDialIsUnavailableAndNotRepeatedAtOnce) {
    serve(echo);
    run([this](MuxPool& pool, std::string) -> Task<> {
        return [](Peers* peers_, MuxPool* pool_) -> Task<> {
            for (int i = 0; i < 20; ++i) {
                const auto failed = co_await as_result(pool_->connect("127.0.0.1:1"));
                EXPECT_EQ(failed.error().code(), ErrorCode::unavailable);
            }
            EXPECT_LE(peers_->unreachable, 20);
            EXPECT_GE(peers_->unreachable, 1);
        }(&peers, &pool);
    });
}

Task<> drain_and_close(std::vector<Loop*> loops) {
    RequestServer::Options options;
    options.loops = std::move(loops);
    auto server = co_await RequestServer::start(std::move(options));
    server->drain({}, "ending");
    co_await server->close();
}

TEST(RequestServer, MayBeClosedWhileItsDrainIsOnTheWayToOtherLoops) {
    LoopPool loops{3, "server"};
    for (int round = 0; round < 300; ++round) {
        TaskScope scope;
        scope.spawn_on(loops[0], drain_and_close({&loops[0], &loops[1], &loops[2]}));
        while (scope.size() != 0) std::this_thread::yield();
    }
}

std::string bytes_of(std::initializer_list<int> values) {
    std::string text;
    for (const int value : values) text.push_back(static_cast<char>(value));
    return text;
}

Task<std::string> exchange(net::Address to, std::string sent, std::size_t expected) {
    auto stream = co_await net::dial(std::move(to));
    const iovec out{sent.data(), sent.size()};
    EXPECT_EQ(*stream->try_write({&out, 1}), sent.size());
    std::string got(expected, '\0');
    std::size_t size = 0;
    while (size < expected) {
        const iovec in{got.data() + size, expected - size};
        const auto n = co_await stream->read_some({&in, 1});
        if (n == 0) break;
        size += n;
    }
    got.resize(size);
    co_return got;
}

TEST_F(ConnectionTest, TlsAndGarbageAreClosedAndOthersGoOn) {
    serve(echo);
    run([this](MuxPool& pool, std::string address) -> Task<> {
        return [](RequestServer* server_, MuxPool* pool_, std::string to) -> Task<> {
            EXPECT_EQ(co_await exchange(server_->address(), bytes_of({0x16, 3, 1, 0, 0}), 1), "");
            // Neither plane's: the Dynamo plane says so in its own terms, and closes.
            const auto refusal =
                co_await exchange(server_->address(), bytes_of({0xFE, 0xFE, 0, 0}), 4096);
            EXPECT_TRUE(refusal.substr(4).starts_with("Read error: ")) << refusal;
            // A wrong preface is answered with a goodbye, then closed.
            const auto goodbye = co_await exchange(
                server_->address(), bytes_of({0xFF, 0xFF}) + "NOTOURS_123456", 64
            );
            EXPECT_LT(goodbye.size(), 4096U);
            MuxCall call{co_await pool_->connect(to)};
            EXPECT_TRUE(call.open(head_of("a/b/c", CallShape::unary), Bytes::copy_of("still here"))
            );
            EXPECT_EQ((co_await call.next()).value().view(), "still here");
        }(server, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, ASlowConsumerStopsItsProducerOnly) {
    // The producer of one stream would send 64 MiB; its consumer takes nothing. The other stream is
    // not delayed.
    std::size_t produced = 0;
    serve([&produced](std::unique_ptr<ServerCall> call, std::string request) -> Task<> {
        return [](std::size_t* produced_, std::unique_ptr<ServerCall> call_, std::string request_
               ) -> Task<> {
            if (request_ != "flood") co_return co_await echo(std::move(call_), std::move(request_));
            const auto item = Bytes::copy_of(std::string(16384, 'x'));
            for (int i = 0; i < 4096; ++i) {
                if (!call_->can_send()) co_await call_->writable();
                if (!call_->send(item, false)) co_return;
                *produced_ += item.size();
            }
            call_->end();
        }(&produced, std::move(call), std::move(request));
    });
    run([&produced](MuxPool& pool, std::string address) -> Task<> {
        return [](std::size_t* produced_, MuxPool* pool_, std::string to) -> Task<> {
            const auto connection = co_await pool_->connect(to);
            MuxCall flood{connection};
            EXPECT_TRUE(flood.open(head_of("a/b/c"), Bytes::copy_of("flood")));
            for (int i = 0; i < 200; ++i) {
                MuxCall call{connection};
                EXPECT_TRUE(call.open(head_of("a/b/c", CallShape::unary), Bytes::copy_of("ping")));
                EXPECT_EQ((co_await call.next()).value().view(), "ping");
            }
            EXPECT_LT(*produced_, 4U << 20U);  // what credit and buffers allow
            std::size_t received = 0;
            while (auto item = co_await flood.next()) received += item->size();
            EXPECT_EQ(received, 4096U * 16384U);
        }(&produced, &pool, std::move(address));
    });
}

TEST_F(ConnectionTest, LargeMessagesArriveWhole) {
    serve(echo);
    run([](MuxPool& pool, std::string address) -> Task<> {
        MuxCall call{co_await pool.connect(address)};
        std::string large(9U << 20U, 'a');
        for (std::size_t i = 0; i < large.size(); i += 997)
            large[i] = static_cast<char>('b' + i % 20);
        EXPECT_TRUE(call.open(head_of("a/b/c", CallShape::unary), Bytes::copy_of(large)));
        const auto reply = co_await call.next();
        EXPECT_TRUE(reply && reply->view() == large);
    });
}

TEST_F(ConnectionTest, OversizeMessageIsRefusedBeforeItIsSent) {
    serve(echo);
    config.max_message = 1U << 20U;
    run([](MuxPool& pool, std::string address) -> Task<> {
        MuxCall call{co_await pool.connect(address)};
        const auto opened = call.open(
            head_of("a/b/c", CallShape::unary), Bytes::copy_of(std::string(2U << 20U, 'x'))
        );
        EXPECT_FALSE(opened.has_value());
        EXPECT_EQ(opened.error().code(), ErrorCode::payload_too_large);
    });
}

}  // namespace
}  // namespace stator::transport
// NOLINTEND(cppcoreguidelines-avoid-reference-coroutine-parameters)
