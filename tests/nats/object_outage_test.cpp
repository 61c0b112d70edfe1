// Objects of a server that is killed, restarted or silent in the middle of it.
#include <fmt/core.h>
#include <nlohmann/json.hpp>

#include "stator/codec/json.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/nats/object_fixture.hpp"
#include "tests/support/relay.hpp"

namespace stator::test {
namespace {

using testing::Relay;

class ObjectOutage : public Objects {};

using Action = std::function<void()>;

/// What is done to the server blocks, and not this loop.
Task<> after(BlockingPool* pool, Action action) {
    if (action) co_await offload(*pool, std::move(action));
}

Task<Bytes> piece_after(BlockingPool* pool, Action action, Bytes piece) {
    co_await after(pool, std::move(action));
    co_return piece;
}

/// Once, when the chunk `at` is asked for.
nats::ObjectSource disturbed(std::string text, std::size_t at, BlockingPool* pool, Action action) {
    auto left = std::make_shared<Action>(std::move(action));
    return [=](std::uint64_t offset, std::size_t size) {
        auto piece = Bytes::copy_of(std::string_view{text}.substr(offset, size));
        auto now = offset / chunk == at ? std::exchange(*left, {}) : Action{};
        return piece_after(pool, std::move(now), std::move(piece));
    };
}

/// Once, when the chunk `at` has come.
nats::ObjectSink disturbed(std::string* into, std::size_t at, BlockingPool* pool, Action action) {
    auto left = std::make_shared<Action>(std::move(action));
    return [=](const ObjectInfo*, std::uint64_t offset, Bytes piece) {
        into->resize(offset);
        *into += piece.view();
        return after(pool, offset / chunk == at ? std::exchange(*left, {}) : Action{});
    };
}

Action restarting(NatsServer* server) {
    return [server] {
        server->kill();
        server->start();
    };
}

Task<> put_over_restart(Client client, NatsServer* server, BlockingPool* pool) {
    const auto store = small_chunks(client);
    co_await put(store, "one", text_of(3000, 1));
    for (std::size_t at : {0U, 1U, 40U, 99U}) {
        const auto text = text_of(100 * chunk, static_cast<unsigned>(at));
        auto source = disturbed(text, at, pool, restarting(server));
        const auto info = co_await as_result(store.put_from("one", std::move(source)));
        EXPECT_TRUE(info) << at << ": " << info.error().what();
        EXPECT_TRUE(co_await get(store, "one") == text) << at;
        EXPECT_EQ(co_await messages(client), 101U) << at;
    }
}

TEST_F(ObjectOutage, APutGoesOnWhenTheServerIsBack) {
    EXPECT_RUNS(loops, put_over_restart(*client, &server, &pool));
}

Task<> get_over_restart(Client client, NatsServer* server, BlockingPool* pool) {
    const auto store = small_chunks(client);
    const auto text = text_of(300 * chunk);
    co_await put(store, "one", text);
    for (std::size_t at : {0U, 1U, 150U, 299U}) {
        std::string got;
        auto sink = disturbed(&got, at, pool, restarting(server));
        const auto info = co_await as_result(store.get_to("one", std::move(sink)));
        EXPECT_TRUE(info) << at << ": " << info.error().what();
        EXPECT_TRUE(got == text) << at;
    }
}

TEST_F(ObjectOutage, AGetGoesOnWhenTheServerIsBack) {
    EXPECT_RUNS(loops, get_over_restart(*client, &server, &pool));
}

Task<> no_server(
    Client client, NatsServer* server, BlockingPool* pool, std::filesystem::path folder
) {
    const auto store = store_of(client, {.chunk_size = chunk, .call_timeout = 500ms});
    const auto patient = small_chunks(client);
    const auto old = text_of(100 * chunk);
    co_await put(patient, "one", old);
    const auto begun = Clock::current().now();
    auto source = disturbed(text_of(100 * chunk, 2), 50, pool, [server] { server->kill(); });
    const auto sent = co_await error_of(store.put_from("one", std::move(source)));
    EXPECT_TRUE(sent.contains("disconnected") || sent.contains("connection_lost")) << sent;
    for (const auto& error :
         {co_await error_of(store.get_file(*pool, "one", folder / "one")),
          co_await error_of(store.info("one")),
          co_await error_of(store.list()),
          co_await error_of(store.remove("one")),
          co_await error_of(store.delete_bucket())})
        EXPECT_EQ(error, "unavailable nats.disconnected");
    EXPECT_LT(Clock::current().now() - begun, patience);
    co_await offload(*pool, [&] { server->start(); });
    // The older one is there, as a whole. In the middle of a download the server goes again.
    EXPECT_TRUE(co_await get(patient, "one") == old);
    std::string got;
    auto sink = disturbed(&got, 50, pool, [server] { server->kill(); });
    const auto received = co_await error_of(store.get_to("one", std::move(sink)));
    EXPECT_TRUE(received.contains("disconnected") || received.contains("lost")) << received;
    EXPECT_TRUE(files_in(folder).empty());
}

TEST_F(ObjectOutage, AServerThatStaysAwayEndsItByName) {
    EXPECT_RUNS(loops, no_server(*client, &server, &pool, folder.path()));
}

/// Of a server that has lost everything meanwhile.
Task<> wiped(Client client, NatsServer* server, BlockingPool* pool) {
    const auto store = small_chunks(client);
    const auto text = text_of(300 * chunk);
    co_await put(store, "one", text);
    std::string got;
    auto sink = disturbed(&got, 100, pool, [server] {
        server->kill();
        server->wipe();
        server->start();
    });
    EXPECT_EQ(
        co_await error_of(store.get_to("one", std::move(sink))), "not_found nats.bucket_missing"
    );
    co_await put(store, "one", text);
    EXPECT_TRUE(co_await get(store, "one") == text);
}

TEST_F(ObjectOutage, ABucketThatIsLostIsNamedAndMadeAnew) {
    EXPECT_RUNS(loops, wiped(*client, &server, &pool));
}

/// A reader that takes long is forgotten.
Task<> forgotten(Client client) {
    const auto store = small_chunks(client);
    const auto text = text_of(300 * chunk);
    co_await put(store, "one", text);
    const auto forget = [](Client with) -> Task<> {
        const auto answer = co_await with.request({.subject = "$JS.API.CONSUMER.NAMES.OBJ_things"});
        const auto known = decode_json(answer.payload.view()).value();
        EXPECT_EQ(known.at("consumers").size(), 1U);
        for (const auto& name : known.at("consumers"))
            co_await JetStream{with}.delete_consumer(
                "OBJ_things", name.get<std::string>(), Deadline::in(patience)
            );
    };
    std::string got;
    const auto sink = [&](const ObjectInfo*, std::uint64_t offset, Bytes piece) -> Task<> {
        EXPECT_EQ(offset, got.size());
        got += piece.view();
        return offset / chunk == 100 ? forget(client) : after(nullptr, {});
    };
    co_await store.get_to("one", sink);
    EXPECT_TRUE(got == text);
}

TEST_F(ObjectOutage, AGetGoesOnWhenTheServerHasForgottenIt) {
    EXPECT_RUNS(loops, forgotten(*client));
}

/// The record is stored, its answer is lost, and the server has forgotten its id when it comes
/// again.
Task<> answer_lost(Client client, Client behind, Relay* relay) {
    const JetStream server{client};
    co_await server.create_stream(
        {.name = "OBJ_things",
         .subjects = {"$O.things.C.>", "$O.things.M.>"},
         .duplicate_window = 100ms,
         .rollup = true},
        Deadline::in(patience)
    );
    co_await put(small_chunks(client), "one", text_of(3000));
    const auto text = text_of(5000, 2);
    const auto speak_again = [](Client to, Relay* with) -> Task<> {
        const auto store = small_chunks(to);
        for (auto info = co_await store.info("one"); !info || info->size != 5000;
             info = co_await store.info("one"))
            co_await sleep_for(5ms);
        co_await sleep_for(300ms);
        with->swallow(false);
    };
    co_await when_all(put(small_chunks(behind), "one", text), speak_again(client, relay));
    EXPECT_TRUE(co_await get(small_chunks(client), "one") == text);
    EXPECT_EQ(co_await messages(client), 6U);
}

TEST_F(ObjectOutage, ARecordWhoseAnswerIsLostIsKnownAgain) {
    Relay relay{server.port()};
    relay.swallow_after("Nats-Rollup");
    const Connected behind{
        loops, ClientOptions{.server = fmt::format("nats://127.0.0.1:{}", relay.port())}
    };
    EXPECT_RUNS(loops, answer_lost(*client, *behind, &relay));
}

}  // namespace
}  // namespace stator::test
