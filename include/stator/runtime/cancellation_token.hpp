// Cancellation as a tree: cancelling a token cancels everything below it, never what is above.
#pragma once

#include <atomic>
#include <coroutine>
#include <cstdint>
#include <string_view>
#include <utility>

#include "stator/runtime/detail/intrusive_list.hpp"

namespace stator::inline runtime {

class Loop;

/// Why something was cancelled. The numbers are wire values (docs/protocol/mux.md).
enum class CancelReason : std::uint8_t {
    none = 0,
    requested = 1,  ///< Somebody asked for it.
    deadline = 2,   ///< Its deadline passed.
    shutdown = 3,   ///< The process is ending.
    parent = 4,     ///< What it belonged to was cancelled.
    peer_gone = 5,  ///< The other side is no longer there.
};

std::string_view to_string(CancelReason reason) noexcept;

namespace detail {

struct HookTag {};
struct ChildTag {};
class TokenNode;

/// What a waiting operation leaves with a token. Lives in the operation, belongs to one loop:
/// `fire` is called there, once, already unlinked, and may only mark and wake; it never runs user
/// code.
struct CancelHook : ListLink<HookTag> {
    using Fire = void (*)(CancelHook&) noexcept;
    explicit CancelHook(Fire fire_) noexcept : fire{fire_} {}
    Fire fire;
    Loop* loop = nullptr;
    TokenNode* node = nullptr;  // set while armed
};

}  // namespace detail

/// A handle of one node of the tree; copies are the same node. A default-constructed token is never
/// cancelled.
///
/// Semantics: cancelling a parent cancels its children, never the reverse; a child of a cancelled
/// token is born cancelled; when the last handle of a node is gone its children hang on its parent,
/// so a long-lived root does not grow with its past children. The `cancel` that took effect
/// is complete for the whole subtree when it returns, except that operations waiting on other loops
/// are woken there (one hop per loop). Thread-safe.
class CancellationToken {
public:
    CancellationToken() noexcept = default;
    CancellationToken(const CancellationToken& other) noexcept;
    CancellationToken(CancellationToken&& other) noexcept
        : node_{std::exchange(other.node_, nullptr)} {}
    CancellationToken& operator=(CancellationToken other) noexcept {
        std::swap(node_, other.node_);
        return *this;
    }
    ~CancellationToken();

    /// A new root.
    static CancellationToken make();
    /// A token that this one's cancellation reaches. Of a default-constructed token: a new root.
    CancellationToken child_token() const;

    /// Cancels this node and all below it; the first cancellation's reason stays. Children see
    /// `parent`. `none` and unknown reasons count as `requested`. The loops on which operations
    /// wait below must outlive the call.
    void cancel(CancelReason reason = CancelReason::requested) const noexcept;
    bool cancelled() const noexcept { return reason() != CancelReason::none; }
    /// Why this node was cancelled; `none` while it is not.
    CancelReason reason() const noexcept;
    /// The reason given to the `cancel` call that reached this node; `none` while it is not
    /// cancelled.
    CancelReason cause() const noexcept;
    /// Whether it can ever be cancelled (false for a default-constructed token).
    explicit operator bool() const noexcept { return node_ != nullptr; }
    friend bool operator==(const CancellationToken& a, const CancellationToken& b) noexcept {
        return a.node_ == b.node_;
    }

    class Wait;
    /// Completes when the token is cancelled; never, for a default-constructed one.
    /// Cancel safety: throws `cancelled` when the awaiting task itself is cancelled by another
    /// token.
    Wait wait() const noexcept;

    /// For awaitables: registers `hook` for the current loop. False when already cancelled (not
    /// registered).
    bool arm(detail::CancelHook& hook) const noexcept;
    /// Takes back a hook armed on this loop; does nothing when it has fired.
    static void disarm(detail::CancelHook& hook) noexcept;

private:
    explicit CancellationToken(detail::TokenNode* node) noexcept : node_{node} {}
    detail::TokenNode* node_ = nullptr;
};

/// Cancels its token when it goes out of scope, unless dismissed.
class CancelGuard {
public:
    explicit CancelGuard(
        CancellationToken token, CancelReason reason = CancelReason::requested
    ) noexcept
        : token_{std::move(token)}, reason_{reason} {}
    CancelGuard(const CancelGuard&) = delete;
    CancelGuard& operator=(const CancelGuard&) = delete;
    ~CancelGuard() {
        if (token_) token_.cancel(reason_);
    }
    void dismiss() noexcept { token_ = {}; }

private:
    CancellationToken token_;
    CancelReason reason_;
};

namespace detail {

/// Number of token nodes alive in the process, for tests and gauges.
std::size_t live_token_nodes() noexcept;

}  // namespace detail

}  // namespace stator::inline runtime
