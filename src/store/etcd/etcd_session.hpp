// A session as a lease of etcd's that is never replaced.
#pragma once

#include <memory>

#include "store/etcd/link.hpp"
#include "store/session_body.hpp"

namespace stator::store::etcd {

/// `ttl` is rounded up to seconds; zero: that of the options. Errors: as of EtcdClient;
/// invalid_request "store.ttl".
Task<std::shared_ptr<SessionHold>> open_session(std::shared_ptr<Link> link, Duration ttl);

}  // namespace stator::store::etcd
