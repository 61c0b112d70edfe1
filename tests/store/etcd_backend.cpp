// etcd, as a backend of the conformance suite: one server for all of it.
#include "stator/store/etcd_store.hpp"
#include "tests/store/conformance.hpp"
#include "tests/support/etcd_server.hpp"

namespace stator::test {

namespace {

using Store = std::shared_ptr<store::KeyValueStore>;

/// For as long as tests run; what a test leaves there runs out or was removed when it closed.
testing::EtcdServer& shared_server() {
    static testing::EtcdServer server;
    return server;
}

Task<Store> open_etcd(Loop* loop, store::EtcdOptions options) {
    co_return co_await store::EtcdStore::open(*loop, std::move(options));
}

}  // namespace

const std::vector<Backend>& conformance_backends() {
    static const std::vector<Backend> backends{
        {"etcd",
         [](Loop& loop, const std::filesystem::path&) {
             return open_etcd(&loop, {.endpoints = {shared_server().url()}});
         }},
    };
    return backends;
}

}  // namespace stator::test
