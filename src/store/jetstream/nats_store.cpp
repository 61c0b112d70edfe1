#include "stator/store/nats_store.hpp"

#include <utility>

#include <fmt/format.h>

#include "stator/runtime/combinators.hpp"
#include "stator/store/keys.hpp"
#include "store/jetstream/nats_session.hpp"
#include "store/jetstream/nats_store_impl.hpp"

namespace stator::store {

using namespace std::chrono_literals;

namespace {

/// For the last words to a server that takes them.
constexpr Duration end_time = 1s;

}  // namespace

Task<std::shared_ptr<NatsStore>> NatsStore::open(Loop& loop, NatsStoreOptions options) {
    return on_loop(loop, open_here(&loop, std::move(options)));
}

Task<std::shared_ptr<NatsStore>> NatsStore::open_here(Loop* loop, NatsStoreOptions options) {
    options.client.request_timeout = options.call_timeout;
    auto client = co_await nats::Client::connect(*loop, std::move(options.client));
    auto bucket = co_await as_result(jetstream::Bucket::open(
        client,
        {.name = std::move(options.bucket),
         .ttl = options.ttl,
         .create = options.create,
         .replicas = options.replicas,
         .call_timeout = options.call_timeout}
    ));
    if (!bucket) {
        (void)co_await as_result(shielded(client.close(Deadline::in(end_time))));
        throw bucket.error();
    }
    auto impl = std::make_unique<Impl>(std::move(client), std::move(*bucket));
    co_return std::shared_ptr<NatsStore>{new NatsStore{*loop, std::move(impl)}};
}

NatsStore::NatsStore(Loop& loop, std::unique_ptr<Impl> impl)
    : KeyValueStore{loop}, impl_{std::move(impl)} {
    impl_->belongs_to(*this, scope());
}

NatsStore::~NatsStore() = default;

bool NatsStore::has_sessions() const noexcept { return ttl() != Duration::zero(); }
Duration NatsStore::ttl() const noexcept { return impl_->bucket->ttl(); }

Task<std::uint64_t> NatsStore::put_lasting(std::string key, std::string value) {
    if (const auto parts = split_key(key); !parts) throw parts.error();
    const auto self = shared_from_this();
    co_return co_await on_loop(loop(), impl_->put_lasting(std::move(key), std::move(value)));
}

Task<std::shared_ptr<LeaseBody>> NatsStore::do_grant_lease(LeaseOptions options) {
    co_return impl_->grant(options);
}

Task<> NatsStore::do_refresh(std::shared_ptr<LeaseBody> lease) {
    return impl_->refresh(std::move(lease));
}

Task<> NatsStore::do_revoke(std::shared_ptr<LeaseBody> lease) {
    return impl_->revoke(std::move(lease));
}

Task<std::optional<Entry>> NatsStore::do_get(std::string key) {
    auto found = co_await impl_->bucket->get(std::move(key));
    if (!found || found->removed) co_return std::nullopt;
    co_return std::move(found->entry);
}

Task<std::vector<Entry>> NatsStore::do_list(std::string prefix) {
    return jetstream::list_all(impl_->bucket, std::move(prefix));
}

Task<> NatsStore::do_put(std::string key, std::string value, std::shared_ptr<LeaseBody> lease) {
    using Over = Impl::Over;
    co_await impl_->write({std::move(key), std::move(value)}, std::move(lease), Over::anything);
}

Task<bool> NatsStore::do_create(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->write({std::move(key), std::move(value)}, std::move(lease), Impl::Over::nothing);
}

Task<bool> NatsStore::do_claim(
    std::string key, std::string value, std::shared_ptr<LeaseBody> lease
) {
    return impl_->write({std::move(key), std::move(value)}, std::move(lease), Impl::Over::own);
}

Task<bool> NatsStore::do_remove(std::string key) { return impl_->remove(std::move(key)); }

Task<> NatsStore::do_remove_own(
    std::string key, std::string /*value*/, std::shared_ptr<LeaseBody> lease
) {
    return impl_->remove_own(std::move(key), std::move(lease));
}

Task<Watch> NatsStore::do_watch(std::string prefix) {
    return impl_->watches->watch(std::move(prefix));
}

Task<std::shared_ptr<SessionHold>> NatsStore::do_open_session(Duration ttl) {
    co_return jetstream::open_session(impl_->bucket, ttl);
}

Task<> NatsStore::do_close() {
    impl_->watches->close();
    co_await impl_->client.close(earliest(close_by(), Deadline::in(end_time)));
}

}  // namespace stator::store
