// What the tests of the NATS store share.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <utility>

#include "stator/store/nats_store.hpp"
#include "tests/store/party.hpp"
#include "tests/store/store_fixture.hpp"
#include "tests/support/nats_server.hpp"

namespace stator::test {

using store::NatsStore;
using store::NatsStoreOptions;
using NatsStorePtr = std::shared_ptr<NatsStore>;
using testing::with_jetstream;

/// The places of tests are new, so the server of the one before goes.
inline testing::NatsServer& nats_server_of(const std::filesystem::path& place) {
    static std::map<std::filesystem::path, std::unique_ptr<testing::NatsServer>> servers;
    if (!servers.contains(place)) {
        servers.clear();
        servers[place] = std::make_unique<testing::NatsServer>(with_jetstream());
    }
    return *servers[place];
}

inline NatsStoreOptions store_options(const testing::NatsServer& server, Duration ttl) {
    NatsStoreOptions options;
    options.client.server = server.url();
    options.client.startup_timeout = 10s;
    options.ttl = ttl;
    return options;
}

inline Task<NatsStorePtr> open_nats(Loop* loop, NatsStoreOptions options) {
    co_return co_await NatsStore::open(*loop, std::move(options));
}

struct NatsParty : PartyOf<NatsStore> {
    explicit NatsParty(NatsStoreOptions options)
        : PartyOf{[&](Loop& loop) { return open_nats(&loop, std::move(options)); }} {}
};

}  // namespace stator::test
