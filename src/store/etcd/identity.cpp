#include "store/etcd/identity.hpp"

#include <fmt/format.h>

#include "stator/base/random.hpp"

namespace stator::store::etcd {

namespace {

struct Seen {
    EtcdHeader header;
    std::string id;
};

Task<Seen> look(std::shared_ptr<Link> link, Deadline deadline) {
    EtcdTransaction find_or_create;
    find_or_create.conditions = {EtcdCondition::absent(Identity::key)};
    find_or_create.then = {
        EtcdOperation::put(Identity::key, fmt::format("{:016x}", os_random())),
        EtcdOperation::get(Identity::key)
    };
    find_or_create.otherwise = {EtcdOperation::get(Identity::key)};
    find_or_create.repeatable = true;
    auto reply = co_await link->call(std::move(find_or_create), deadline);
    if (reply.results.empty() || reply.results.back().entries.empty())
        throw Error{ErrorCode::protocol, "store.protocol", "etcd left out a result"};
    co_return Seen{reply.header, std::move(reply.results.back().entries.front().value)};
}

/// For a user who may not use that key; the header still tells a lot.
Task<Seen> look_at_header(std::shared_ptr<Link> link, Deadline deadline) {
    const auto reply = co_await link->call(StatusRequest{}, deadline);
    co_return Seen{reply.header, {}};
}

}  // namespace

Task<bool> Identity::changed(Deadline deadline) {
    const auto turn = co_await turn_.acquire();
    const auto before = link_->newest();
    auto seen = co_await as_result(look(link_, deadline));
    if (!seen && seen.error().code() == ErrorCode::permission_denied)
        seen = co_await as_result(look_at_header(link_, deadline));
    if (!seen) throw std::move(seen.error());
    const auto& now = seen->header;
    const bool same = now.cluster_id == cluster_id_ && seen->id == id_ &&
                      now.revision >= before.revision && now.raft_term >= before.raft_term;
    const bool changed = known_ && !same;
    if (changed) link_->start_anew(now);
    link_->note(now);
    known_ = true;
    cluster_id_ = now.cluster_id;
    id_ = std::move(seen->id);
    co_return changed;
}

}  // namespace stator::store::etcd
