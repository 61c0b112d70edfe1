// MessageQueue: what came in for a call and was not taken yet.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "stator/base/bytes.hpp"

namespace stator::transport {

/// First in, first out; no allocation for one message at a time.
///
/// Messages come as slices of large receive blocks. A consumer that has been woken takes them in
/// this turn, so copying them out of their block would be wasted; one that lags gets copies, which
/// hold no more memory than they are long.
class MessageQueue {
public:
    bool empty() const noexcept { return !has_first_; }
    std::size_t size() const noexcept { return has_first_ ? 1 + rest_.size() - head_ : 0; }
    /// `taken_soon`: the consumer comes for it in this turn of the loop.
    void push(Bytes message, bool taken_soon) {
        if (!taken_soon || size() >= burst) message = message.compact();
        if (std::exchange(has_first_, true)) {
            rest_.push_back(std::move(message));
        } else {
            first_ = std::move(message);
        }
    }
    /// Precondition: not empty.
    Bytes pop() noexcept {
        Bytes message = std::move(first_);
        if (head_ < rest_.size()) {
            first_ = std::move(rest_[head_++]);
            return message;
        }
        has_first_ = false;
        rest_.clear();
        head_ = 0;
        return message;
    }

private:
    // So many slices may queue behind a consumer that has been woken; then it is one that lags.
    static constexpr std::size_t burst = 1024;

    Bytes first_;
    std::vector<Bytes> rest_;
    std::size_t head_ = 0;
    bool has_first_ = false;
};

}  // namespace stator::transport
