// WatchChannel<T>: the latest value, for any number of readers.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/version_gate.hpp"

namespace stator::inline runtime {

/// One value that changes: readers see the latest and may wait for a later one; what came in
/// between is not kept, so it never grows and never waits. Values are immutable snapshots.
/// Thread-safe. Must outlive its readers.
template <class T>
class WatchChannel {
public:
    struct Seen {
        std::shared_ptr<const T> value;
        std::uint64_t version = 0;
    };
    explicit WatchChannel(T first) : value_{std::make_shared<const T>(std::move(first))} {}

    void send(T value) {
        auto next = std::make_shared<const T>(std::move(value));  // outside the lock, as its end
        {
            const std::lock_guard guard{lock_};
            std::swap(value_, next);
            ++version_;
        }
        changed_.advance();
    }
    Seen latest() const {
        const std::lock_guard guard{lock_};
        return {value_, version_};
    }
    /// The latest, once there is one that is newer than what was seen. Cancel safety: throws
    /// `cancelled`, nothing is missed.
    Task<Seen> newer_than(std::uint64_t version) {
        for (;;) {
            auto seen = latest();
            if (seen.version > version) co_return seen;
            // The gate is advanced after the value is set: at worst this looks once more.
            co_await changed_.wait_past(version);
        }
    }

private:
    mutable detail::SpinLock lock_;
    std::shared_ptr<const T> value_;
    std::uint64_t version_ = 0;
    VersionGate changed_;
};

}  // namespace stator::inline runtime
