// Objects in a bucket of a real server.
#include "stator/nats/object_store.hpp"

#include <fmt/core.h>

#include "nats/object_record.hpp"
#include "stator/nats/object_value.hpp"
#include "stator/runtime/combinators.hpp"
#include "tests/nats/object_fixture.hpp"

namespace stator::test {
namespace {

// ---- what it does

Task<> sizes(Client client) {
    const auto store = small_chunks(client);
    std::uint64_t stored = 0;
    for (const std::size_t size : {0, 1, 1023, 1024, 1025, 2048, 10'000, 200'000}) {
        const auto name = std::to_string(size);
        const auto text = text_of(size);
        const auto info = co_await store.put(name, Bytes::copy_of(text));
        EXPECT_EQ(info.size, size);
        EXPECT_EQ(info.chunks, (size + chunk - 1) / chunk);
        EXPECT_TRUE(co_await get(store, name) == text) << size;
        const auto there = (co_await store.info(name)).value_or(ObjectInfo{});
        EXPECT_EQ(there.digest, info.digest);
        EXPECT_EQ(there.nuid, info.nuid);
        EXPECT_EQ(there.max_chunk_size, chunk);
        EXPECT_TRUE(there.modified.starts_with("20") && there.modified.ends_with("Z"));
        stored += info.chunks + 1;
        EXPECT_EQ(co_await messages(client), stored);
    }
}

TEST_F(Objects, OfEverySizeComeBackAsTheyWere) { EXPECT_RUNS(loops, sizes(*client)); }

Task<> names(Client client) {
    const auto store = small_chunks(client);
    std::vector<std::string> all{
        " ",
        "a/b\\c",
        "*",
        ">",
        "a.b.>",
        "..",
        "\n\r\t\x01",
        "日本語",
        "\"{}%20",
        "=?+-_",
        std::string(1024, 'x')
    };
    for (const auto& name : all) co_await put(store, name, "of " + name);
    for (const auto& name : all) EXPECT_EQ(co_await get(store, name), "of " + name);
    const auto listed = co_await store.list();
    std::ranges::sort(all);
    EXPECT_EQ(listed.size(), all.size());
    for (std::size_t i = 0; i < listed.size() && i < all.size(); ++i) {
        EXPECT_EQ(listed[i].name, all[i]);
        EXPECT_EQ(listed[i].size, all[i].size() + 3);
        EXPECT_TRUE(listed[i].modified.starts_with("20")) << listed[i].modified;
    }
    for (const auto& bad : {std::string{}, std::string(1025, 'x'), std::string{"\xff"}}) {
        EXPECT_EQ(co_await error_of(put(store, bad, "")), "invalid_request nats.object_name");
        EXPECT_EQ(co_await error_of(store.get(bad)), "invalid_request nats.object_name");
        EXPECT_EQ(co_await error_of(store.info(bad)), "invalid_request nats.object_name");
        EXPECT_EQ(co_await error_of(store.remove(bad)), "invalid_request nats.object_name");
    }
}

TEST_F(Objects, NamesHaveAnyLetters) { EXPECT_RUNS(loops, names(*client)); }

Task<> written_over(Client client) {
    const auto store = small_chunks(client);
    for (int i = 0; i < 5; ++i) {
        const auto text = text_of(static_cast<std::size_t>(5 - i) * 3000, static_cast<unsigned>(i));
        co_await put(store, "one", text);
        EXPECT_TRUE(co_await get(store, "one") == text);
        EXPECT_EQ(co_await messages(client), (text.size() + chunk - 1) / chunk + 1);
    }
    EXPECT_EQ((co_await store.list()).size(), 1U);
}

TEST_F(Objects, TheChunksOfWhatWasWrittenOverGo) { EXPECT_RUNS(loops, written_over(*client)); }

Task<> removed(Client client) {
    const auto store = small_chunks(client);
    co_await put(store, "one", text_of(5000));
    co_await put(store, "other", "stays");
    EXPECT_TRUE(co_await store.remove("one"));
    EXPECT_FALSE(co_await store.remove("one"));
    EXPECT_FALSE(co_await store.remove("never was"));
    EXPECT_FALSE(co_await store.info("one"));
    EXPECT_EQ(co_await error_of(store.get("one")), "not_found nats.object_missing");
    EXPECT_EQ(co_await messages(client), 3U);  // the record that it is gone, and the other object
    EXPECT_EQ((co_await store.list()).size(), 1U);
    co_await put(store, "one", "again");
    EXPECT_EQ(co_await get(store, "one"), "again");
    EXPECT_EQ((co_await store.list()).size(), 2U);
    EXPECT_TRUE(co_await store.delete_bucket());
    EXPECT_FALSE(co_await store.delete_bucket());
}

TEST_F(Objects, AreGoneWhenTheyAreRemoved) { EXPECT_RUNS(loops, removed(*client)); }

Task<> no_bucket(Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = store_of(client);
    constexpr auto missing = "not_found nats.bucket_missing";
    EXPECT_EQ(co_await error_of(store.get("a")), missing);
    EXPECT_EQ(co_await error_of(store.get_file(*pool, "a", folder / "a")), missing);
    EXPECT_EQ(co_await error_of(store.info("a")), missing);
    EXPECT_EQ(co_await error_of(store.list()), missing);
    EXPECT_EQ(co_await error_of(store.remove("a")), missing);
    EXPECT_FALSE(co_await store.delete_bucket());
    EXPECT_EQ(co_await messages(client), 0U);
    EXPECT_FALSE(co_await JetStream{client}.stream("OBJ_things", Deadline::in(patience)));
    co_await store.create_bucket();
    co_await store.create_bucket();
    EXPECT_EQ((co_await store.list()).size(), 0U);
    EXPECT_EQ(co_await error_of(store.get("a")), "not_found nats.object_missing");
    EXPECT_TRUE(files_in(folder).empty());
}

TEST_F(Objects, OnlyPuttingMakesABucket) {
    EXPECT_RUNS(loops, no_bucket(*client, &pool, folder.path()));
}

Task<> refusals(Client client, Client without) {
    for (const auto* const bad : {"", "a.b", "a b", "*", "a/b"}) {
        const auto refused = ObjectStore::at(client, {.bucket = bad});
        EXPECT_FALSE(refused) << bad;
        if (!refused) EXPECT_EQ(refused.error().detail(), "nats.bucket");
    }
    EXPECT_EQ(
        co_await error_of(put(store_of(without), "a", "")), "unimplemented nats.no_jetstream"
    );
    const JetStream server{client};
    co_await server.create_stream(
        {.name = "OBJ_other", .subjects = {"other.>"}}, Deadline::in(patience)
    );
    EXPECT_EQ(
        co_await error_of(put(store_of(client, {.bucket = "other"}), "a", "")),
        "already_exists nats.bucket_differs"
    );
    const auto store = store_of(client);
    co_await put(store, "large", text_of(100));
    EXPECT_EQ(co_await error_of(store.get("large", 99)), "payload_too_large nats.object_too_large");
    EXPECT_EQ((co_await store.get("large", 100)).size(), 100U);
}

TEST_F(Objects, WhatCannotBeIsRefusedByName) {
    const NatsServer plain;
    const Connected other{loops, plain};
    EXPECT_RUNS(loops, refusals(*client, *other));
}

Task<> values(Client client) {
    const auto store = store_of(client);
    using Limits = std::map<std::string, std::int64_t>;
    const Limits limits{{"calls", 10}, {"tokens", 1'000'000}};
    co_await nats::put_value(store, "limits", limits);
    EXPECT_EQ(co_await nats::get_value<Limits>(store, "limits"), limits);
    co_await nats::put_value(store, "limits.json", limits, PayloadCodec::json);
    EXPECT_EQ(co_await get(store, "limits.json"), R"({"calls":10,"tokens":1000000})");
    const auto other = co_await as_result(nats::get_value<Limits>(store, "limits.json"));
    EXPECT_FALSE(other);
}

TEST_F(Objects, HoldValuesOfAnyType) { EXPECT_RUNS(loops, values(*client)); }

// ---- files

Task<> files(Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = store_of(client);
    const auto text = text_of(std::size_t{20} << 20U);
    write_file(folder / "large", text);
    const auto info = co_await store.put_file(*pool, "large", folder / "large");
    EXPECT_EQ(info.chunks, 160U);
    EXPECT_EQ(info.max_chunk_size, 131'072U);
    co_await store.get_file(*pool, "large", folder / "copy");
    EXPECT_TRUE(text_in(folder / "copy") == text);
    // What was there before is replaced as a whole.
    co_await put(store, "small", "small");
    co_await store.get_file(*pool, "small", folder / "copy");
    EXPECT_EQ(text_in(folder / "copy"), "small");
    co_await put(store, "empty", "");
    co_await store.get_file(*pool, "empty", folder / "copy");
    EXPECT_EQ(text_in(folder / "copy"), "");
    EXPECT_EQ(files_in(folder).size(), 2U);
}

TEST_F(Objects, FilesGoInAndComeOut) { EXPECT_RUNS(loops, files(*client, &pool, folder.path())); }

Task<> bad_files(Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = store_of(client);
    const auto putting = [&](const char* file) {
        return error_of(store.put_file(*pool, "a", folder / file));
    };
    EXPECT_EQ(co_await putting("none"), "not_found nats.object_file");
    EXPECT_EQ(co_await putting(""), "invalid_request nats.object_file");  // a folder
    EXPECT_EQ(
        co_await error_of(store.put_file(*pool, "a", "/dev/zero")),
        "invalid_request nats.object_file"
    );
    co_await put(store, "a", "the object");
    const auto getting = [&](const char* file) {
        return error_of(store.get_file(*pool, "a", folder / file));
    };
    EXPECT_EQ(co_await getting("none/file"), "not_found nats.object_file");
    std::filesystem::create_directory(folder / "folder");
    EXPECT_EQ(co_await getting("folder"), "unavailable nats.object_file");
    EXPECT_EQ(
        co_await error_of(store.get_file(*pool, "b", folder / "b")), "not_found nats.object_missing"
    );
    EXPECT_EQ(files_in(folder), std::vector<std::string>{"folder"});
    EXPECT_EQ(co_await get(store, "a"), "the object");
}

TEST_F(Objects, FilesThatCannotBeReadOrWritten) {
    EXPECT_RUNS(loops, bad_files(*client, &pool, folder.path()));
}

// ---- the layout

Task<> layout(Client client) {
    const JetStream server{client};
    const auto store = small_chunks(client);
    const auto text = text_of(2500);
    const auto heard = co_await client.subscribe({.subjects = {"$O.>"}});
    const auto info = co_await store.put("a name", Bytes::copy_of(text));
    for (std::size_t at = 0; at < text.size(); at += chunk) {
        const auto message = co_await next_message(&heard);
        EXPECT_EQ(message.subject, "$O.things.C." + info.nuid);
        EXPECT_TRUE(message.headers.empty());
        EXPECT_TRUE(message.payload.view() == std::string_view{text}.substr(at, chunk));
    }
    const auto record = co_await next_message(&heard);
    EXPECT_EQ(record.subject, "$O.things.M.YSBuYW1l");
    require(record.header("Nats-Rollup") != nullptr, "no rollup");
    EXPECT_EQ(*record.header("Nats-Rollup"), "sub");
    EXPECT_EQ(
        record.payload.view(),
        fmt::format(
            R"({{"name":"a name","options":{{"max_chunk_size":1024}},"bucket":"things",)"
            R"("nuid":"{}","size":2500,"mtime":"{}","chunks":3,"digest":"{}"}})",
            info.nuid,
            info.modified,
            info.digest
        )
    );
    co_await store.remove("a name");
    const auto gone = co_await next_message(&heard);
    EXPECT_EQ(gone.subject, record.subject);
    EXPECT_TRUE(gone.payload.view().ends_with(R"("chunks":0,"deleted":true})"));
    const auto stream = co_await server.stream("OBJ_things", Deadline::in(patience));
    const auto options = stream.value_or(nats::StreamState{}).options;
    EXPECT_EQ(options.subjects, (std::vector<std::string>{"$O.things.C.>", "$O.things.M.>"}));
    EXPECT_TRUE(options.rollup && options.refuse_more && options.allow_direct);
}

TEST_F(Objects, AreWrittenInThePublicLayout) { EXPECT_RUNS(loops, layout(*client)); }

/// As another client writes it: a bucket that allows no direct reads, pieces of different sizes.
Task<> of_others(Client client) {
    const JetStream server{client};
    const auto until = Deadline::in(patience);
    co_await server.create_stream(
        {.name = "OBJ_things", .subjects = {"$O.things.C.>", "$O.things.M.>"}, .rollup = true},
        until
    );
    co_await server.publish(publication("$O.things.C.N1", "ab"), until);
    co_await server.publish(publication("$O.things.C.N2", "of another"), until);
    co_await server.publish(publication("$O.things.C.N1", "c"), until);
    co_await server.publish(
        publication(
            "$O.things.M.eA==",
            R"({"name":"x","bucket":"things","nuid":"N1","size":3,"mtime":"0001-01-01T00:00:00Z",)"
            R"("chunks":2,"digest":"SHA-256=ungWv48Bz-pBQUDeXa4iI7ADYaOWF3qctBD_YfIAFa0="})"
        ),
        until
    );
    const auto store = store_of(client);
    EXPECT_EQ(co_await get(store, "x"), "abc");
    const auto link = R"({"name":"l","bucket":"things","nuid":"N3","size":0,"chunks":0,)"
                      R"("options":{"link":{"bucket":"other","name":"o"}}})";
    co_await server.publish(publication("$O.things.M.bA==", link), until);
    EXPECT_EQ(co_await error_of(store.get("l")), "unimplemented nats.object_link");
    co_await server.publish(publication("$O.things.M.YmFk", "{"), until);
    EXPECT_EQ(co_await error_of(store.get("bad")), "protocol nats.object_record");
    EXPECT_EQ(co_await error_of(store.info("bad")), "protocol nats.object_record");
    EXPECT_EQ((co_await store.list()).size(), 2U);
    // What cannot be read can be written over.
    co_await put(store, "bad", "good");
    EXPECT_EQ(co_await get(store, "bad"), "good");
}

TEST_F(Objects, OfOtherClientsAreRead) { EXPECT_RUNS(loops, of_others(*client)); }

// ---- what is not as it was

/// Stores other chunks instead of the object's.
Task<> replace_chunks(Client client, ObjectInfo info, std::vector<std::string> chunks) {
    const JetStream server{client};
    const auto subject = nats::chunk_subject(info.bucket, info.nuid);
    co_await server.purge("OBJ_" + info.bucket, subject, Deadline::in(patience));
    for (const auto& each : chunks)
        co_await server.publish(publication(subject, each), Deadline::in(patience));
}

Task<> damaged(Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = small_chunks(client);
    const auto text = text_of(3 * chunk);
    const auto info = co_await store.put("it", Bytes::copy_of(text));
    const std::vector<std::string> good{
        text.substr(0, chunk), text.substr(chunk, chunk), text.substr(2 * chunk)
    };
    auto bent = good;
    bent[1][500] ^= 1;
    const auto expect = [&](std::vector<std::string> chunks, std::string error) -> Task<> {
        return [](Client to,
                  ObjectStore from,
                  ObjectInfo object,
                  BlockingPool* on,
                  std::filesystem::path into,
                  std::vector<std::string> instead,
                  std::string wanted) -> Task<> {
            co_await replace_chunks(to, object, instead);
            EXPECT_EQ(co_await error_of(from.get("it")), wanted);
            EXPECT_EQ(co_await error_of(from.get_file(*on, "it", into / "it")), wanted);
            EXPECT_TRUE(files_in(into).empty());
        }(client, store, info, pool, folder, std::move(chunks), std::move(error));
    };
    co_await expect(bent, "protocol nats.object_digest");
    co_await expect({good[0], good[2]}, "protocol nats.object_incomplete");
    co_await expect({good[0], good[1]}, "protocol nats.object_incomplete");
    co_await expect({}, "protocol nats.object_incomplete");
    co_await expect({good[1], good[0], good[2]}, "protocol nats.object_digest");
    co_await expect({good[0], good[0], good[1], good[2]}, "protocol nats.object_digest");
    co_await replace_chunks(client, info, good);
    EXPECT_TRUE(co_await get(store, "it") == text);
}

TEST_F(Objects, WhatWasDamagedIsRefusedByNameAndLeavesNothing) {
    EXPECT_RUNS(loops, damaged(*client, &pool, folder.path()));
}

// ---- several at a time

Task<> two_writers(Client client, Client other) {
    for (unsigned round = 0; round < 20; ++round) {
        const auto first = text_of(20'000, 2 * round);
        const auto second = text_of(30'000, 2 * round + 1);
        co_await when_all(
            put(small_chunks(client), "one", first), put(small_chunks(other), "one", second)
        );
        const auto won = co_await get(small_chunks(client), "one");
        EXPECT_TRUE(won == first || won == second);
        EXPECT_EQ(co_await messages(client), (won.size() + chunk - 1) / chunk + 1);
    }
}

TEST_F(Objects, OfTwoWritersOneWinsAndTheOthersChunksGo) {
    const Connected other{loops, server};
    EXPECT_RUNS(loops, two_writers(*client, *other));
}

/// Reads on as long as somebody writes; each time one whole object.
Task<> read_while_written(Client client, Client other) {
    const auto first = text_of(100'000, 1);
    const auto second = text_of(150'000, 2);
    co_await put(small_chunks(client), "one", first);
    const auto writing = [](ObjectStore store, std::string a, std::string b) -> Task<> {
        for (int i = 0; i < 20; ++i) co_await put(store, "one", i % 2 == 0 ? b : a);
    };
    const auto reading = [](ObjectStore store, std::string a, std::string b) -> Task<> {
        for (int i = 0; i < 20; ++i) {
            const auto got = co_await as_result(get(store, "one"));
            if (got) EXPECT_TRUE(*got == a || *got == b);
            if (!got) EXPECT_EQ(got.error().detail(), "nats.object_busy");
        }
    };
    co_await when_all(
        writing(small_chunks(client), first, second), reading(small_chunks(other), first, second)
    );
}

TEST_F(Objects, AreReadWholeWhileSomebodyWrites) {
    const Connected other{loops, server};
    EXPECT_RUNS(loops, read_while_written(*client, *other));
}

// ---- what is given up

/// Calls `then` when it is asked for the chunk `at`.
nats::ObjectSource interrupted(std::string text, std::size_t at, std::function<void()> then) {
    return [=](std::uint64_t offset, std::size_t size) {
        if (offset / chunk >= at) then();
        return [](Bytes piece) -> Task<Bytes> {
            co_return piece;
        }(Bytes::copy_of(std::string_view{text}.substr(offset, size)));
    };
}

Task<> cancelled_everywhere(Client client) {
    const auto store = small_chunks(client);
    const auto old = text_of(3000, 1);
    const auto fresh = text_of(8 * chunk, 2);
    co_await put(store, "one", old);
    for (std::size_t at = 0; at <= 8; ++at) {
        auto token = CancellationToken::make();
        // With some turns of the loop after it, in which chunks are on their way.
        const auto outcome = co_await as_result(with_token(
            token, store.put_from("one", interrupted(fresh, at, [token] { token.cancel(); }))
        ));
        EXPECT_EQ(outcome ? "done" : to_string(outcome.error().code()), "cancelled") << at;
        EXPECT_TRUE(co_await get(store, "one") == old) << at;
        EXPECT_EQ(co_await messages(client), 4U) << at;
    }
}

TEST_F(Objects, APutThatIsCancelledAtAnyChunkLeavesTheOlderOne) {
    EXPECT_RUNS(loops, cancelled_everywhere(*client));
}

Task<> cancelled_any_time(Client client) {
    const auto store = small_chunks(client);
    auto there = text_of(3000, 1);
    const auto fresh = text_of(8 * chunk, 2);
    co_await put(store, "one", there);
    for (int i = 0; i < 60; ++i) {
        auto token = CancellationToken::make();
        const auto cancelling = [](CancellationToken stop, int after) -> Task<> {
            co_await sleep_for(std::chrono::microseconds{50 * after});
            stop.cancel();
        };
        const auto putting =
            [](ObjectStore into, CancellationToken stop, std::string text, bool* done) -> Task<> {
            auto put = into.put("one", Bytes::copy_of(text));
            *done = (co_await as_result(with_token(stop, std::move(put)))).has_value();
        };
        bool done = false;
        co_await when_all(cancelling(token, i), putting(store, token, fresh, &done));
        if (done) there = fresh;
        EXPECT_TRUE(co_await get(store, "one") == there) << i;
        EXPECT_EQ(co_await messages(client), (there.size() + chunk - 1) / chunk + 1) << i;
    }
}

TEST_F(Objects, APutThatIsCancelledAtAnyTimeIsDoneOrUndone) {
    EXPECT_RUNS(loops, cancelled_any_time(*client));
}

Task<> source_fails(Client client) {
    const auto store = small_chunks(client);
    co_await put(store, "one", "old");
    for (std::size_t at = 0; at <= 4; ++at) {
        auto source = interrupted(text_of(4 * chunk), at, [] {
            throw Error{ErrorCode::unavailable, "test.source", "no more"};
        });
        EXPECT_EQ(
            co_await error_of(store.put_from("one", std::move(source))), "unavailable test.source"
        );
        EXPECT_EQ(co_await get(store, "one"), "old");
        EXPECT_EQ(co_await messages(client), 2U);
    }
    const auto sink = [](const ObjectInfo*, std::uint64_t, Bytes) -> Task<> {
        throw Error{ErrorCode::unavailable, "test.sink", "no room"};
    };
    EXPECT_EQ(co_await error_of(store.get_to("one", sink)), "unavailable test.sink");
}

TEST_F(Objects, ASourceOrSinkThatFailsEndsItByItsError) {
    EXPECT_RUNS(loops, source_fails(*client));
}

Task<> cancelled_downloads(Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = small_chunks(client);
    co_await put(store, "one", text_of(100 * chunk));
    for (int i = 0; i < 30; ++i) {
        auto token = CancellationToken::make();
        const auto cancelling = [](CancellationToken stop, int after) -> Task<> {
            co_await sleep_for(std::chrono::microseconds{100 * after});
            stop.cancel();
        };
        const auto getting = [](ObjectStore from,
                                CancellationToken stop,
                                BlockingPool* on,
                                std::filesystem::path into) -> Task<> {
            auto got = from.get_file(*on, "one", into);
            const auto done = co_await as_result(with_token(stop, std::move(got)));
            EXPECT_EQ(done.has_value(), std::filesystem::exists(into));
            std::filesystem::remove(into);
        };
        co_await when_all(cancelling(token, i), getting(store, token, pool, folder / "one"));
        EXPECT_TRUE(files_in(folder).empty()) << i;
    }
}

TEST_F(Objects, ADownloadThatIsCancelledLeavesNothing) {
    EXPECT_RUNS(loops, cancelled_downloads(*client, &pool, folder.path()));
}

// ---- small servers

TEST_F(Objects, ChunksAreNoLargerThanTheServerTakes) {
    const NatsServer small{{.configuration = "max_payload: 2000", .jetstream = true}};
    const Connected narrow{loops, small};
    const auto run = [](Client client) -> Task<> {
        const auto store = store_of(client);
        const auto text = text_of(50'001);
        const auto info = co_await store.put("one", Bytes::copy_of(text));
        EXPECT_EQ(info.chunks, 26U);
        EXPECT_EQ(info.max_chunk_size, 2000U);
        EXPECT_TRUE(co_await get(store, "one") == text);
        // A record that is too large leaves no chunks.
        EXPECT_EQ(
            co_await error_of(put(store, std::string(1024, '\x01'), "ab")),
            "payload_too_large nats.too_large"
        );
        EXPECT_EQ(co_await messages(client), 27U);
    };
    EXPECT_RUNS(loops, run(*narrow));
}

// ---- the snippet of docs/nats.md

Task<> snapshots(nats::Client client, BlockingPool* pool, std::filesystem::path folder) {
    const auto store = nats::ObjectStore::at(client, {.bucket = "snapshots"}).value();
    co_await store.put_file(*pool, "index", folder / "index");
    co_await nats::put_value(store, "shards", std::vector<std::string>{"a", "b"});
    for (const auto& each : co_await store.list()) fmt::print("{} {}\n", each.name, each.size);
    co_await store.get_file(*pool, "index", folder / "restored");
    const auto shards = co_await nats::get_value<std::vector<std::string>>(store, "shards");
    fmt::print("{} shards\n", shards.size());
}

TEST_F(Objects, TheSnippetOfTheDocuments) {
    write_file(folder.path() / "index", "the index");
    EXPECT_RUNS(loops, snapshots(*client, &pool, folder.path()));
    EXPECT_EQ(text_in(folder.path() / "restored"), "the index");
}

}  // namespace
}  // namespace stator::test
