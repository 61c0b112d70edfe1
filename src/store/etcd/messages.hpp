// Between our values and etcd's messages; of the module.
#pragma once

#include "etcd.pb.h"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

etcdserverpb::TxnRequest to_message(const EtcdTransaction& from);
etcdserverpb::LeaseGrantRequest to_message(const GrantRequest& from);
etcdserverpb::LeaseRevokeRequest to_message(const RevokeRequest& from);
etcdserverpb::LeaseKeepAliveRequest to_message(const KeepAliveRequest& from);
etcdserverpb::LeaseTimeToLiveRequest to_message(const LeaseKeysRequest& from);
etcdserverpb::CompactionRequest to_message(const CompactRequest& from);
etcdserverpb::StatusRequest to_message(const StatusRequest& from);
etcdserverpb::AuthenticateRequest to_message(const AuthenticateRequest& from);
etcdserverpb::WatchRequest to_message(const WatchTarget& from);

// What is moved out of a message is not copied.
EtcdTransactionReply to_value(etcdserverpb::TxnResponse& from);
GrantReply to_value(etcdserverpb::LeaseGrantResponse& from);
HeaderReply to_value(etcdserverpb::LeaseRevokeResponse& from);
KeepAliveReply to_value(etcdserverpb::LeaseKeepAliveResponse& from);
LeaseKeysReply to_value(etcdserverpb::LeaseTimeToLiveResponse& from);
HeaderReply to_value(etcdserverpb::CompactionResponse& from);
StatusReply to_value(etcdserverpb::StatusResponse& from);
AuthenticateReply to_value(etcdserverpb::AuthenticateResponse& from);
WatchMessage to_value(etcdserverpb::WatchResponse& from);

}  // namespace stator::store::etcd
