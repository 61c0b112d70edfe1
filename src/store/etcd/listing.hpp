// Everything below a prefix, in pages.
#pragma once

#include <memory>
#include <string>

#include "store/etcd/link.hpp"

namespace stator::store::etcd {

/// All of one revision. Each page has the time of a call. Errors: as of EtcdClient; unavailable
/// "store.compacted" if the history is cut off again and again while it is read.
Task<EtcdListing> list_all(std::shared_ptr<Link> link, std::string prefix);

}  // namespace stator::store::etcd
