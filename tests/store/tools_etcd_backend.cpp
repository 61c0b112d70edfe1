// etcd, as a backend of the store tools' suite: a server for each test.
#include <map>

#include "stator/store/etcd_store.hpp"
#include "tests/store/tools_backends.hpp"
#include "tests/support/etcd_server.hpp"

namespace stator::test {

namespace {

constexpr Duration shortest = 1s;

/// The places of tests are new, so the server of the one before goes.
testing::EtcdServer& server_of(const std::filesystem::path& place) {
    static std::map<std::filesystem::path, testing::EtcdServer> servers;
    if (!servers.contains(place)) servers.clear();
    return servers[place];
}

Task<StorePtr> open_etcd(Loop* loop, store::EtcdOptions options) {
    co_return co_await store::EtcdStore::open(*loop, std::move(options));
}

}  // namespace

const std::vector<ToolsBackend>& tools_backends() {
    static const std::vector<ToolsBackend> backends{
        {"etcd",
         shortest,
         true,
         true,
         [](Loop& loop, const std::filesystem::path& place, Duration ttl) {
             return open_etcd(&loop, {.endpoints = {server_of(place).url()}, .lease_ttl = ttl});
         }},
    };
    return backends;
}

}  // namespace stator::test
