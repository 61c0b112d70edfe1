// Whether the store is still the one that it was.
#pragma once

#include <memory>
#include <string>

#include "stator/runtime/semaphore.hpp"
#include "store/etcd/link.hpp"

namespace stator::store::etcd {

/// A cluster that was wiped, or restored from a copy, answers as if nothing had happened: what a
/// process knows of it is wrong all the same, and a watch from a revision of the future would wait
/// in silence. So before anything is resumed the cluster's id, a random key that whoever finds it
/// absent creates, the revision and the raft term are compared with what they were.
///
/// On one loop.
class Identity {
public:
    /// `v1/x_stator/store_id`: 16 hexadecimal digits.
    static constexpr auto key = "v1/x_stator/store_id";

    explicit Identity(std::shared_ptr<Link> link) noexcept : link_{std::move(link)} {}

    /// True if the store is another one than at the last check. Errors: as of EtcdClient. Cancel
    /// safety: throws `cancelled`; the next check still tells.
    Task<bool> changed(Deadline deadline);
    const std::string& id() const noexcept { return id_; }

private:
    const std::shared_ptr<Link> link_;
    Semaphore turn_{1};
    bool known_ = false;
    std::uint64_t cluster_id_ = 0;
    std::string id_;  // empty: this user may not read it
};

}  // namespace stator::store::etcd
