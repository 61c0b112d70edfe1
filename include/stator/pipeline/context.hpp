// Context: what belongs to one request on its way through the system.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/base/request_id.hpp"
#include "stator/observe/trace.hpp"
#include "stator/runtime/cancellation_token.hpp"

namespace stator::inline pipeline {

/// Free key-value pairs that travel with a request; order and duplicates are kept.
using Headers = std::vector<std::pair<std::string, std::string>>;

/// Identity, deadline, headers, trace and the two-stage end of one request: `stop` asks it to
/// finish politely, `kill` ends it now. Copies share the request; thread-safe.
///
/// A killed request never becomes merely stopped again; the first reason of each stage stays. Stop
/// and kill reach the children (`child`), whose deadline is never later than their parent's.
class Context {
public:
    enum class State : std::uint8_t { live, stopped, killed };
    struct Options {
        RequestId id{};  ///< none: a fresh one
        Deadline deadline{};
        Headers headers{};
        std::optional<observe::TraceContext> trace{};
        CancellationToken kill_token{
        };  ///< the request is killed when it fires; none: a root of its own
    };

    /// A fresh request: own id, no deadline, never cancelled by anybody but its holders.
    Context() : Context(Options{}) {}
    explicit Context(Options options);
    Context(const Context& other) noexcept;
    Context(Context&& other) noexcept : request_{std::exchange(other.request_, nullptr)} {}
    Context& operator=(Context other) noexcept {
        std::swap(request_, other.request_);
        return *this;
    }
    ~Context();

    const RequestId& id() const noexcept;
    Deadline deadline() const noexcept;
    const Headers& headers() const noexcept;
    /// The value of the first header of that name, if there is one.
    std::optional<std::string_view> header(std::string_view name) const noexcept;

    const std::optional<observe::TraceContext>& trace() const noexcept;

    State state() const noexcept;
    /// Asked to finish (or killed).
    bool stopped() const noexcept { return state() != State::live; }
    bool killed() const noexcept { return state() == State::killed; }
    /// Why it was stopped or killed; `none` while live.
    CancelReason reason() const noexcept;

    void stop(CancelReason reason = CancelReason::requested) const noexcept;
    void kill(CancelReason reason = CancelReason::requested) const noexcept;

    /// Fires when the request is asked to finish, and when it is killed: `co_await
    /// ctx.stop_token().wait()`.
    CancellationToken stop_token() const;
    /// Fires when the request is killed. The handler's task runs under it.
    const CancellationToken& kill_token() const noexcept;

    /// A request made on behalf of this one: same trace, deadline not later, stopped and killed
    /// with it (reason `parent`), an id of its own.
    Context child(Deadline deadline = Deadline::never()) const;

    /// Whether this is the only handle: then nobody else can stop or kill it, apart from its kill
    /// token.
    bool unique() const noexcept;

    friend bool operator==(const Context& a, const Context& b) noexcept {
        return a.request_ == b.request_;
    }

private:
    struct Request;
    explicit Context(Request* request) noexcept : request_{request} {}
    Request* request_;
};

}  // namespace stator::inline pipeline
