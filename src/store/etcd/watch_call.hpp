// One stream of watches over gRPC; of the module.
#pragma once

#include <memory>

#include <grpcpp/grpcpp.h>

#include "etcd.grpc.pb.h"
#include "store/etcd/wire.hpp"

namespace stator::store::etcd {

/// What every call carries: the token, and that a member without a leader shall say so at once.
void prepare(grpc::ClientContext& context, const CallOptions& options);

Status status_of(const grpc::Status& status);

std::shared_ptr<WatchCall> start_watch(
    etcdserverpb::Watch::Stub& stub, const CallOptions& options, WatchHandlers handlers
);

}  // namespace stator::store::etcd
