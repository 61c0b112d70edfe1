// What the store knows of a lease beyond what every backend keeps.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string>

#include "stator/runtime/semaphore.hpp"
#include "stator/store/etcd_transaction.hpp"
#include "store/lease_body.hpp"

namespace stator::store::etcd {

/// On the store's loop.
struct HeldLease {
    std::weak_ptr<LeaseBody> body;
    std::int64_t id = 0;   ///< etcd's; another one after a loss
    std::int64_t ttl = 0;  ///< seconds, as asked for
    /// Every id that it has had: what is kept by one of them was written here.
    std::set<std::int64_t> ids;
    /// The revision of the latest write of each key: what has another is somebody else's.
    std::map<std::string, std::int64_t> written;
    struct Removal {
        std::string value;
        /// Until then a write that was given up may still come in, after the removal.
        TimePoint certain_from{};
    };
    /// Keys whose removal is not certain.
    std::map<std::string, Removal> to_remove;
    /// Writes without an answer, and until when they may still come in. Renewals take out what
    /// cannot any more.
    std::map<std::string, TimePoint> unanswered;
    Semaphore turn{1};  ///< of what renews, recovers or revokes

    /// Whether that was written here: it hangs on what the lease is or was, or has our value and
    /// hangs on none, as in a copy without leases. Another's lease is another's claim, whatever the
    /// value.
    bool wrote(const EtcdEntry& now, const std::string& value) const {
        return ids.contains(now.lease) || (now.lease == 0 && now.value == value);
    }
    void forget_late_writes(TimePoint now) {
        std::erase_if(unanswered, [now](const auto& write) { return write.second <= now; });
    }
    void becomes(std::int64_t fresh) {
        id = fresh;
        ids.insert(fresh);
    }
};

}  // namespace stator::store::etcd
