// One node of the cancellation tree.
#pragma once

#include <atomic>
#include <cstddef>

#include "stator/runtime/cancellation_token.hpp"
#include "stator/runtime/detail/spin_lock.hpp"

namespace stator::inline runtime::detail {

/// Invariants:
/// 1. `parent` and the node's own links in its parent's list change only under both locks, parent's
/// first;
///    the one exception is detaching by `cancel`, which holds the parent's and then takes the
///    child's.
/// 2. Locks are taken rootwards first. Re-parenting keeps that order, since a grandparent is above.
/// 3. A linked child is alive: its last handle must unlink it under the parent's lock before
/// freeing it.
/// 4. A child holds a memory reference on its parent; a parent holds none on its children.
/// 5. A cancelled node has no children, and no hooks of loops that were told (each removes its
/// own).
class TokenNode : public ListLink<ChildTag> {
public:
    static TokenNode* create(TokenNode* parent);

    void retain_handle() noexcept { handles_.fetch_add(1, std::memory_order_relaxed); }
    void release_handle() noexcept;
    void retain_memory() noexcept { references_.fetch_add(1, std::memory_order_relaxed); }
    void release_memory() noexcept;

    void cancel(CancelReason reason) noexcept;
    CancelReason reason() const noexcept {
        return static_cast<CancelReason>(state_.load(std::memory_order_acquire) & 0xF);
    }
    CancelReason cause() const noexcept {
        return static_cast<CancelReason>(state_.load(std::memory_order_acquire) >> 4);
    }

    bool arm(CancelHook& hook) noexcept;
    void disarm(CancelHook& hook) noexcept;
    /// Fires the hooks that belong to the current loop. On that loop's thread.
    void fire_local_hooks() noexcept;

private:
    using Children = IntrusiveList<TokenNode, ChildTag>;
    using Hooks = IntrusiveList<CancelHook, HookTag>;
    class Cancellation;
    class Hop;

    TokenNode() noexcept = default;
    void set_state(CancelReason reason, CancelReason cause) noexcept {
        state_.store(
            static_cast<std::uint8_t>(
                static_cast<unsigned>(reason) | (static_cast<unsigned>(cause) << 4U)
            ),
            std::memory_order_release
        );
    }
    void leave_tree() noexcept;
    TokenNode* lock_with_parent() noexcept;
    void hand_children_to(TokenNode* parent) noexcept;

    mutable SpinLock lock_;
    std::atomic<std::uint8_t> state_{0};  // low half: reason, high half: cause
    std::atomic<std::uint32_t> handles_{1};
    std::atomic<std::uint32_t> references_{1
    };  // all handles together, each child, each cancellation under way
    TokenNode* parent_ = nullptr;
    Children children_;
    Hooks hooks_;
    std::atomic<const void*> latest_hook_{nullptr};  // a hint, where to look: never followed
};

}  // namespace stator::inline runtime::detail
