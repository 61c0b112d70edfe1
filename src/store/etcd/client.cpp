#include <utility>

#include "stator/runtime/on_loop.hpp"
#include "stator/store/etcd_client.hpp"
#include "store/etcd/link.hpp"
#include "store/etcd/listing.hpp"

namespace stator::store {

namespace {

using LinkPtr = std::shared_ptr<etcd::Link>;

Task<EtcdTransactionReply> txn_on(LinkPtr link, EtcdTransaction transaction) {
    auto reply = co_await link->call(std::move(transaction));
    co_return reply;
}

/// The entry that a transaction's last step has read, if it has.
std::optional<EtcdEntry> last_entry(EtcdTransactionReply reply) {
    if (reply.results.empty() || reply.results.back().entries.empty()) return std::nullopt;
    return std::move(reply.results.back().entries.front());
}

std::vector<EtcdOperation> put_and_read(std::string key, std::string value, std::int64_t lease) {
    auto read = EtcdOperation::get(key);
    return {EtcdOperation::put(std::move(key), std::move(value), lease), std::move(read)};
}

Task<std::optional<EtcdEntry>> get_on(LinkPtr link, std::string key) {
    EtcdTransaction read;
    read.then = {EtcdOperation::get(std::move(key))};
    co_return last_entry(co_await link->call(std::move(read)));
}

Task<EtcdEntry> put_on(LinkPtr link, EtcdEntry entry) {
    EtcdTransaction write{.repeatable = true};
    write.then = put_and_read(std::move(entry.key), std::move(entry.value), entry.lease);
    auto now = last_entry(co_await link->call(std::move(write)));
    if (!now) throw Error{ErrorCode::protocol, "store.protocol", "etcd left out a result"};
    co_return std::move(*now);
}

/// Puts the entry if `condition` holds.
Task<std::optional<EtcdEntry>> put_if_on(LinkPtr link, EtcdCondition condition, EtcdEntry entry) {
    EtcdTransaction write{.repeatable = true};
    write.conditions = {std::move(condition)};
    write.then = put_and_read(entry.key, entry.value, entry.lease);
    write.otherwise = {EtcdOperation::get(entry.key)};
    auto reply = co_await link->call(std::move(write));
    const bool succeeded = reply.succeeded;
    const bool repeated = reply.repeated;
    auto now = last_entry(std::move(reply));
    if (succeeded) co_return now;
    // A repeated attempt may meet what the one before it has done.
    if (repeated && now && now->value == entry.value && now->lease == entry.lease) co_return now;
    co_return std::nullopt;
}

Task<std::int64_t> remove_on(LinkPtr link, EtcdOperation operation) {
    EtcdTransaction removal{.repeatable = true};
    removal.then = {std::move(operation)};
    const auto reply = co_await link->call(std::move(removal));
    co_return reply.results.empty() ? 0 : reply.results.front().count;
}

Task<bool> revoke_on(LinkPtr link, std::int64_t lease) {
    const auto outcome = co_await as_result(link->call(etcd::RevokeRequest{.lease = lease}));
    if (!outcome && outcome.error().code() != ErrorCode::not_found) throw outcome.error();
    co_return outcome.has_value();
}

Task<> compact_on(LinkPtr link, std::int64_t revision) {
    co_await link->call(etcd::CompactRequest{.revision = revision});
}

Task<EtcdStatus> status_on(LinkPtr link) {
    auto reply = co_await link->call(etcd::StatusRequest{});
    co_return EtcdStatus{
        .endpoint = link->endpoint(),
        .version = std::move(reply.version),
        .member_id = reply.header.member_id,
        .leader = reply.leader,
        .header = reply.header,
    };
}

}  // namespace

Task<EtcdTransactionReply> EtcdClient::txn(EtcdTransaction transaction) const {
    return on_loop(*loop_, txn_on(link_, std::move(transaction)));
}

Task<std::optional<EtcdEntry>> EtcdClient::get(std::string key) const {
    return on_loop(*loop_, get_on(link_, std::move(key)));
}

Task<EtcdListing> EtcdClient::list(std::string prefix) const {
    return on_loop(*loop_, etcd::list_all(link_, std::move(prefix)));
}

Task<EtcdEntry> EtcdClient::put(std::string key, std::string value, std::int64_t lease) const {
    return on_loop(
        *loop_, put_on(link_, {.key = std::move(key), .value = std::move(value), .lease = lease})
    );
}

Task<std::optional<EtcdEntry>> EtcdClient::create(
    std::string key, std::string value, std::int64_t lease
) const {
    auto absent = EtcdCondition::absent(key);
    return on_loop(
        *loop_,
        put_if_on(
            link_,
            std::move(absent),
            {.key = std::move(key), .value = std::move(value), .lease = lease}
        )
    );
}

Task<std::optional<EtcdEntry>> EtcdClient::compare_and_swap(
    std::string key, std::string value, std::int64_t mod_revision, std::int64_t lease
) const {
    auto unchanged = EtcdCondition::unchanged_since(key, mod_revision);
    return on_loop(
        *loop_,
        put_if_on(
            link_,
            std::move(unchanged),
            {.key = std::move(key), .value = std::move(value), .lease = lease}
        )
    );
}

Task<std::int64_t> EtcdClient::remove(std::string key) const {
    return on_loop(*loop_, remove_on(link_, EtcdOperation::remove(std::move(key))));
}

Task<std::int64_t> EtcdClient::remove_prefix(std::string prefix) const {
    return on_loop(*loop_, remove_on(link_, EtcdOperation::remove_prefix(std::move(prefix))));
}

Task<bool> EtcdClient::revoke_lease(std::int64_t lease) const {
    return on_loop(*loop_, revoke_on(link_, lease));
}

Task<> EtcdClient::compact(std::int64_t revision) const {
    return on_loop(*loop_, compact_on(link_, revision));
}

Task<EtcdStatus> EtcdClient::status() const { return on_loop(*loop_, status_on(link_)); }

}  // namespace stator::store
