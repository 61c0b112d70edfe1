#include "stator/pipeline/context.hpp"

#include <atomic>
#include <mutex>

#include "stator/runtime/detail/frame_pool.hpp"
#include "stator/runtime/detail/spin_lock.hpp"

namespace stator::inline pipeline {

/// Shared by the copies. The stop token is made when somebody first asks for it: most requests
/// never need one.
struct Context::Request {
    explicit Request(Options options)
        : id{options.id ? options.id : RequestId::random()},
          deadline{options.deadline},
          headers{std::move(options.headers)},
          trace{std::move(options.trace)},
          kill_token{
              options.kill_token ? std::move(options.kill_token) : CancellationToken::make()
          } {}

    static void* operator new(std::size_t size) { return runtime::detail::take_frame(size); }
    static void operator delete(void* block, std::size_t size) noexcept {
        runtime::detail::give_frame(block, size);
    }

    void retain() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    const RequestId id;
    const Deadline deadline;
    const Headers headers;
    const std::optional<observe::TraceContext> trace;
    const CancellationToken kill_token;
    std::optional<Context> parent;  // keeps the stop of the request above in sight
    std::atomic<CancelReason> stop_reason{CancelReason::none};
    mutable runtime::detail::SpinLock lock;
    CancellationToken stop_token;  // guarded by lock; none until asked for
    std::atomic<std::uint32_t> references{1};
};

Context::Context(Options options) : request_{new Request{std::move(options)}} {}

Context::Context(const Context& other) noexcept : request_{other.request_} {
    if (request_ != nullptr) request_->retain();
}

Context::~Context() {
    if (request_ != nullptr) request_->release();
}

const RequestId& Context::id() const noexcept { return request_->id; }
Deadline Context::deadline() const noexcept { return request_->deadline; }
const Headers& Context::headers() const noexcept { return request_->headers; }
const std::optional<observe::TraceContext>& Context::trace() const noexcept {
    return request_->trace;
}
const CancellationToken& Context::kill_token() const noexcept { return request_->kill_token; }

std::optional<std::string_view> Context::header(std::string_view name) const noexcept {
    for (const auto& [key, value] : request_->headers) {
        if (key == name) return value;
    }
    return std::nullopt;
}

bool Context::unique() const noexcept {
    return request_->references.load(std::memory_order_acquire) == 1;
}

Context::State Context::state() const noexcept {
    if (request_->kill_token.cancelled()) return State::killed;
    if (request_->stop_reason.load(std::memory_order_acquire) != CancelReason::none)
        return State::stopped;
    return request_->parent && request_->parent->stopped() ? State::stopped : State::live;
}

CancelReason Context::reason() const noexcept {
    if (request_->kill_token.cancelled()) return request_->kill_token.reason();
    const auto own = request_->stop_reason.load(std::memory_order_acquire);
    if (own != CancelReason::none) return own;
    return request_->parent && request_->parent->stopped() ? CancelReason::parent
                                                           : CancelReason::none;
}

void Context::stop(CancelReason reason) const noexcept {
    auto none = CancelReason::none;
    if (!request_->stop_reason.compare_exchange_strong(none, reason, std::memory_order_acq_rel))
        return;
    CancellationToken token;
    {
        const std::lock_guard guard{request_->lock};
        token = request_->stop_token;
    }
    token.cancel(reason);
}

void Context::kill(CancelReason reason) const noexcept {
    // In this order: whoever sees the stop, on whatever loop, sees that it is a kill.
    request_->kill_token.cancel(reason);
    stop(reason);
}

CancellationToken Context::stop_token() const {
    const std::lock_guard guard{request_->lock};
    if (!request_->stop_token) {
        // What fires it from above is the kill token or, for a child, its parent's stop (which the
        // parent's kill fires, too); `kill` fires it itself.
        const auto& parent = request_->parent;
        request_->stop_token =
            parent ? parent->stop_token().child_token() : request_->kill_token.child_token();
        const auto reason = request_->stop_reason.load(std::memory_order_acquire);
        if (reason != CancelReason::none) request_->stop_token.cancel(reason);
    }
    return request_->stop_token;
}

Context Context::child(Deadline deadline) const {
    Options options;
    options.deadline = earliest(deadline, request_->deadline);
    if (request_->trace) options.trace = request_->trace->child();
    options.kill_token = request_->kill_token.child_token();
    Context context{std::move(options)};
    context.request_->parent = *this;
    return context;
}

}  // namespace stator::inline pipeline
