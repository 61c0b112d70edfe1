// What this process serves, and the requests that run on it.
#pragma once

#include <array>
#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "component/gate.hpp"
#include "stator/base/names.hpp"
#include "stator/component/handler.hpp"
#include "stator/observe/health.hpp"
#include "stator/observe/metric_scope.hpp"
#include "stator/runtime/detail/intrusive_list.hpp"
#include "stator/runtime/detail/spin_lock.hpp"
#include "stator/runtime/event.hpp"
#include "stator/runtime/per_loop.hpp"
#include "stator/transport/server_call.hpp"

namespace stator::inline component {

struct RequestTag {};
class Served;

/// A request that was counted in; counts it out when it dies, begun or not. Move-only, any thread.
class Admission {
public:
    Admission() noexcept = default;  ///< of one that waits for its turn
    explicit Admission(std::shared_ptr<Served> served) noexcept : served_{std::move(served)} {}
    Admission(Admission&& other) noexcept = default;
    Admission& operator=(Admission&& other) noexcept {
        std::swap(served_, other.served_);
        return *this;
    }
    ~Admission();
    bool admitted() const noexcept { return served_ != nullptr; }
    const std::shared_ptr<Served>& served() const noexcept { return served_; }

private:
    std::shared_ptr<Served> served_;
};

/// The labels of everything that is measured of an endpoint.
observe::Labels labels_of(const EndpointId& id);

/// What is counted for one served endpoint; the names and labels are the original's.
struct EndpointMetrics {
    explicit EndpointMetrics(const observe::MetricScope& scope);
    /// The counter of requests that ended in that error.
    const observe::Counter& errors(ErrorCode code) const noexcept {
        return errors_[static_cast<std::size_t>(code)];
    }

    observe::Counter requests;
    observe::UpDownCounter inflight;
    observe::Histogram duration;  ///< seconds, from admission to the end
    observe::Counter request_bytes;
    observe::Counter response_bytes;

private:
    std::array<observe::Counter, 16> errors_;  // by error class
};

/// One request being served; lives in the frame of the task that serves it. Its caller's stop and
/// kill come in here.
class RunningRequest : public runtime::detail::ListLink<RequestTag>,
                       public transport::CallObserver {
public:
    RunningRequest(Admission admission, transport::ServerCall& call, Context context);
    RunningRequest(const RunningRequest&) = delete;
    RunningRequest& operator=(const RunningRequest&) = delete;
    ~RunningRequest() override;

    const Context& context() const noexcept { return context_; }
    TimePoint begin() const noexcept { return begin_; }

private:
    void on_stop(CancelReason reason) noexcept override;
    void on_kill(CancelReason reason) noexcept override;

    const Admission admission_;  // first: the last thing to go
    const std::shared_ptr<Served>& served_;
    transport::ServerCall& call_;
    Context context_;
    std::size_t loop_index_;
    TimePoint begin_;
};

/// One endpoint of one instance in this process. Shared by the table, its owner and its requests.
/// Thread-safe.
class Served : public std::enable_shared_from_this<Served> {
public:
    Served(
        EndpointId id,
        InstanceId instance,
        Handler handler,
        const ServeOptions& options,
        std::size_t loops
    );

    const EndpointId& id() const noexcept { return id_; }
    InstanceId instance() const noexcept { return instance_; }
    /// What log lines say of its requests; lasts.
    const observe::SpanPlace& place() const noexcept { return *place_; }
    const Handler& handler() const noexcept { return handler_; }
    const EndpointMetrics& metrics() const noexcept { return metrics_; }

    /// Errors: invalid_request "component.wrong_shape" when a caller with that shape and the
    /// handler disagree on whether the request is one message or a stream.
    Result<void> check_shape(transport::CallShape shape) const;
    /// Counts the request in, or tells it to wait for its turn; the error with which it is refused
    /// otherwise.
    Result<Admission> admit();
    /// Waits for the turn of such a one; as Gate::turn.
    Task<> turn(Deadline deadline);
    /// From now on requests are refused with `draining`.
    void refuse_new() noexcept { gate_.close(); }
    bool refusing() const noexcept { return gate_.closed(); }
    /// Requests are taken again.
    void accept_again() noexcept { gate_.open(); }
    /// An operator has taken it off line, or is about to.
    void set_off_line(bool off_line) noexcept { off_line_.store(off_line); }
    bool off_line() const noexcept { return off_line_.load(); }
    std::size_t inflight() const noexcept { return gate_.running(); }
    /// Requests that wait for their turn.
    std::size_t waiting() const noexcept { return gate_.waiting(); }
    /// Set when no request is left after `refuse_new`.
    Event& idle() noexcept { return gate_.idle(); }

    /// Asks every running request to stop, or kills it; returns how many it reached.
    std::size_t stop_all(CancelReason reason);
    std::size_t kill_all(CancelReason reason);
    /// One line for each running request.
    std::vector<std::string> running() const;
    std::vector<observe::RequestView> requests() const;

    /// An item of an answer leaves, on the current loop.
    void sent(std::size_t size) noexcept {
        metrics_.response_bytes.add(size);
        rooms_.current().items.fetch_add(1, std::memory_order_relaxed);
    }
    /// Its metrics are no longer shown, unless another instance of the endpoint is served here.
    /// Once.
    void end_series() noexcept { series_.reset(); }
    /// Items that have left so far.
    std::uint64_t items_sent() const noexcept;

private:
    friend class Admission;
    friend class RunningRequest;
    /// The requests of one loop; the lock is taken by that loop for each request and by others
    /// hardly ever.
    struct Room {
        mutable runtime::detail::SpinLock lock;
        runtime::detail::IntrusiveList<RunningRequest, RequestTag> requests;
        std::atomic<std::uint64_t> items{0};  // sent
    };
    void left() noexcept;
    void count_refusal(const Error& why) const;
    std::vector<Context> contexts() const;

    const EndpointId id_;
    const InstanceId instance_;
    const observe::SpanPlace* const place_;
    const Handler handler_;
    std::optional<observe::MetricScope> series_;
    const EndpointMetrics metrics_;
    const Duration max_wait_;
    Gate gate_;
    std::atomic<bool> off_line_{false};
    mutable PerLoop<Room> rooms_;
};

/// Full identity keys everything: a path and, below it, the instance. Immutable; replaced as a
/// whole.
class ServedTable {
public:
    /// The endpoint that a call names; `instance` none: any. Errors: `not_found` saying which of
    /// the two is missing.
    Result<std::shared_ptr<Served>> find(std::string_view path, InstanceId instance) const;
    const std::vector<std::shared_ptr<Served>>& all() const noexcept { return all_; }

    ServedTable() = default;
    explicit ServedTable(std::vector<std::shared_ptr<Served>> all);

private:
    struct TextHash {
        using is_transparent = void;
        std::size_t operator()(std::string_view text) const noexcept {
            return std::hash<std::string_view>{}(text);
        }
    };
    std::vector<std::shared_ptr<Served>> all_;
    std::unordered_map<std::string, std::vector<std::shared_ptr<Served>>, TextHash, std::equal_to<>>
        by_path_;
};

}  // namespace stator::inline component
