#include "stator/pipeline/context.hpp"

#include <atomic>
#include <bit>
#include <map>
#include <mutex>

#include <fmt/format.h>

#include "stator/runtime/detail/frame_pool.hpp"
#include "stator/runtime/detail/spin_lock.hpp"

namespace stator::inline pipeline {

/// What few requests have: made when it is first needed.
struct Context::Notes {
    std::mutex lock;
    std::vector<StageTime> stages;
    std::map<std::string, Value, std::less<>> values;
};

/// Shared by the copies. The stop token is made when somebody first asks for it: most requests
/// never need one.
struct Context::Request {
    explicit Request(Options options)
        : id{options.id ? options.id : RequestId::random()},
          deadline{options.deadline},
          headers{std::move(options.headers)},
          trace{std::move(options.trace)},
          place{options.place},
          ends_alone{!options.kill_token},
          kill_token{
              options.kill_token ? std::move(options.kill_token) : CancellationToken::make()
          } {}

    static void* operator new(std::size_t size) { return runtime::detail::take_frame(size); }
    static void operator delete(void* block, std::size_t size) noexcept {
        runtime::detail::give_frame(block, size);
    }

    ~Request() { delete notes.load(std::memory_order_acquire); }
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;

    std::optional<observe::Span::Id> span_id() const noexcept;

    /// Made by whoever comes first.
    Notes& own_notes() {
        if (auto* known = notes.load(std::memory_order_acquire)) return *known;
        auto made = std::make_unique<Notes>();
        Notes* none = nullptr;
        if (notes.compare_exchange_strong(none, made.get(), std::memory_order_acq_rel))
            return *made.release();
        return *none;
    }

    void retain() noexcept { references.fetch_add(1, std::memory_order_relaxed); }
    void release() noexcept {
        if (references.fetch_sub(1, std::memory_order_acq_rel) == 1) delete this;
    }

    const RequestId id;
    const Deadline deadline;
    const Headers headers;
    const std::optional<observe::TraceContext> trace;
    const observe::SpanPlace* const place;
    const bool ends_alone;  // nothing above it kills it
    const CancellationToken kill_token;
    std::optional<Context> parent;  // keeps the stop of the request above in sight
    std::atomic<CancelReason> stop_reason{CancelReason::none};
    mutable runtime::detail::SpinLock lock;
    CancellationToken stop_token;  // guarded by lock; none until asked for
    std::atomic<Notes*> notes{nullptr};
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

namespace {

/// The span of serving a request is known by whom it was sent by, its id and who serves it, so that
/// requests need not carry one: the same at each line, another one at each instance.
observe::Span::Id span_of_serving(
    const observe::Span::Id& sender, const RequestId& request, std::uint64_t instance
) {
    auto mixed = std::bit_cast<std::uint64_t>(sender);
    for (const auto part : {request.high(), request.low(), instance}) {
        // The finalizer of SplitMix64.
        mixed = (mixed ^ part) + 0x9e3779b97f4a7c15U;
        mixed = (mixed ^ (mixed >> 30U)) * 0xbf58476d1ce4e5b9U;
        mixed = (mixed ^ (mixed >> 27U)) * 0x94d049bb133111ebU;
        mixed ^= mixed >> 31U;
    }
    return std::bit_cast<observe::Span::Id>(mixed == 0 ? 1 : mixed);
}

}  // namespace

/// Nothing without a trace.
std::optional<observe::Span::Id> Context::Request::span_id() const noexcept {
    if (!trace) return std::nullopt;
    return place == nullptr ? trace->span_id
                            : span_of_serving(trace->span_id, id, place->instance_id);
}

observe::Span Context::span() const {
    observe::Span span{.request_id = id().to_string(), .trace = request_->trace};
    if (const auto asked_as = header("x-request-id")) span.x_request_id = *asked_as;
    span.place = request_->place;
    if (span.place != nullptr) span.name = observe::Span::served;
    if (!span.trace) return span;
    if (span.place != nullptr) {
        span.parent = span.trace->span_id;
    } else if (request_->parent) {
        span.parent = request_->parent->request_->span_id();
    }
    span.trace->span_id = request_->span_id().value_or(span.trace->span_id);
    return span;
}

std::optional<std::string_view> Context::header(std::string_view name) const noexcept {
    for (const auto& [key, value] : request_->headers) {
        if (key == name) return value;
    }
    return std::nullopt;
}

void Context::mark_stage(std::string_view name) const {
    auto& notes = request_->own_notes();
    const auto now = Clock::current().now();
    const std::lock_guard guard{notes.lock};
    notes.stages.push_back({std::string{name}, now});
}

std::vector<StageTime> Context::stages() const {
    auto* notes = request_->notes.load(std::memory_order_acquire);
    if (notes == nullptr) return {};
    const std::lock_guard guard{notes->lock};
    return notes->stages;
}

namespace {

std::unexpected<Error> no_value(std::string_view key) {
    return fail(
        ErrorCode::not_found,
        "context.no_value",
        fmt::format("the request has no value \"{}\"", key)
    );
}

std::unexpected<Error> wrong_type(std::string_view key) {
    return fail(
        ErrorCode::invalid_request,
        "context.value_type",
        fmt::format("the request's value \"{}\" is of another type or kind", key)
    );
}

}  // namespace

void Context::put(std::string key, Value value) const {
    auto& notes = request_->own_notes();
    const std::lock_guard guard{notes.lock};
    // What was there goes when the guard has gone: its destructor is somebody else's code.
    const auto [place, added] = notes.values.try_emplace(std::move(key), value);
    if (!added) std::swap(place->second, value);
}

std::optional<Context::Value> Context::nearest(std::string_view key) const {
    for (const auto* at = request_; at != nullptr;
         at = at->parent ? at->parent->request_ : nullptr) {
        auto* notes = at->notes.load(std::memory_order_acquire);
        if (notes == nullptr) continue;
        const std::lock_guard guard{notes->lock};
        const auto found = notes->values.find(key);
        if (found == notes->values.end()) continue;
        if (found->second.unique && at != request_) continue;
        return found->second;
    }
    return std::nullopt;
}

Result<std::shared_ptr<void>> Context::find(std::string_view key, std::type_index type) const {
    auto value = nearest(key);
    if (!value) return no_value(key);
    if (value->unique || value->type != type) return wrong_type(key);
    return std::move(value->value);
}

std::shared_ptr<void> Context::peek(std::string_view key, std::type_index type) const {
    auto value = nearest(key);
    return value && !value->unique && value->type == type ? std::move(value->value) : nullptr;
}

Result<void> Context::use_unique(
    std::string_view key, std::type_index type, bool take, Use use, void* out
) const {
    auto* notes = request_->notes.load(std::memory_order_acquire);
    if (notes == nullptr) return no_value(key);
    // Under the lock, so that nobody copies what is being taken.
    const std::lock_guard guard{notes->lock};
    const auto found = notes->values.find(key);
    if (found == notes->values.end()) return no_value(key);
    if (!found->second.unique || found->second.type != type) return wrong_type(key);
    use(found->second.value.get(), out);
    if (take) notes->values.erase(found);
    return {};
}

bool Context::unique() const noexcept {
    return request_->ends_alone && request_->references.load(std::memory_order_acquire) == 1;
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

Context Context::child(Deadline deadline) const { return below({.deadline = deadline}); }

Context Context::attempt() const { return below({.headers = request_->headers}); }

/// With what a child has of its parent.
Context Context::below(Options options) const {
    options.deadline = earliest(options.deadline, request_->deadline);
    if (request_->trace) options.trace = request_->trace->child();
    options.kill_token = request_->kill_token.child_token();
    Context context{std::move(options)};
    context.request_->parent = *this;
    return context;
}

}  // namespace stator::inline pipeline
