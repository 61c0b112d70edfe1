#include "stator/runtime/cancellation_token.hpp"

#include "runtime/token_node.hpp"

namespace stator::inline runtime {

std::string_view to_string(CancelReason reason) noexcept {
    switch (reason) {
        case CancelReason::none:
            return "none";
        case CancelReason::requested:
            return "requested";
        case CancelReason::deadline:
            return "deadline";
        case CancelReason::shutdown:
            return "shutdown";
        case CancelReason::parent:
            return "parent";
        case CancelReason::peer_gone:
            return "peer_gone";
    }
    return "unknown";
}

CancellationToken::CancellationToken(const CancellationToken& other) noexcept : node_{other.node_} {
    if (node_ != nullptr) node_->retain_handle();
}

CancellationToken::~CancellationToken() {
    if (node_ != nullptr) node_->release_handle();
}

CancellationToken CancellationToken::make() {
    return CancellationToken{detail::TokenNode::create(nullptr)};
}

CancellationToken CancellationToken::child_token() const {
    return CancellationToken{detail::TokenNode::create(node_)};
}

void CancellationToken::cancel(CancelReason reason) const noexcept {
    if (node_ == nullptr) return;
    // What came from elsewhere as a number must not end as "not cancelled".
    const bool known = reason > CancelReason::none && reason <= CancelReason::peer_gone;
    node_->cancel(known ? reason : CancelReason::requested);
}

CancelReason CancellationToken::reason() const noexcept {
    return node_ == nullptr ? CancelReason::none : node_->reason();
}

CancelReason CancellationToken::cause() const noexcept {
    return node_ == nullptr ? CancelReason::none : node_->cause();
}

bool CancellationToken::arm(detail::CancelHook& hook) const noexcept {
    return node_ == nullptr || node_->arm(hook);
}

void CancellationToken::disarm(detail::CancelHook& hook) noexcept {
    // `node` changes on this loop only, so reading it needs no lock.
    if (hook.node != nullptr) hook.node->disarm(hook);
}

}  // namespace stator::inline runtime
