// NATS, as a backend of the conformance suite: a server for each test.
#include "tests/store/conformance.hpp"
#include "tests/store/nats_store_fixture.hpp"

namespace stator::test {

namespace {

using Store = std::shared_ptr<store::KeyValueStore>;

Task<Store> open_conforming(Loop* loop, NatsStoreOptions options) {
    co_return co_await NatsStore::open(*loop, std::move(options));
}

}  // namespace

const std::vector<Backend>& conformance_backends() {
    static const std::vector<Backend> backends{
        {"nats",
         [](Loop& loop, const std::filesystem::path& place) {
             return open_conforming(&loop, store_options(nats_server_of(place), 10s));
         }},
    };
    return backends;
}

}  // namespace stator::test
