// Context: what belongs to one request on its way through the system.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <typeindex>
#include <typeinfo>
#include <utility>
#include <vector>

#include "stator/base/deadline.hpp"
#include "stator/base/error.hpp"
#include "stator/base/request_id.hpp"
#include "stator/observe/span.hpp"
#include "stator/observe/trace.hpp"
#include "stator/runtime/cancellation_token.hpp"

namespace stator::inline pipeline {

/// Free key-value pairs that travel with a request; order and duplicates are kept.
using Headers = std::vector<std::pair<std::string, std::string>>;

/// A place that a request came by in this process, and when.
struct StageTime {
    std::string name;
    TimePoint when;
};

/// Identity, deadline, headers, trace, values and the two-stage end of one request: `stop` asks it
/// to finish politely, `kill` ends it now. Copies share the request; thread-safe.
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
        /// Where it is served, if it is; must last (observe::lasting).
        const observe::SpanPlace* place = nullptr;
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
    /// What log lines say of it: `log::info(context, "app", "...")`. Its span id is the one that
    /// requests made on its behalf have as their parent's.
    observe::Span span() const;

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
    /// Another try at this request: a child that has its headers, too.
    Context attempt() const;

    /// Notes that the request comes by here now. Stages of a child are its own.
    void mark_stage(std::string_view name) const;
    std::vector<StageTime> stages() const;

    /// Values that go with the request inside this process, each by name and type, for all copies
    /// of the context and its children. A second value of a name replaces the first; a child's
    /// hides its parent's.
    template <class T>
    void insert(std::string key, T value) const {
        put(std::move(key), {std::make_shared<T>(std::move(value)), typeid(T), false});
    }
    /// Errors: `not_found` "context.no_value"; `invalid_request` "context.value_type" for one of
    /// another type, or one that is not shared.
    template <class T>
    Result<std::shared_ptr<const T>> get(std::string_view key) const {
        auto found = find(key, typeid(T));
        if (!found) return std::unexpected{std::move(found.error())};
        return std::static_pointer_cast<const T>(std::move(*found));
    }
    /// As `get`, for what few requests have: null where that is an error.
    template <class T>
    std::shared_ptr<const T> get_if(std::string_view key) const {
        return std::static_pointer_cast<const T>(peek(key, typeid(T)));
    }
    /// A value with one owner: taken once, or copied. Not seen by children.
    template <class T>
    void insert_unique(std::string key, T value) const {
        put(std::move(key), {std::make_shared<T>(std::move(value)), typeid(T), true});
    }
    /// A copy of a unique value. Errors: as `get`.
    template <class T>
    Result<T> clone_unique(std::string_view key) const {
        std::optional<T> copy;
        auto found = use_unique(
            key,
            typeid(T),
            false,
            [](void* value, void* out) {
                static_cast<std::optional<T>*>(out)->emplace(*static_cast<const T*>(value));
            },
            &copy
        );
        if (!found) return std::unexpected{std::move(found.error())};
        return std::move(*copy);
    }
    /// The unique value itself: it is not here any more. Errors: as `get`.
    template <class T>
    Result<T> take_unique(std::string_view key) const {
        std::optional<T> taken;
        auto found = use_unique(
            key,
            typeid(T),
            true,
            [](void* value, void* out) {
                static_cast<std::optional<T>*>(out)->emplace(std::move(*static_cast<T*>(value)));
            },
            &taken
        );
        if (!found) return std::unexpected{std::move(found.error())};
        return std::move(*taken);
    }

    /// Whether this is the only handle, of a request that belongs to no other and whose kill token
    /// is its own: then nobody else can stop or kill it.
    bool unique() const noexcept;

    friend bool operator==(const Context& a, const Context& b) noexcept {
        return a.request_ == b.request_;
    }

private:
    struct Request;
    struct Notes;
    struct Value {
        std::shared_ptr<void> value;
        std::type_index type;
        bool unique;
    };
    using Use = void (*)(void* value, void* out);
    void put(std::string key, Value value) const;
    /// Its own, or one that it shares with those above.
    std::optional<Value> nearest(std::string_view key) const;
    Result<std::shared_ptr<void>> find(std::string_view key, std::type_index type) const;
    std::shared_ptr<void> peek(std::string_view key, std::type_index type) const;
    Result<void> use_unique(
        std::string_view key, std::type_index type, bool take, Use use, void* out
    ) const;

    explicit Context(Request* request) noexcept : request_{request} {}
    Context below(Options options) const;
    Request* request_;
};

}  // namespace stator::inline pipeline
