#include "stator/store/etcd_store.hpp"

#include <utility>

#include "stator/net/listener.hpp"
#include "store/etcd/entry_of.hpp"
#include "store/etcd/etcd_session.hpp"
#include "store/etcd/etcd_store_impl.hpp"
#include "store/etcd/listing.hpp"
#include "store/etcd/module_loader.hpp"
#include "store/etcd/options.hpp"

namespace stator::store {

Task<std::shared_ptr<EtcdStore>> EtcdStore::open(Loop& loop, EtcdOptions options) {
    return on_loop(loop, open_here(&loop, std::move(options)));
}

Task<std::shared_ptr<EtcdStore>> EtcdStore::open_here(Loop* loop, EtcdOptions options) {
    auto good = etcd::checked(std::move(options));
    if (!good) throw good.error();
    const auto dial = etcd::load_module(good->module);
    if (!dial) throw dial.error();
    co_return co_await open_over(loop, std::make_shared<etcd::Link>(std::move(*good), *dial));
}

Task<std::shared_ptr<EtcdStore>> EtcdStore::open_over(
    Loop* loop, std::shared_ptr<etcd::Link> link
) {
    std::shared_ptr<EtcdStore> store{new EtcdStore{*loop, std::move(link)}};
    co_await store->impl_->start();
    co_return store;
}

EtcdStore::EtcdStore(Loop& loop, std::shared_ptr<etcd::Link> link)
    : KeyValueStore{loop}, impl_{std::make_unique<Impl>(*this, std::move(link))} {}

EtcdStore::~EtcdStore() = default;

EtcdClient EtcdStore::client() const noexcept { return EtcdClient{loop(), impl_->link}; }

namespace {

Task<std::string> local_address_of(std::shared_ptr<etcd::Link> link) {
    auto address = link->address();
    address.host = co_await net::resolve(address.host);
    auto local = net::local_address_towards(address);
    if (!local) throw local.error();
    co_return std::move(*local);
}

}  // namespace

Task<std::string> EtcdStore::local_address() {
    return on_loop(loop(), local_address_of(impl_->link));
}

Task<std::int64_t> EtcdStore::server_lease(Lease lease) {
    auto find = [](std::shared_ptr<KeyValueStore> self, Impl* impl, Lease of
                ) -> Task<std::int64_t> { co_return impl->id_of(body_of(of).get()); };
    return on_loop(loop(), find(shared_from_this(), impl_.get(), std::move(lease)));
}

Task<std::shared_ptr<LeaseBody>> EtcdStore::do_grant_lease(LeaseOptions options) {
    return impl_->grant(std::move(options));
}

Task<> EtcdStore::do_refresh(std::shared_ptr<LeaseBody> lease) {
    return impl_->refresh(std::move(lease));
}

Task<> EtcdStore::do_revoke(std::shared_ptr<LeaseBody> lease) {
    return impl_->revoke(std::move(lease));
}

Task<std::optional<Entry>> EtcdStore::do_get(std::string key) {
    auto found = co_await client().get(std::move(key));
    if (!found) co_return std::nullopt;
    co_return etcd::entry_of(std::move(*found));
}

Task<std::vector<Entry>> EtcdStore::do_list(std::string prefix) {
    auto listing = co_await etcd::list_all(impl_->link, std::move(prefix));
    std::vector<Entry> entries;
    entries.reserve(listing.entries.size());
    for (auto& entry : listing.entries) entries.push_back(etcd::entry_of(std::move(entry)));
    co_return entries;
}

Task<> EtcdStore::do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) {
    using Over = Impl::Over;
    co_await impl_->write({std::move(key), std::move(value)}, std::move(lease), Over::anything);
}

Task<bool> EtcdStore::do_create(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->write({std::move(key), std::move(value)}, std::move(lease), Impl::Over::nothing);
}

Task<bool> EtcdStore::do_claim(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->write({std::move(key), std::move(value)}, std::move(lease), Impl::Over::own);
}

Task<> EtcdStore::do_remove_own(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->remove_own({std::move(key), std::move(value)}, std::move(lease));
}

Task<bool> EtcdStore::do_remove(std::string key) { return impl_->remove(std::move(key)); }

Task<bool> EtcdStore::do_replace(std::string old, Entry entry, std::shared_ptr<LeaseBody> lease) {
    return impl_->replace(std::move(old), std::move(entry), std::move(lease));
}

Task<Watch> EtcdStore::do_watch(std::string prefix) {
    return impl_->watches->watch(std::move(prefix));
}

Task<std::shared_ptr<SessionHold>> EtcdStore::do_open_session(Duration ttl) {
    return etcd::open_session(impl_->link, ttl);
}

Task<> EtcdStore::do_close() {
    impl_->close();
    co_return;
}

}  // namespace stator::store
