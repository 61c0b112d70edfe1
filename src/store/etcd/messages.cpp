#include "store/etcd/messages.hpp"

#include <utility>

namespace stator::store::etcd {

namespace {

EtcdHeader header_of(const etcdserverpb::ResponseHeader& from) {
    return {
        .cluster_id = from.cluster_id(),
        .member_id = from.member_id(),
        .revision = from.revision(),
        .raft_term = from.raft_term(),
    };
}

EtcdEntry entry_of(etcdserverpb::KeyValue& from) {
    return {
        .key = std::move(*from.mutable_key()),
        .value = std::move(*from.mutable_value()),
        .create_revision = from.create_revision(),
        .mod_revision = from.mod_revision(),
        .version = from.version(),
        .lease = from.lease(),
    };
}

void fill(etcdserverpb::Compare& to, const EtcdCondition& from) {
    to.set_key(from.key);
    // The enumerators have etcd's numbers.
    to.set_result(static_cast<etcdserverpb::Compare::CompareResult>(from.is));
    to.set_target(static_cast<etcdserverpb::Compare::CompareTarget>(from.of));
    switch (from.of) {
        case EtcdCondition::Of::version:
            to.set_version(from.number);
            break;
        case EtcdCondition::Of::create_revision:
            to.set_create_revision(from.number);
            break;
        case EtcdCondition::Of::mod_revision:
            to.set_mod_revision(from.number);
            break;
        case EtcdCondition::Of::value:
            to.set_value(from.text);
            break;
        case EtcdCondition::Of::lease:
            to.set_lease(from.number);
            break;
    }
}

void fill(etcdserverpb::RequestOp& to, const EtcdOperation& from) {
    switch (from.kind) {
        case EtcdOperation::Kind::get: {
            auto& range = *to.mutable_request_range();
            range.set_key(from.key);
            range.set_range_end(from.range_end);
            range.set_limit(from.limit);
            range.set_revision(from.revision);
            range.set_keys_only(from.keys_only);
            break;
        }
        case EtcdOperation::Kind::put: {
            auto& put = *to.mutable_request_put();
            put.set_key(from.key);
            put.set_value(from.value);
            put.set_lease(from.lease);
            break;
        }
        case EtcdOperation::Kind::remove: {
            auto& range = *to.mutable_request_delete_range();
            range.set_key(from.key);
            range.set_range_end(from.range_end);
            break;
        }
    }
}

EtcdOperationReply result_of(etcdserverpb::ResponseOp& from) {
    EtcdOperationReply to;
    if (from.has_response_range()) {
        auto& range = *from.mutable_response_range();
        to.entries.reserve(static_cast<std::size_t>(range.kvs_size()));
        for (auto& entry : *range.mutable_kvs()) to.entries.push_back(entry_of(entry));
        to.more = range.more();
        to.count = range.count();
    } else if (from.has_response_delete_range()) {
        to.count = from.response_delete_range().deleted();
    }
    return to;
}

}  // namespace

etcdserverpb::TxnRequest to_message(const EtcdTransaction& from) {
    etcdserverpb::TxnRequest to;
    for (const auto& condition : from.conditions) fill(*to.add_compare(), condition);
    for (const auto& operation : from.then) fill(*to.add_success(), operation);
    for (const auto& operation : from.otherwise) fill(*to.add_failure(), operation);
    return to;
}

etcdserverpb::LeaseGrantRequest to_message(const GrantRequest& from) {
    etcdserverpb::LeaseGrantRequest to;
    to.set_ttl(from.ttl);
    return to;
}

etcdserverpb::LeaseRevokeRequest to_message(const RevokeRequest& from) {
    etcdserverpb::LeaseRevokeRequest to;
    to.set_id(from.lease);
    return to;
}

etcdserverpb::LeaseKeepAliveRequest to_message(const KeepAliveRequest& from) {
    etcdserverpb::LeaseKeepAliveRequest to;
    to.set_id(from.lease);
    return to;
}

etcdserverpb::LeaseTimeToLiveRequest to_message(const LeaseKeysRequest& from) {
    etcdserverpb::LeaseTimeToLiveRequest to;
    to.set_id(from.lease);
    to.set_keys(true);
    return to;
}

etcdserverpb::CompactionRequest to_message(const CompactRequest& from) {
    etcdserverpb::CompactionRequest to;
    to.set_revision(from.revision);
    to.set_physical(true);
    return to;
}

etcdserverpb::StatusRequest to_message(const StatusRequest&) { return {}; }

etcdserverpb::AuthenticateRequest to_message(const AuthenticateRequest& from) {
    etcdserverpb::AuthenticateRequest to;
    to.set_name(from.name);
    to.set_password(from.password);
    return to;
}

etcdserverpb::WatchRequest to_message(const WatchTarget& from) {
    etcdserverpb::WatchRequest to;
    auto& create = *to.mutable_create_request();
    create.set_key(from.key);
    create.set_range_end(from.range_end);
    create.set_start_revision(from.start_revision);
    create.set_progress_notify(true);
    create.set_watch_id(from.id);
    create.set_fragment(true);
    return to;
}

EtcdTransactionReply to_value(etcdserverpb::TxnResponse& from) {
    EtcdTransactionReply to{
        .header = header_of(from.header()), .succeeded = from.succeeded(), .results = {}
    };
    for (auto& response : *from.mutable_responses()) to.results.push_back(result_of(response));
    return to;
}

GrantReply to_value(etcdserverpb::LeaseGrantResponse& from) {
    return {.header = header_of(from.header()), .lease = from.id(), .ttl = from.ttl()};
}

HeaderReply to_value(etcdserverpb::LeaseRevokeResponse& from) {
    return {.header = header_of(from.header())};
}

KeepAliveReply to_value(etcdserverpb::LeaseKeepAliveResponse& from) {
    return {.header = header_of(from.header()), .ttl = from.ttl()};
}

LeaseKeysReply to_value(etcdserverpb::LeaseTimeToLiveResponse& from) {
    LeaseKeysReply to{.header = header_of(from.header()), .ttl = from.ttl(), .keys = {}};
    for (auto& key : *from.mutable_keys()) to.keys.push_back(std::move(key));
    return to;
}

HeaderReply to_value(etcdserverpb::CompactionResponse& from) {
    return {.header = header_of(from.header())};
}

StatusReply to_value(etcdserverpb::StatusResponse& from) {
    return {.header = header_of(from.header()), .version = from.version(), .leader = from.leader()};
}

AuthenticateReply to_value(etcdserverpb::AuthenticateResponse& from) {
    return {.header = header_of(from.header()), .token = std::move(*from.mutable_token())};
}

WatchMessage to_value(etcdserverpb::WatchResponse& from) {
    WatchMessage to{
        .header = header_of(from.header()),
        .id = from.watch_id(),
        .created = from.created(),
        .cancelled = from.canceled(),
        .fragment = from.fragment(),
        .compact_revision = from.compact_revision(),
        .cancel_reason = std::move(*from.mutable_cancel_reason()),
        .changes = {},
    };
    to.changes.reserve(static_cast<std::size_t>(from.events_size()));
    for (auto& event : *from.mutable_events()) {
        to.changes.push_back(
            {.removed = event.type() == etcdserverpb::Event::DELETE,
             .entry = entry_of(*event.mutable_kv())}
        );
    }
    return to;
}

}  // namespace stator::store::etcd
