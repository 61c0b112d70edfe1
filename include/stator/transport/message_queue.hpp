// MessageQueue: what came in for a call and was not taken yet.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "stator/base/bytes.hpp"

namespace stator::transport {

/// First in, first out, no allocation while it stays short.
///
/// Messages come as slices of large receive blocks. A consumer that has been woken takes them in
/// this turn, so copying them out of their block would be wasted; one that lags gets copies, which
/// hold no more memory than they are long.
class MessageQueue {
public:
    bool empty() const noexcept { return head_ == items_.size(); }
    std::size_t size() const noexcept { return items_.size() - head_; }
    /// `taken_soon`: the consumer comes for it in this turn of the loop.
    void push(Bytes message, bool taken_soon) {
        const bool keep = taken_soon && size() < burst;
        items_.push_back(keep ? std::move(message) : message.compact());
    }
    Bytes pop() noexcept {
        Bytes message = std::move(items_[head_++]);
        if (empty()) {
            items_.clear();
            head_ = 0;
        }
        return message;
    }

private:
    // So many slices may queue behind a consumer that has been woken; then it is one that lags.
    static constexpr std::size_t burst = 1024;

    std::vector<Bytes> items_;
    std::size_t head_ = 0;
};

}  // namespace stator::transport
