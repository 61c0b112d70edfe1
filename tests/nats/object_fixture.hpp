// What the tests of objects share: a server with JetStream, a client of it, and small chunks.
#pragma once

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "stator/base/random.hpp"
#include "stator/nats/object_store.hpp"
#include "stator/runtime/offload.hpp"
#include "tests/nats/nats_fixture.hpp"

namespace stator::test {

using nats::JetStream;
using nats::ObjectInfo;
using nats::ObjectStore;
using nats::ObjectStoreOptions;

inline constexpr std::size_t chunk = 1024;

/// Bytes that differ from place to place.
inline std::string text_of(std::size_t size, unsigned seed = 1) {
    std::string text(size, '\0');
    Random random{seed};
    for (auto& letter : text) letter = static_cast<char>(random());
    return text;
}

/// A server with JetStream and a client of it.
class Objects : public ::testing::Test {
protected:
    NatsServer server{testing::with_jetstream()};
    Loops loops;
    const Connected client{loops, server};
    BlockingPool pool{2};
    const TemporaryFolder folder;
};

inline ObjectStore store_of(const Client& client, ObjectStoreOptions options = {}) {
    if (options.bucket.empty()) options.bucket = "things";
    return ObjectStore::at(client, std::move(options)).value();
}

inline ObjectStore small_chunks(const Client& client) {
    return store_of(client, {.chunk_size = chunk});
}

inline Task<> put(ObjectStore store, std::string name, std::string text) {
    co_await store.put(std::move(name), Bytes::copy_of(text));
}

inline Task<std::string> get(ObjectStore store, std::string name) {
    const auto got = co_await store.get(std::move(name));
    co_return got.to_string();
}

/// How many messages the bucket has, chunks and records.
inline Task<std::uint64_t> messages(Client client, std::string bucket = "things") {
    const auto state = co_await JetStream{client}.stream("OBJ_" + bucket, Deadline::in(patience));
    co_return state ? state->messages : 0;
}

inline std::vector<std::string> files_in(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator{folder})
        names.push_back(entry.path().filename().string());
    return names;
}

inline std::string text_in(const std::filesystem::path& file) {
    std::ifstream stream{file, std::ios::binary};
    return {std::istreambuf_iterator<char>{stream}, {}};
}

inline void write_file(const std::filesystem::path& file, std::string_view text) {
    std::ofstream{file, std::ios::binary} << text;
}

}  // namespace stator::test
