// Snapshot<T>: an immutable value that one side replaces and many read.
#pragma once

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>

#include "stator/runtime/version_gate.hpp"

namespace stator::discovery {

/// Reading on the fast path is one atomic load and one count, without a lock: each thread keeps the
/// value it read last and takes the lock only when the version has moved. (std::atomic<shared_ptr>
/// of libstdc++ 12 takes a lock for every read.) Thread-safe. Waiters must end before it dies.
template <class T>
class Snapshot {
public:
    using Value = std::shared_ptr<const T>;
    explicit Snapshot(Value initial) : value_{std::move(initial)} {}
    Snapshot(const Snapshot&) = delete;
    Snapshot& operator=(const Snapshot&) = delete;

    /// The present value and its version, for a reader that keeps both.
    struct Versioned {
        Value value;
        std::uint64_t version = 0;
    };
    Versioned load() const {
        const std::lock_guard guard{lock_};
        return {value_, gate_.version()};
    }
    std::uint64_t version() const noexcept { return gate_.version(); }

    void store(Value value) {
        Value old;  // destroyed after the lock is released: it may be large
        {
            const std::lock_guard guard{lock_};
            old = std::exchange(value_, std::move(value));
            gate_.advance();
        }
    }

    /// Wakes everyone who waits, with the value unchanged.
    void wake() noexcept { gate_.advance(); }

    /// The value, once its version is above `seen`. Cancel safety: throws `cancelled`.
    Task<Versioned> wait_past(std::uint64_t seen) {
        co_await gate_.wait_past(seen);
        co_return load();
    }

    /// One reader's memory of what it read last. One thread at a time; not beyond the snapshot's
    /// life.
    class Reader {
    public:
        explicit Reader(const Snapshot& snapshot) : snapshot_{&snapshot}, last_{snapshot.load()} {}
        /// Valid until the next call.
        const Value& get() {
            if (snapshot_->version() != last_.version) last_ = snapshot_->load();
            return last_.value;
        }

    private:
        const Snapshot* snapshot_;
        Versioned last_;
    };

private:
    mutable std::mutex lock_;
    Value value_;
    VersionGate gate_;
};

}  // namespace stator::discovery
