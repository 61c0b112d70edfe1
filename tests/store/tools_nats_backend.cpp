// NATS, as a backend of the store tools' suite: a server for each test.
#include "tests/store/nats_store_fixture.hpp"
#include "tests/store/tools_backends.hpp"

namespace stator::test {

namespace {

constexpr Duration shortest = 2s;

Task<StorePtr> open_for_tools(Loop* loop, NatsStoreOptions options) {
    co_return co_await NatsStore::open(*loop, std::move(options));
}

}  // namespace

const std::vector<ToolsBackend>& tools_backends() {
    static const std::vector<ToolsBackend> backends{
        {"nats",
         shortest,
         true,
         false,
         [](Loop& loop, const std::filesystem::path& place, Duration ttl) {
             return open_for_tools(&loop, store_options(nats_server_of(place), ttl));
         }},
    };
    return backends;
}

}  // namespace stator::test
