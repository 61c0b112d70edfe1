// The gRPC peer: callback API on both sides, one channel.
#pragma once

#include <memory>

#include <grpc/impl/codegen/grpc_types.h>

#include "common/load.hpp"
#include "load.grpc.pb.h"

namespace bench::grpc_peer {

// gRPC at its best: with these off and the minimal stack on, a unary call takes about 10 % less
// CPU. Streams are not affected.
inline constexpr const char* unneeded[] = {
    GRPC_ARG_ENABLE_CHANNELZ, GRPC_ARG_ENABLE_CENSUS, GRPC_ARG_ENABLE_RETRIES
};

/// A stream that is not paced tells gRPC that the next item follows at once, unless `unbuffered`:
/// which is how a handler that does not know its next item writes, each item is a packet.
int serve(const ServeOptions& options);
int run_client(const Options& options);
/// The modes that are no load: idle, over_limit, first.
int run_other(const Options& options);

/// A channel of its own, nothing shared with others of this process.
std::unique_ptr<Load::Stub> connect(std::uint16_t port);

}  // namespace bench::grpc_peer
