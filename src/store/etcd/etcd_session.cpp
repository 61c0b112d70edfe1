#include "store/etcd/etcd_session.hpp"

#include <algorithm>
#include <chrono>
#include <utility>

#include "store/etcd/entry_of.hpp"

namespace stator::store::etcd {

namespace {

Error session_lost() {
    return Error{ErrorCode::unavailable, "store.session_lost", "etcd has dropped the session"};
}

std::optional<Entry> found_in(EtcdOperationReply read) {
    if (read.entries.empty()) return std::nullopt;
    return entry_of(std::move(read.entries.front()));
}

EtcdTransaction transaction_of(const GuardedWrite& write, std::int64_t lease) {
    EtcdTransaction transaction{.repeatable = true};
    for (const auto& guard : write.guards) {
        const auto created = static_cast<std::int64_t>(guard.created);
        transaction.conditions.push_back(
            created == 0 ? EtcdCondition::absent(guard.key)
                         : EtcdCondition::created_at(guard.key, created)
        );
        transaction.otherwise.push_back(EtcdOperation::get(guard.key));
    }
    for (const auto& put : write.puts)
        transaction.then.push_back(EtcdOperation::put(put.key, put.value, lease));
    return transaction;
}

class EtcdSession final : public SessionHold {
public:
    EtcdSession(std::shared_ptr<Link> link, std::int64_t lease, Duration ttl)
        : SessionHold{ttl}, link_{std::move(link)}, lease_{lease} {}

    Task<bool> renew() override {
        const auto kept = co_await link_->call(KeepAliveRequest{lease_});
        co_return kept.ttl > 0;
    }

    Task<> end() override {
        const auto revoked = co_await as_result(link_->call(RevokeRequest{lease_}));
        if (!revoked && revoked.error().code() != ErrorCode::not_found) throw revoked.error();
    }

    Task<GuardedReply> write(GuardedWrite write) override {
        auto outcome = co_await as_result(link_->call(transaction_of(write, lease_)));
        if (!outcome) {
            if (outcome.error().detail() == "store.lease_not_found") throw session_lost();
            throw std::move(outcome.error());
        }
        if (outcome->succeeded)
            co_return GuardedReply{
                .done = true, .revision = static_cast<std::uint64_t>(outcome->header.revision)
            };
        // A repeated attempt may meet what the one before it has done.
        if (const auto own = outcome->repeated ? own_write(write, *outcome) : 0; own != 0)
            co_return GuardedReply{.done = true, .revision = own};
        GuardedReply reply;
        for (auto& read : outcome->results) reply.found.push_back(found_in(std::move(read)));
        co_return reply;
    }

private:
    /// The revision in which this session has put everything that the write puts; 0: it has not.
    std::uint64_t own_write(const GuardedWrite& write, const EtcdTransactionReply& reply) const {
        std::uint64_t revision = 0;
        for (const auto& put : write.puts) {
            const auto found = std::ranges::find_if(reply.results, [&](const auto& read) {
                return !read.entries.empty() && read.entries.front().key == put.key &&
                       read.entries.front().value == put.value &&
                       read.entries.front().lease == lease_;
            });
            if (found == reply.results.end()) return 0;
            revision = static_cast<std::uint64_t>(found->entries.front().mod_revision);
        }
        return revision;
    }

    const std::shared_ptr<Link> link_;
    const std::int64_t lease_;
};

}  // namespace

Task<std::shared_ptr<SessionHold>> open_session(std::shared_ptr<Link> link, Duration ttl) {
    if (ttl == Duration::zero()) ttl = link->options().lease_ttl;
    const auto seconds = std::chrono::ceil<std::chrono::seconds>(ttl).count();
    if (seconds < 1)
        throw Error{ErrorCode::invalid_request, "store.ttl", "a session lives at least 1 s"};
    const auto granted = co_await link->call(GrantRequest{.ttl = seconds});
    // etcd may give more than was asked for, never less.
    const Duration given = std::chrono::seconds{std::max(granted.ttl, seconds)};
    co_return std::make_shared<EtcdSession>(std::move(link), granted.lease, given);
}

}  // namespace stator::store::etcd
