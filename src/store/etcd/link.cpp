#include "store/etcd/link.hpp"

#include <algorithm>
#include <mutex>
#include <utility>

#include <fmt/format.h>

#include "stator/base/backoff.hpp"
#include "stator/base/sink.hpp"
#include "stator/runtime/timer.hpp"
#include "store/etcd/options.hpp"

namespace stator::store::etcd {

using namespace std::chrono_literals;

namespace {

/// How long one member may take before the next is asked.
constexpr Duration longest_attempt = 2s;
constexpr Duration shortest_attempt = 200ms;
/// A member that has not answered for so long is left when the caller gives up: callers who wait
/// for less than an attempt would come back to one that hangs each time.
constexpr Duration suspicious = 100ms;
/// Between rounds in which every member failed.
constexpr BackoffPolicy between_rounds{.initial = 50ms, .max = 2s, .factor = 2.0};

/// The lock is held while the waiting task is woken, and taken once more by that task: a thread of
/// gRPC, which nobody joins, is done with the loop before the loop may go.
template <class Reply>
struct Pending {
    std::mutex lock;
    Event answered;
    Answer<Reply> answer;
};

/// The answer comes in on a thread of gRPC, which does no more than wake the task that waits.
template <class Request>
Task<Answer<typename Request::Reply>> ask(
    std::shared_ptr<Wire> wire, Request request, CallOptions options
) {
    using Reply = typename Request::Reply;
    const auto pending = std::make_shared<Pending<Reply>>();
    const auto call = wire->start(request, options, [pending](Answer<Reply> answer) {
        const std::lock_guard guard{pending->lock};
        pending->answer = std::move(answer);
        pending->answered.set();
    });
    try {
        co_await pending->answered.wait();
    } catch (const Error&) {
        const std::lock_guard guard{pending->lock};
        call->cancel();
        throw;
    }
    const std::lock_guard guard{pending->lock};
    co_return std::move(pending->answer);
}

std::chrono::milliseconds whole_milliseconds(Duration time) {
    return std::chrono::ceil<std::chrono::milliseconds>(time);
}

bool reads_only(const std::vector<EtcdOperation>& operations) {
    return std::ranges::all_of(operations, [](const EtcdOperation& operation) {
        return operation.kind == EtcdOperation::Kind::get;
    });
}

template <class Request>
bool repeatable(const Request&) {
    return true;
}

template <>
bool repeatable(const EtcdTransaction& request) {
    return request.repeatable || (reads_only(request.then) && reads_only(request.otherwise));
}

Error outcome_unknown(const Error& cause) {
    return Error{
        ErrorCode::unavailable,
        "store.outcome_unknown",
        "etcd was asked and did not answer: the change may have happened"
    }
        .with_cause(cause)
        .with_retryable(false);
}

}  // namespace

/// Filled by threads of gRPC, as Pending is. A message is asked for only when the last one has been
/// taken.
struct WatchStream::Mailbox {
    std::mutex lock;
    std::optional<WatchMessage> message;
    std::optional<Status> end;
    Event filled;

    template <class Value>
    void put(std::optional<Value>& place, Value value) {
        const std::lock_guard guard{lock};
        place.emplace(std::move(value));
        filled.set();
    }
};

WatchStream::WatchStream(Wire& wire, const CallOptions& options, std::size_t at)
    : mailbox_{std::make_shared<Mailbox>()}, member_{at} {
    auto box = mailbox_;
    call_ = wire.watch(
        options,
        {.message = [box](WatchMessage message) { box->put(box->message, std::move(message)); },
         .ended = [box](Status status) { box->put(box->end, std::move(status)); }}
    );
    call_->next();
}

WatchStream::~WatchStream() {
    call_->cancel();
    const std::lock_guard guard{mailbox_->lock};  // as in Pending
}

Task<WatchMessage> WatchStream::next() {
    for (;;) {
        co_await mailbox_->filled.wait();
        std::optional<WatchMessage> message;
        std::optional<Status> end;
        {
            const std::lock_guard guard{mailbox_->lock};
            message = std::exchange(mailbox_->message, std::nullopt);
            end = mailbox_->end;
            if (!end) mailbox_->filled.reset();  // the end stays, a message has to come again
        }
        if (message) {
            call_->next();
            co_return std::move(*message);
        }
        if (end) throw failure_of(end->ok() ? Status{14, "the member ended it"} : *end).error;
    }
}

Link::Link(EtcdOptions options, const Dial& dial) : options_{std::move(options)} {
    for (const auto& text : options_.endpoints) {
        const auto endpoint = parse_endpoint(text).value();
        members_.push_back(
            {.endpoint = text,
             .address = endpoint.address,
             .wire = dial({
                 .target = endpoint.address.to_string(),
                 .tls = endpoint.tls,
                 .ca = options_.ca,
                 .certificate = options_.client_cert,
                 .key = options_.client_key,
                 .ping_interval = whole_milliseconds(options_.ping_interval),
                 .ping_timeout = whole_milliseconds(options_.ping_timeout),
             }),
             .problem = {}}
        );
    }
}

/// While others are left to ask, none gets all the time.
Duration Link::attempt_bound(Deadline deadline) const noexcept {
    const auto left = deadline.remaining();
    const auto share = members_.size() == 1 ? left : std::max(left / 2, shortest_attempt);
    return std::max<Duration>(std::min({longest_attempt, share, left}), 1ms);
}

/// What is known of a call while its attempts fail.
struct Link::Failures {
    Backoff backoff{between_rounds};
    std::size_t count = 0;
    std::size_t refused_by_tls = 0;
    bool token_renewed = false;
    bool maybe_done = false;
};

template <class Request>
Task<typename Request::Reply> Link::call(Request request, Deadline deadline) {
    Failures failures;
    for (;;) {
        if (closed_) throw Error{ErrorCode::unavailable, "store.closed", "the store is closed"};
        const auto at = current_;
        const auto before = newest_;
        auto outcome = co_await watched_attempt(at, request, attempt_bound(deadline));
        if (outcome) {
            works(at);
            if constexpr (std::is_same_v<Request, EtcdTransaction>) {
                compare(before, outcome->header);
                note(outcome->header);
                outcome->repeated = failures.maybe_done;
            }
            co_return std::move(*outcome);
        }
        const auto& failure = outcome.error();
        if (failure.kind == Failure::Kind::unknown && !repeatable(request)) {
            fails(at, failure.error);
            throw outcome_unknown(failure.error);
        }
        const auto pause = pause_after(failure, at, failures, deadline);
        if (pause > Duration::zero()) co_await sleep_for(pause);
    }
}

/// How long to wait before the next attempt. Throws if there is to be none.
Duration Link::pause_after(
    const Failure& failure, std::size_t at, Failures& failures, Deadline deadline
) {
    using Kind = Failure::Kind;
    const bool new_token = failure.kind == Kind::token && !options_.username.empty();
    if (new_token && !std::exchange(failures.token_renewed, true)) return Duration::zero();
    if (failure.kind != Kind::not_done && failure.kind != Kind::unknown) throw failure.error;
    fails(at, failure.error);
    if (failure.kind == Kind::unknown) failures.maybe_done = true;
    if (failure.error.detail() == "store.tls") ++failures.refused_by_tls;
    // Each member in turn, before any is asked again.
    if (++failures.count % members_.size() != 0 && !deadline.passed()) return Duration::zero();
    all_failed(failure.error);
    const auto pause = failures.backoff.next();
    // Certificates do not become right by waiting.
    if (failures.refused_by_tls >= members_.size() || pause >= deadline.remaining())
        throw unreachable(failure.error);
    return pause;
}

template <class Request>
Task<Link::Outcome<typename Request::Reply>> Link::watched_attempt(
    std::size_t at, Request request, Duration bound
) {
    const auto begun = Clock::current().now();
    try {
        co_return co_await attempt(at, std::move(request), bound);
    } catch (const Error&) {
        // Given up. Nothing is known of the member, so nothing is said of it.
        if (Clock::current().now() - begun >= suspicious) leave(at);
        throw;
    }
}

template <class Request>
Task<Link::Outcome<typename Request::Reply>> Link::attempt(
    std::size_t at, Request request, Duration bound
) {
    if (needs_token()) {
        if (auto failure = co_await authenticate(at, bound))
            co_return std::unexpected{std::move(*failure)};
    }
    const auto token = token_;
    auto answer = co_await ask(
        members_[at].wire,
        std::move(request),
        CallOptions{.token = token, .timeout = whole_milliseconds(bound)}
    );
    if (answer.status.ok()) co_return std::move(answer.reply);
    auto failure = failure_of(answer.status);
    if (failure.kind == Failure::Kind::token) {
        open_to_all_ = false;
        // Somebody else may have got a new one meanwhile.
        if (token_ == token) token_.clear();
    }
    co_return std::unexpected{std::move(failure)};
}

Task<std::optional<Failure>> Link::authenticate(std::size_t at, Duration bound) {
    const auto turn = co_await authenticating_.acquire();
    if (!needs_token()) co_return std::nullopt;
    auto answer = co_await ask(
        members_[at].wire,
        AuthenticateRequest{.name = options_.username, .password = options_.password},
        CallOptions{.token = {}, .timeout = whole_milliseconds(bound)}
    );
    if (answer.status.ok()) {
        token_ = std::move(answer.reply.token);
        co_return std::nullopt;
    }
    auto failure = failure_of(answer.status);
    if (failure.kind == Failure::Kind::no_auth) {
        open_to_all_ = true;
        co_return std::nullopt;
    }
    co_return failure;
}

Task<std::unique_ptr<WatchStream>> Link::watch() {
    const auto at = current_;
    if (needs_token()) {
        if (const auto failure = co_await authenticate(at, longest_attempt)) throw failure->error;
    }
    co_return std::make_unique<WatchStream>(
        *members_[at].wire, CallOptions{.token = token_, .timeout = {}}, at
    );
}

void Link::stream_failed(std::size_t member, const Error& error) {
    if (error.code() == ErrorCode::unauthenticated) token_.clear();
    fails(member, error);
}

void Link::works(std::size_t at) {
    members_[at].problem.clear();
    const auto before = std::exchange(reachable_, true);
    if (before == true) return;
    sink().gauge("store_reachable", 1);
    if (!before) return;
    sink().report(
        Severity::info,
        "stator::store",
        fmt::format("etcd store: {} answers again", members_[at].endpoint)
    );
}

void Link::fails(std::size_t at, const Error& error) {
    sink().count("store_attempts_failed_total", 1);
    members_[at].problem = error.message();
    leave(at);
}

void Link::leave(std::size_t at) noexcept {
    // Unless somebody has gone on already.
    if (current_ == at) current_ = (at + 1) % members_.size();
}

void Link::all_failed(const Error& error) {
    if (std::exchange(reachable_, false) == false) return;
    sink().gauge("store_reachable", 0);
    sink().report(
        Severity::warn,
        "stator::store",
        fmt::format("etcd store: {}; trying on", unreachable(error).message())
    );
}

Error Link::unreachable(const Error& last) const {
    std::string all;
    for (const auto& member : members_) {
        if (member.problem.empty()) continue;
        all += fmt::format("{}{}: {}", all.empty() ? "" : "; ", member.endpoint, member.problem);
    }
    return Error{
        ErrorCode::unavailable, last.detail(), fmt::format("no member of etcd answers: {}", all)
    };
}

/// Transactions see all that was done before they were asked for.
void Link::compare(const EtcdHeader& before, const EtcdHeader& now) {
    if (before.cluster_id == 0 || !on_going_back_) return;
    if (now.cluster_id != before.cluster_id || now.revision < before.revision) on_going_back_();
}

void Link::note(const EtcdHeader& header) noexcept {
    newest_.revision = std::max(newest_.revision, header.revision);
    newest_.raft_term = std::max(newest_.raft_term, header.raft_term);
    if (newest_.cluster_id == 0) newest_.cluster_id = header.cluster_id;
}

template Task<EtcdTransactionReply> Link::call(EtcdTransaction, Deadline);
template Task<GrantReply> Link::call(GrantRequest, Deadline);
template Task<HeaderReply> Link::call(RevokeRequest, Deadline);
template Task<KeepAliveReply> Link::call(KeepAliveRequest, Deadline);
template Task<LeaseKeysReply> Link::call(LeaseKeysRequest, Deadline);
template Task<HeaderReply> Link::call(CompactRequest, Deadline);
template Task<StatusReply> Link::call(StatusRequest, Deadline);

}  // namespace stator::store::etcd
