// Broadcast<T>: every item to every reader.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <vector>

#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/version_gate.hpp"

namespace stator::inline runtime {

/// Keeps the latest `capacity` items. Sending never waits: a reader that is slower loses the oldest
/// ones and is told how many. Thread-safe. Must outlive its readers.
template <class T>
class Broadcast {
public:
    explicit Broadcast(std::size_t capacity) : kept_(capacity == 0 ? 1 : capacity) {}

    /// What a reader is told: the next item, and how many were lost before it.
    struct Item {
        std::shared_ptr<const T> value;
        std::uint64_t lost = 0;
    };

    /// Reads what is sent after it was made. One task; must not outlive the channel.
    class Reader {
    public:
        /// Nothing once the channel is closed and all was read. Cancel safety: throws `cancelled`,
        /// nothing is lost.
        Task<std::optional<Item>> next() {
            for (;;) {
                const auto version = channel_->changed_.version();
                bool closed = false;
                if (auto item = channel_->read(position_, closed)) co_return item;
                if (closed) co_return std::nullopt;
                co_await channel_->changed_.wait_past(version);
            }
        }

    private:
        friend class Broadcast;
        Reader(Broadcast& channel, std::uint64_t position) noexcept
            : channel_{&channel}, position_{position} {}
        Broadcast* channel_;
        std::uint64_t position_;
    };

    Reader reader() {
        const std::lock_guard guard{lock_};
        return Reader{*this, sent_};
    }
    /// False when it is closed.
    bool send(T value) {
        auto item = std::make_shared<const T>(std::move(value));  // outside the lock, as its end
        {
            const std::lock_guard guard{lock_};
            if (closed_) return false;
            std::swap(kept_[sent_++ % kept_.size()], item);
        }
        changed_.advance();
        return true;
    }
    void close() noexcept {
        {
            const std::lock_guard guard{lock_};
            closed_ = true;
        }
        changed_.advance();
    }

private:
    std::optional<Item> read(std::uint64_t& position, bool& closed) {
        const std::lock_guard guard{lock_};
        closed = closed_;
        if (position == sent_) return std::nullopt;
        const auto oldest = sent_ > kept_.size() ? sent_ - kept_.size() : 0;
        const auto lost = position < oldest ? oldest - position : 0;
        position += lost;
        return Item{kept_[position++ % kept_.size()], lost};
    }

    detail::SpinLock lock_;
    std::vector<std::shared_ptr<const T>> kept_;
    std::uint64_t sent_ = 0;
    bool closed_ = false;
    VersionGate changed_;
};

}  // namespace stator::inline runtime
