// A queue of stream ids that keeps its memory.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

#include "stator/transport/mux_handler.hpp"

namespace stator::transport::mux {

class IdQueue {
public:
    bool empty() const noexcept { return size_ == 0; }
    std::size_t size() const noexcept { return size_; }
    StreamId front() const noexcept { return ring_[first_]; }
    void pop() noexcept {
        first_ = (first_ + 1) & (ring_.size() - 1);
        --size_;
    }
    void push(StreamId id) {
        if (size_ == ring_.size()) grow();
        ring_[(first_ + size_) & (ring_.size() - 1)] = id;
        ++size_;
    }
    /// Forgets the ids for which `keep` is false; the others keep their order.
    template <class Keep>
    void keep_if(Keep keep) {
        for (auto left = size_; left > 0; --left) {
            const auto id = front();
            pop();
            if (keep(id)) push(id);
        }
    }

private:
    void grow() {
        std::vector<StreamId> larger(ring_.empty() ? 16 : ring_.size() * 2);
        for (std::size_t i = 0; i < size_; ++i)
            larger[i] = ring_[(first_ + i) & (ring_.size() - 1)];
        ring_ = std::move(larger);
        first_ = 0;
    }
    std::vector<StreamId> ring_;
    std::size_t first_ = 0;
    std::size_t size_ = 0;
};

}  // namespace stator::transport::mux
