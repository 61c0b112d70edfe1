#include "runtime/token_node.hpp"

#include <new>
#include <thread>
#include <utility>
#include <vector>

#include "stator/runtime/detail/frame_pool.hpp"
#include "stator/runtime/loop.hpp"

namespace stator::inline runtime::detail {

namespace {

std::atomic<std::size_t> live_nodes{0};

}  // namespace

std::size_t live_token_nodes() noexcept { return live_nodes.load(std::memory_order_relaxed); }

/// What a cancellation posts to a loop: the nodes on which something waits there, with a memory
/// reference each, which are given back also when the loop dies before it gets to them.
class TokenNode::Hop {
public:
    Hop() noexcept = default;
    Hop(Hop&&) noexcept = default;
    Hop& operator=(Hop&&) = delete;
    ~Hop() {
        for (TokenNode* node : nodes_) node->release_memory();
    }
    /// All hooks of one node are added in a row, so the last node is the only one to compare with.
    void add(TokenNode& node) {
        if (!nodes_.empty() && nodes_.back() == &node) return;
        nodes_.push_back(&node);
        node.retain_memory();
    }
    void operator()() const noexcept {
        for (TokenNode* node : nodes_) node->fire_local_hooks();
    }

private:
    std::vector<TokenNode*> nodes_;
};

/// One `cancel` on its way down the tree. Nodes wait in `pending_` by their own links, with a
/// memory reference each, so that a wide or deep tree needs neither allocation nor stack. Children
/// are taken a few at a time: their hooks fire while they are still in the cache, and nobody waits
/// for the lock of a wide node until all are done.
class TokenNode::Cancellation {
    /// Runs ahead of who detaches children and asks for the memory that detaching them touches: the
    /// locks on the way keep the processor from doing so by itself. With their parent's lock held.
    class Scout {
    public:
        explicit Scout(Children& children) noexcept : children_{children} {
            if (!children.empty()) at_ = &children.front();
            for (int i = 0; i < lead; ++i) step();
        }
        void step() noexcept {
            if (at_ == nullptr) return;
            at_ = children_.after(*at_);
            if (at_ == nullptr) return;
            __builtin_prefetch(children_.after(*at_), 1);
            const auto* hook = at_->latest_hook_.load(std::memory_order_relaxed);
            __builtin_prefetch(hook, 1);
        }

    private:
        static constexpr int lead = 3;
        Children& children_;
        TokenNode* at_ = nullptr;
    };

public:
    explicit Cancellation(CancelReason cause) noexcept : cause_{cause} {}

    /// With `node.lock_` held and its state just set.
    void take_hooks(TokenNode& node) noexcept {
        node.hooks_.for_each([&](CancelHook& hook) { take_hook(node, hook); });
    }

    /// Cancels what is below `top`, which the caller keeps alive.
    void run(TokenNode& top) noexcept {
        take_children(top);
        while (!pending_.empty()) {
            TokenNode& node = pending_.pop_front();
            take_children(node);
            node.release_memory();
        }
        for (auto& [loop, hop] : hops_) loop->post(std::move(hop));
    }

private:
    static constexpr std::uint32_t at_a_time = 64;

    void take_children(TokenNode& node) noexcept {
        for (bool more = true; more;) {
            node.lock_.lock();
            more = take_some_children(node);
            node.lock_.unlock();
            // Only now may hooks fire: they wake operations, and no lock is held.
            while (!local_.empty()) {
                CancelHook& hook = local_.pop_front();
                hook.fire(hook);
            }
        }
    }

    /// With `node.lock_` held: detaches and cancels some of its children; whether any are left.
    bool take_some_children(TokenNode& node) noexcept {
        std::uint32_t detached = 0;
        Scout scout{node.children_};
        for (; detached < at_a_time && !node.children_.empty(); ++detached) {
            scout.step();
            detach(node.children_.front());
        }
        // Never the last references: the caller holds one of its own.
        if (detached > 0) node.references_.fetch_sub(detached, std::memory_order_acq_rel);
        return !node.children_.empty();
    }

    void detach(TokenNode& child) noexcept {
        const std::lock_guard guard{child.lock_};
        Children::remove(child);
        child.parent_ = nullptr;
        if (child.reason() != CancelReason::none) return;
        // Set here, not when its turn comes: whoever drops its last handle in between then knows
        // that its children are ours to cancel.
        child.set_state(CancelReason::parent, cause_);
        take_hooks(child);
        if (child.children_.empty()) return;
        child.retain_memory();
        pending_.push_back(child);
    }

    void take_hook(TokenNode& node, CancelHook& hook) noexcept {
        if (hook.loop == Loop::current()) {
            Hooks::remove(hook);
            hook.node = nullptr;
            local_.push_back(hook);
            return;
        }
        hop_to(hook.loop).add(node);
    }

    Hop& hop_to(Loop* loop) {
        for (auto& [other, hop] : hops_) {
            if (other == loop) return hop;
        }
        return hops_.emplace_back(loop, Hop{}).second;
    }

    CancelReason cause_;
    Children pending_;
    Hooks local_;
    std::vector<std::pair<Loop*, Hop>> hops_;
};

TokenNode* TokenNode::create(TokenNode* parent) {
    auto* node = ::new (take_frame(sizeof(TokenNode))) TokenNode;
    live_nodes.fetch_add(1, std::memory_order_relaxed);
    if (parent == nullptr) return node;
    const std::lock_guard guard{parent->lock_};
    if (parent->reason() != CancelReason::none) {
        node->set_state(CancelReason::parent, parent->cause());
        return node;
    }
    node->parent_ = parent;
    parent->retain_memory();
    parent->children_.push_back(*node);
    return node;
}

void TokenNode::release_handle() noexcept {
    if (handles_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    leave_tree();
    release_memory();
}

void TokenNode::release_memory() noexcept {
    if (references_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
    live_nodes.fetch_sub(1, std::memory_order_relaxed);
    this->~TokenNode();
    give_frame(this, sizeof(TokenNode));
}

void TokenNode::cancel(CancelReason reason) noexcept {
    Cancellation cancellation{reason};
    {
        const std::lock_guard guard{lock_};
        if (this->reason() != CancelReason::none) return;
        set_state(reason, reason);
        cancellation.take_hooks(*this);
        retain_memory();
    }
    cancellation.run(*this);
    release_memory();
}

/// Locks this node and, first, its parent if it has one (invariant 2). Returns the parent, with a
/// memory reference for the caller.
TokenNode* TokenNode::lock_with_parent() noexcept {
    lock_.lock();
    while (TokenNode* parent = parent_) {
        if (parent->lock_.try_lock()) {
            parent->retain_memory();
            return parent;
        }
        parent->retain_memory();
        lock_.unlock();
        parent->lock_.lock();
        lock_.lock();
        if (parent_ == parent) return parent;
        parent->lock_.unlock();
        parent->release_memory();
    }
    return nullptr;
}

void TokenNode::hand_children_to(TokenNode* parent) noexcept {
    children_.for_each([&](TokenNode& child) {
        const std::lock_guard guard{child.lock_};
        Children::remove(child);
        child.parent_ = parent;
        if (parent != nullptr) {
            parent->retain_memory();
            parent->children_.push_back(child);
        }
        references_.fetch_sub(
            1, std::memory_order_acq_rel
        );  // never the last: the handles' one is still held
    });
}

void TokenNode::leave_tree() noexcept {
    TokenNode* parent = lock_with_parent();
    // The children of a cancelled node are in the hands of the cancellation.
    if (reason() == CancelReason::none) hand_children_to(parent);
    if (parent != nullptr) {
        Children::remove(*this);
        parent_ = nullptr;
    }
    lock_.unlock();
    if (parent == nullptr) return;
    parent->lock_.unlock();
    parent->release_memory();  // lock_with_parent's
    parent->release_memory();  // this child's
}

bool TokenNode::arm(CancelHook& hook) noexcept {
    hook.loop = Loop::current();
    const std::lock_guard guard{lock_};
    if (reason() != CancelReason::none) return false;
    hook.node = this;
    hooks_.push_back(hook);
    latest_hook_.store(&hook, std::memory_order_relaxed);
    return true;
}

void TokenNode::disarm(CancelHook& hook) noexcept {
    const std::lock_guard guard{lock_};
    Hooks::remove(hook);
    hook.node = nullptr;
}

void TokenNode::fire_local_hooks() noexcept {
    Hooks local;
    {
        const std::lock_guard guard{lock_};
        hooks_.for_each([&](CancelHook& hook) {
            if (hook.loop != Loop::current()) return;
            Hooks::remove(hook);
            hook.node = nullptr;
            local.push_back(hook);
        });
    }
    while (!local.empty()) {
        CancelHook& hook = local.pop_front();
        hook.fire(hook);
    }
}

}  // namespace stator::inline runtime::detail
