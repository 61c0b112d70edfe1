#include "stator/store/publish.hpp"

#include <utility>

namespace stator::store {

namespace {

Task<> until_revoked(Lease lease) {
    for (auto state = lease.state(); state != LeaseState::revoked;)
        state = co_await lease.wait_for_change(state);
}

}  // namespace

Task<> publish_until_cancelled(
    std::shared_ptr<KeyValueStore> store,
    std::string key,
    std::string value,
    CancellationToken token
) {
    if (token.cancelled()) co_return;
    const auto lease = co_await store->grant_lease({.bound_to = std::move(token), .ttl = {}});
    auto written = co_await as_result(store->put(std::move(key), std::move(value), lease));
    auto ended = written ? co_await as_result(until_revoked(lease)) : std::move(written);
    // Fired before it was written: that is what was asked for.
    if (!ended && lease.token().cancelled() && ended.error().detail() == "store.lease_revoked")
        ended = {};
    // The removal must happen, whoever cancelled what; it is bounded by the store.
    const auto removed = co_await as_result(shielded(lease.revoke()));
    if (!ended) throw std::move(ended.error());
    if (!removed) throw removed.error();
}

}  // namespace stator::store
